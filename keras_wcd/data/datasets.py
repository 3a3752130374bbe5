"""The table of data sets by name."""

from keras_wcd.data.shapes import Shapes8

DATASETS = {"shapes8": Shapes8}
