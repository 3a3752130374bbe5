"""Nearest neighbors against naive loops, on every backend."""

import keras
import numpy as np
import point_oracles as naive
import pytest

from keras_wcd.ops import gather_points, knn, nearest, nearest_both

pytestmark = pytest.mark.backend
METHODS = ["auto", "brute", "kd_tree"]


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


def check_nearest(x, y, method):
    distance, index = naive.to_numpy(nearest(x, y, method=method))
    assert distance.shape == index.shape == x.shape[:2]
    assert index.dtype == np.int32
    for b in range(len(x)):
        expected, where = naive.nearest(x[b], y[b])
        np.testing.assert_allclose(distance[b], expected, rtol=1e-5, atol=1e-12)
        chosen = [naive.square(x[b, i], y[b, j]) for i, j in enumerate(index[b])]
        np.testing.assert_allclose(chosen, expected, rtol=1e-5, atol=1e-12)
        if len(np.unique(y[b], axis=0)) == len(y[b]):
            np.testing.assert_array_equal(index[b], where)


def test_nearest_matches_loops_for_clouds_of_different_sizes(method):
    x, y = naive.clouds()
    check_nearest(x, y, method)
    check_nearest(y, x, method)


def test_nearest_matches_loops_for_duplicated_points(method):
    x, y = naive.clouds()
    check_nearest(np.repeat(x, 2, axis=1), np.repeat(y, 3, axis=1), method)


def test_nearest_matches_loops_for_clouds_of_one_point(method):
    x, y = naive.clouds(n=1, m=1)
    check_nearest(x, y, method)
    check_nearest(naive.clouds()[0], y, method)


def test_nearest_of_a_cloud_in_itself_is_the_point_at_distance_zero(method):
    x, _ = naive.clouds()
    distance, index = naive.to_numpy(nearest(x, x, method=method))
    assert (distance == 0).all()
    np.testing.assert_array_equal(index, np.tile(np.arange(x.shape[1]), (len(x), 1)))


def test_nearest_matches_loops_far_from_the_origin(method):
    x, y = naive.clouds()
    check_nearest(x + np.float32(1e4), y + np.float32(1e4), method)
    check_nearest(x * np.float32(1e4), y * np.float32(1e4), method)


def test_nearest_takes_a_cloud_that_collapsed_to_one_place(method):
    x, _ = naive.clouds()
    distance, index = naive.to_numpy(nearest(x, np.full((2, 3000, 3), 0.25, "float32"), method=method))
    np.testing.assert_allclose(distance, np.square(x - 0.25).sum(-1), rtol=1e-5)
    assert (index >= 0).all()
    assert (index < 3000).all()


def test_padding_is_never_found(method):
    x, y = naive.clouds()
    y[0, [0, 3, 16]] = np.nan
    y[1, 5, 1] = np.nan
    distance, index = naive.to_numpy(nearest(x, y, method=method))
    for b in range(2):
        expected, where = naive.nearest(x[b], y[b])
        np.testing.assert_allclose(distance[b], expected, rtol=1e-5)
        np.testing.assert_array_equal(index[b], where)


def test_a_query_that_is_nan_has_a_nan_distance_and_a_valid_index(method):
    x, y = naive.clouds()
    x[0, 4] = np.nan
    distance, index = naive.to_numpy(nearest(x, y, method=method))
    assert np.isnan(distance[0, 4])
    assert np.isfinite(np.delete(distance[0], 4)).all()
    assert (index >= 0).all()
    assert (index < y.shape[1]).all()


def test_a_cloud_of_padding_alone_gives_nan_and_valid_indices(method):
    x, y = naive.clouds()
    y[1] = np.nan
    distance, index = naive.to_numpy(nearest(x, y, method=method))
    assert np.isfinite(distance[0]).all()
    assert np.isnan(distance[1]).all()
    assert (index >= 0).all()
    assert (index < y.shape[1]).all()


def test_nearest_both_is_nearest_in_both_directions(method):
    x, y = naive.clouds()
    there, back = naive.to_numpy(nearest_both(x, y, method=method))
    np.testing.assert_array_equal(there, naive.to_numpy(nearest(x, y, method=method))[1])
    np.testing.assert_array_equal(back, naive.to_numpy(nearest(y, x, method=method))[1])


@pytest.mark.parametrize("k", [1, 4, 17])
def test_knn_matches_loops(method, k):
    x, y = naive.clouds()
    distance, index = naive.to_numpy(knn(x, y, k, method=method))
    assert index.dtype == np.int32
    for b in range(2):
        expected, where = naive.knn(x[b], y[b], k)
        np.testing.assert_allclose(distance[b], expected, rtol=1e-5)
        np.testing.assert_array_equal(index[b], where)


