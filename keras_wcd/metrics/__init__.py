"""Figures of completed clouds: Keras metrics, the same figures in float64 on the host, and those for KITTI."""

from keras_wcd.metrics.kinds import CDL1 as CDL1
from keras_wcd.metrics.kinds import CDL2 as CDL2
from keras_wcd.metrics.kinds import EMD as EMD
from keras_wcd.metrics.kinds import METRICS as METRICS
from keras_wcd.metrics.kinds import AbstractCloudMetric as AbstractCloudMetric
from keras_wcd.metrics.kinds import DCDMetric as DCDMetric
from keras_wcd.metrics.kinds import FScore as FScore
from keras_wcd.metrics.kinds import Hausdorff as Hausdorff
from keras_wcd.metrics.pairs import FIGURES as FIGURES
from keras_wcd.metrics.pairs import figures as figures
from keras_wcd.metrics.sweeps import consistency as consistency
from keras_wcd.metrics.sweeps import fidelity as fidelity
from keras_wcd.metrics.sweeps import mmd as mmd
