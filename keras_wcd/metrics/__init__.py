"""Figures of completed clouds: Keras metrics, the same figures in float64 on the host, and those for KITTI."""

from keras_wcd.metrics.float64 import FIGURES as FIGURES
from keras_wcd.metrics.float64 import figures as figures
from keras_wcd.metrics.keras_metrics import CDL1 as CDL1
from keras_wcd.metrics.keras_metrics import CDL2 as CDL2
from keras_wcd.metrics.keras_metrics import EMD as EMD
from keras_wcd.metrics.keras_metrics import METRICS as METRICS
from keras_wcd.metrics.keras_metrics import AbstractCloudMetric as AbstractCloudMetric
from keras_wcd.metrics.keras_metrics import DCDMetric as DCDMetric
from keras_wcd.metrics.keras_metrics import FScore as FScore
from keras_wcd.metrics.keras_metrics import Hausdorff as Hausdorff
from keras_wcd.metrics.kitti import consistency as consistency
from keras_wcd.metrics.kitti import fidelity as fidelity
from keras_wcd.metrics.kitti import mmd as mmd