def test_knn_matches_loops_with_padding_and_duplicates(method):
    x, y = naive.clouds()
    y[0, 2:9] = np.nan
    y[1, 3] = y[1, 4]
    distance = naive.to_numpy(knn(x, y, 5, method=method))[0]
    for b in range(2):
        np.testing.assert_allclose(distance[b], naive.knn(x[b], y[b], 5)[0], rtol=1e-5)


def test_knn_repeats_the_nearest_where_padding_leaves_too_few(method):
    x, y = naive.clouds()
    y[0, 2:] = np.nan
    distance, index = naive.to_numpy(knn(x, y, 4, method=method))
    expected, where = naive.knn(x[0], y[0], 4)
    np.testing.assert_array_equal(index[0], where)
    np.testing.assert_allclose(distance[0], expected, rtol=1e-5)


def test_small_blocks_change_nothing(monkeypatch):
    x, y = naive.clouds()
    whole = naive.to_numpy([*nearest(x, y, method="brute"), *knn(x, y, 3, method="brute")])
    for block in (1, 100):
        monkeypatch.setattr("keras_wcd.ops.neighbors.BLOCK", block)
        blocks = naive.to_numpy([*nearest(x, y, method="brute"), *knn(x, y, 3, method="brute")])
        for a, b in zip(whole, blocks, strict=True):
            np.testing.assert_array_equal(a, b)


def test_mixed_dtypes_are_widened():
    x, y = naive.clouds()
    expected = naive.to_numpy(nearest(x, y))
    for wide in (nearest(x, y.astype("float64")), nearest(x.astype("float64"), y)):
        distance, index = naive.to_numpy(wide)
        np.testing.assert_allclose(distance, expected[0], rtol=1e-5)
        np.testing.assert_array_equal(index, expected[1])


def test_half_precision_is_measured_in_single():
    x, y = (c.astype("float16") for c in naive.clouds())
    distance, _ = naive.to_numpy(nearest(x, y))
    assert distance.dtype == np.float32
    np.testing.assert_allclose(distance[0], naive.nearest(x[0], y[0])[0], rtol=1e-5, atol=1e-12)


def test_gather_points_takes_rows_for_indices_of_any_rank():
    features = np.random.default_rng(0).normal(size=(2, 9, 4)).astype("float32")
    for shape in [(2, 5), (2, 5, 3), (2, 1, 2, 3)]:
        index = np.random.default_rng(1).integers(0, 9, shape).astype("int32")
        got = naive.to_numpy(gather_points(keras.ops.convert_to_tensor(features), keras.ops.convert_to_tensor(index)))[
            0
        ]
        np.testing.assert_array_equal(got, np.stack([f[i] for f, i in zip(features, index, strict=True)]))


def test_gradient_of_nearest_equals_finite_differences(method):
    x, y = (c.astype("float64") for c in naive.clouds(batch=1, n=7, m=5))
    weight = np.random.default_rng(3).normal(size=(7,))

    def value(a, b):
        return keras.ops.sum(nearest(a, b, method=method)[0] * keras.ops.cast(weight, a.dtype))

    got_x, got_y = naive.gradients(value, x, y)
    want_x = naive.differences(lambda a: (naive.nearest(a[0], y[0])[0] * weight).sum(), x)
    want_y = naive.differences(lambda b: (naive.nearest(x[0], b[0])[0] * weight).sum(), y)
    np.testing.assert_allclose(got_x, want_x, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got_y, want_y, rtol=1e-4, atol=1e-5)


def test_gradient_of_knn_equals_finite_differences(method):
    x, y = (c.astype("float64") for c in naive.clouds(batch=1, n=6, m=5))
    weight = np.random.default_rng(3).normal(size=(6, 3))

    def value(a, b):
        return keras.ops.sum(knn(a, b, 3, method=method)[0] * keras.ops.cast(weight, a.dtype))

    got_x, got_y = naive.gradients(value, x, y)
    want_x = naive.differences(lambda a: (naive.knn(a[0], y[0], 3)[0] * weight).sum(), x)
    want_y = naive.differences(lambda b: (naive.knn(x[0], b[0], 3)[0] * weight).sum(), y)
    np.testing.assert_allclose(got_x, want_x, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got_y, want_y, rtol=1e-4, atol=1e-5)


def test_gradient_is_zero_at_padding_and_finite_elsewhere(method):
    x, y = naive.clouds()
    y[0, [0, 5]] = np.nan
    got_x, got_y = naive.gradients(lambda a, b: keras.ops.sum(nearest(a, b, method=method)[0]), x, y)
    assert np.isfinite(got_x).all()
    assert np.isfinite(got_y).all()
    assert (got_y[0, [0, 5]] == 0).all()


