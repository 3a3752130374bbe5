"""Functions of point tensors: neighbours, sampling, grouping, interpolation."""

from keras_wcd.ops.host import device_only as device_only
from keras_wcd.ops.neighbors import gather_points as gather_points
from keras_wcd.ops.neighbors import knn as knn
from keras_wcd.ops.neighbors import nearest as nearest
from keras_wcd.ops.neighbors import nearest_both as nearest_both
