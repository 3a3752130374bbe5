"""Where `.keras` files of version 0.1.0 say that the metrics are: Keras imports this module to load one."""

from keras_wcd.metrics.keras_metrics import CDL1, CDL2, EMD, DCDMetric, FScore, Hausdorff

__all__ = ["CDL1", "CDL2", "EMD", "DCDMetric", "FScore", "Hausdorff"]