def test_gradient_of_gather_points_counts_every_use():
    features = np.random.default_rng(0).normal(size=(1, 4, 2)).astype("float32")
    index = np.array([[0, 2, 2, 3, 2]], "int32")
    gradient = naive.gradients(lambda f: keras.ops.sum(gather_points(f, keras.ops.convert_to_tensor(index))), features)[
        0
    ]
    np.testing.assert_array_equal(gradient[0, :, 0], [1, 0, 3, 1])


def lattice(spacing, dtype="float32"):
    """All places of a lattice, some of them twice, in an order that is none; and queries on and between them."""
    rng = np.random.default_rng(5)
    places = np.stack(np.meshgrid(*[np.arange(6.0)] * 3), -1).reshape(-1, 3)
    points = np.concatenate([places, places[rng.integers(0, 216, 150)]])[rng.permutation(366)]
    queries = np.concatenate([places[::3], places[:40] + [0.5, 0, 0], places[:40] + [0.5, 0.5, 0], places[:40] + 0.5])
    return [(spacing * cloud[None]).astype(dtype) for cloud in (queries, points)]


def lowest_within_a_millionth(x, y):
    squared = np.square(x[:, None].astype("float64") - y[None]).sum(-1)
    return (squared <= squared.min(axis=1, keepdims=True) * (1 + 2.0**-20)).argmax(axis=1)


@pytest.mark.parametrize("spacing", [1.0, 2.0**-5, 3.0])
def test_of_points_equally_near_the_lowest_index_is_found_on_request(method, spacing):
    x, y = lattice(spacing)
    expected = lowest_within_a_millionth(x[0], y[0])
    np.testing.assert_array_equal(naive.to_numpy(nearest(x, y, method=method, lowest=True))[1][0], expected)
    there, back = naive.to_numpy(nearest_both(x, y, method=method, lowest=True))
    np.testing.assert_array_equal(there[0], expected)
    np.testing.assert_array_equal(back[0], lowest_within_a_millionth(y[0], x[0]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("further", "expected"), [(3.6e-7, 0), (2e-6, 1)])
def test_points_within_a_millionth_of_the_squared_distance_are_equally_near(method, dtype, further, expected):
    query = np.zeros((1, 2, 3), dtype)
    # Twice as far in the square: 7e-7 and 4e-6 of it.
    points = np.array([[[1 + further, 0, 0], [0, 1, 0], [0, 0, 1]]], dtype)
    assert naive.to_numpy(nearest(query, points, method=method, lowest=True))[1].tolist() == [[expected] * 2]


def test_the_lowest_index_is_found_among_more_ties_than_a_tree_is_asked_for(method, monkeypatch):
    monkeypatch.setattr("keras_wcd.ops.kd_tree.BLOCK", 100)
    x, _ = naive.clouds()
    one_place = np.full((2, 40, 3), 0.25, "float32")
    one_place[:, :3] += 7
    assert (naive.to_numpy(nearest(x, one_place, method=method, lowest=True))[1] == 3).all()
    one_place[:, 3:9, 1] = np.nan
    assert (naive.to_numpy(nearest(x, one_place, method=method, lowest=True))[1] == 9).all()
    assert (naive.to_numpy(nearest(x, one_place[:, 20:21], method=method, lowest=True))[1] == 0).all()
    assert (naive.to_numpy(nearest(x, one_place[:, 3:6], method=method, lowest=True))[1] == 0).all()


def test_roundings_of_a_lattice_decide_nothing():
    # A tenth is no float: distances that are one number on paper differ in their last bits.
    x, y = lattice(0.1)
    found = [naive.to_numpy(nearest(x, y, method=m, lowest=True))[1] for m in METHODS]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_asking_for_the_lowest_index_changes_nothing_where_no_points_tie(method):
    x, y = naive.clouds()
    y[0, [2, 5]] = np.nan
    for plain, lowest in zip(nearest(x, y, method=method), nearest(x, y, method=method, lowest=True), strict=True):
        np.testing.assert_array_equal(*naive.to_numpy([plain, lowest]))


@pytest.mark.parametrize("scale", [1e10, 1e16])
def test_neighbors_are_no_padding_however_far_they_are(method, scale):
    x, y = (np.float32(scale) * cloud for cloud in naive.clouds())
    y[0, [0, 3]] = np.nan
    distance, index = naive.to_numpy(knn(x, y, 5, method=method))
    for b in range(2):
        expected, where = naive.knn(x[b], y[b], 5)
        np.testing.assert_array_equal(index[b], where)
        np.testing.assert_allclose(distance[b], expected, rtol=1e-5)
        np.testing.assert_array_equal(naive.to_numpy(nearest(x, y, method=method))[1][b], where[:, 0])
