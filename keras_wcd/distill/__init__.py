"""Loss distillation: the weighted Chamfer distance whose gradients match those of a teacher best.

After Lin et al., "Loss Distillation via Gradient Matching for Point Cloud Completion with Weighted Chamfer Distance"
(IROS 2024), Eq. 3 and Algorithm 1. Importing needs any Keras backend; searching needs TensorFlow's.
"""

from keras_wcd.distill.bilevel import BilevelTraining as BilevelTraining
from keras_wcd.distill.distances import DistanceDistribution as DistanceDistribution
from keras_wcd.distill.result import Candidate as Candidate
from keras_wcd.distill.result import DistillationResult as DistillationResult
from keras_wcd.distill.search import distill as distill
