"""Clouds and weights as they enter: about a common point, refused where they have no one shape."""

import keras
import numpy as np
import point_oracles as naive
import pytest
from backends import tensorflow_only

from keras_wcd.ops import ball_query, farthest_point_sampling, knn, nearest, three_interpolate
from keras_wcd.ops.clouds import as_pair, as_weights

pytestmark = pytest.mark.backend
OFFSETS = [4e6, -1e7, 1e9]


def far_apart_by_place_only(offset):
    """Clouds whose places are whole 2^-20ths, so that an offset rounds nothing away, and the same clouds moved."""
    near = [np.round(cloud.astype("float64") * 2**20) / 2**20 for cloud in naive.clouds()]
    # One way for every axis and for every cloud of the batch.
    move = np.round(offset) * np.array([[[1.0, -0.5, 0.25]], [[-0.25, 1.0, 0.5]]])
    return near, [cloud + move for cloud in near]


@pytest.mark.parametrize("offset", OFFSETS)
def test_distances_of_float64_clouds_do_not_depend_on_their_place(offset):
    (x, y), moved = far_apart_by_place_only(offset)
    for method in ("auto", "brute", "kd_tree"):
        for function in (nearest, lambda *a, **b: knn(*a, 4, **b)):
            expected, where = naive.to_numpy(function(x, y, method=method))
            found, index = naive.to_numpy(function(*moved, method=method))
            np.testing.assert_allclose(found, expected, rtol=1e-5)
            np.testing.assert_array_equal(index, where)
        np.testing.assert_allclose(naive.to_numpy(nearest(x, y))[0][0], naive.nearest(x[0], y[0])[0], rtol=1e-5)


@pytest.mark.parametrize("offset", OFFSETS)
def test_operations_on_float64_clouds_do_not_depend_on_their_place(offset):
    (x, y), moved = far_apart_by_place_only(offset)
    features = np.random.default_rng(0).normal(size=(2, 17, 4)).astype("float32")
    for case in (
        lambda x, y: farthest_point_sampling(x, 9),
        lambda x, y: ball_query(x, y, 0.6, 5),
        lambda x, y: three_interpolate(x, y, features),
    ):
        np.testing.assert_allclose(naive.to_numpy(case(*moved))[0], naive.to_numpy(case(x, y))[0], rtol=1e-4)


def test_the_common_point_is_one_for_both_dtypes_and_passes_what_is_not_finite_over():
    (x, y), _ = far_apart_by_place_only(0)
    y[0, 3], y[1] = np.nan, np.nan
    x[0, 0, 1] = np.inf
    for a, b in ((x, y), (x.astype("float32"), y), (x, y.astype("float32"))):
        for left, right in ((a + 4e6, b + 4e6), (b + 4e6, a + 4e6)):
            moved = [naive.to_numpy(cloud)[0] for cloud in as_pair(left, right)]
            for cloud, given in zip(moved, (left, right), strict=True):
                np.testing.assert_array_equal(np.isnan(cloud), np.isnan(given))
            assert np.abs(moved[0][0, 5] - moved[1][0, 5] - (left[0, 5].astype("float64") - right[0, 5])).max() < 1e-6


@tensorflow_only
def test_float64_tensors_in_graphs_and_under_xla_do_not_depend_on_their_place():
    import tensorflow as tf

    (x, y), moved = far_apart_by_place_only(1e7)
    expected = nearest(x, y)[0]
    for jit in (False, True):
        found = tf.function(nearest, jit_compile=jit)(*map(tf.constant, moved))[0]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


WEIGHTS = {
    "one number": (2.0, [2, 2, 2]),
    "a whole number": (3, [3, 3, 3]),
    "one per cloud": (np.float64([1, 0, 3]), [1, 0, 3]),
    "a list": ([1, 0, 3], [1, 0, 3]),
    "a column": (np.float32([[1], [0], [3]]), [1, 0, 3]),
    "truth values": (np.array([True, False, True]), [1, 0, 1]),
    "none": (None, [1, 1, 1]),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_are_one_per_cloud(case):
    given, expected = WEIGHTS[case]
    found = as_weights(given, keras.ops.zeros((3,), "float32"))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), expected)


@pytest.mark.parametrize("shape", [(2,), (4,), (1,), (3, 5), (1, 3), (3, 1, 1), (3, 0), (0,)])
def test_weights_of_another_shape_are_named(shape):
    with pytest.raises(ValueError, match=r"^sample_weight must be one number or one per cloud, .*got shape \("):
        as_weights(np.ones(shape, "float32"), keras.ops.zeros((3,)))


RAGGED = [[[[0.0, 0, 0]]], [[[0.0, 0, 0], [1.0, 1, 1]]]]


def test_lists_of_clouds_of_different_sizes_are_named():
    ragged = RAGGED[0] + RAGGED[1]
    for bad in (ragged, np.array([np.zeros((1, 3)), np.zeros((2, 3))], dtype=object)):
        with pytest.raises(ValueError, match="^y is no array of one shape; pad the shorter clouds"):
            nearest(np.zeros((2, 4, 3)), bad)
    with pytest.raises(ValueError, match="^sample_weight is no array of one shape; give one number per cloud"):
        as_weights([[1.0], [1.0, 2.0]], keras.ops.zeros((2,)))


@tensorflow_only
def test_ragged_and_sparse_tensors_are_named():
    import tensorflow as tf

    ragged = tf.ragged.stack([tf.zeros((1, 3)), tf.ones((2, 3))])
    with pytest.raises(ValueError, match="^y is a RaggedTensor.*pad the shorter clouds.*to_tensor"):
        nearest(tf.zeros((2, 4, 3)), ragged)
    with pytest.raises(ValueError, match="x is a RaggedTensor"):
        tf.function(nearest)(ragged, tf.zeros((2, 4, 3)))
    with pytest.raises(ValueError, match="^points is a SparseTensor"):
        farthest_point_sampling(tf.sparse.from_dense(tf.ones((2, 4, 3))), 2)
    with pytest.raises(ValueError, match="^sample_weight is a RaggedTensor, .*one number per cloud$"):
        as_weights(tf.ragged.constant([[1.0], [1.0, 2.0]]), tf.zeros((2,)))
