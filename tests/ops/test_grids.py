"""Grids: naive loops as oracles, and the recorded results of the released operators."""

import itertools
import math

import keras
import numpy as np
import point_oracles as naive
import pytest
from shared import recording

from keras_wcd.ops import cubic_feature_sampling, gridding, gridding_reverse

RECORDED = recording("ops.npz")
pytestmark = pytest.mark.backend
SIZE = 8


@pytest.fixture(scope="module")
def recorded():
    with np.load(RECORDED) as file:
        return {key: file[key] for key in file.files}


def spread(cloud, size):
    grid = np.zeros((size,) * 3)
    for point in cloud:
        if point.sum() == 0:
            continue
        scaled = point.astype(float) * size / 2 + size / 2
        for vertex in itertools.product(range(size), repeat=3):
            grid[vertex] += math.prod(max(0.0, 1 - abs(s - v)) for s, v in zip(scaled, vertex, strict=True))
    return grid


def gathered(grid):
    size = len(grid)
    points = np.zeros((size,) * 3 + (3,))
    for cell in itertools.product(range(1, size), repeat=3):
        vertices = [np.array(cell) - back for back in itertools.product((0, 1), repeat=3)]
        weights = [grid[tuple(v)] for v in vertices]
        if sum(weights) >= 1e-6:
            mean = sum(w * v for w, v in zip(weights, vertices, strict=True)) / sum(weights)
            points[cell] = mean * 2 / size - 1
    return points.reshape(-1, 3)


def sampled(cloud, features):
    size = len(features)
    out = np.zeros((len(cloud), 8, features.shape[-1]))
    for i, point in enumerate(cloud):
        low = np.floor(point * (size / 2)).astype(int) + size // 2
        for j, up in enumerate(itertools.product((0, 1), repeat=3)):
            vertex = low + up
            if ((vertex >= 0) & (vertex < size)).all():
                out[i, j] = features[tuple(vertex)]
    return out


def clouds(seed=0, reach=0.7, count=20):
    return np.random.default_rng(seed).uniform(-reach, reach, (2, count, 3)).astype("float32")


def weighed(tensor, weight):
    return keras.ops.sum(tensor * keras.ops.convert_to_tensor(weight))


def test_spreads_every_point_over_the_vertices_of_its_cell():
    x = clouds(reach=1.3)
    x[0, :3] = 0
    x[1, 0] = (0.25, -0.25, 0)
    x[1, 1] = (0.5, 0.25, -0.5)
    found = naive.to_numpy(gridding(x, SIZE))[0]
    np.testing.assert_allclose(found, [spread(cloud, SIZE) for cloud in x], atol=1e-6)


def test_weights_of_points_inside_sum_to_their_number():
    found = naive.to_numpy(gridding(clouds(), SIZE))[0]
    np.testing.assert_allclose(found.sum((1, 2, 3)), 20, rtol=1e-6)


def test_a_point_without_numbers_or_far_away_reaches_no_vertex():
    x = clouds()
    x[0, 0], x[0, 1], x[1, 0], x[1, 1] = 1e30, np.nan, np.inf, -5.0
    found = naive.to_numpy(gridding(x, SIZE))[0]
    np.testing.assert_allclose(found.sum((1, 2, 3)), 18, rtol=1e-6)


def test_every_cell_gives_the_weighted_mean_of_its_vertices():
    grid = np.random.default_rng(1).uniform(0, 1, (2, SIZE, SIZE, SIZE)).astype("float32")
    grid[grid < 0.7] = 0
    found = naive.to_numpy(gridding_reverse(grid))[0]
    np.testing.assert_allclose(found, [gathered(one) for one in grid], atol=1e-6)


def test_a_lone_point_comes_back_from_the_grid():
    x = np.array([[[0.3, -0.4, 0.55]]], "float32")
    points = naive.to_numpy(gridding_reverse(gridding(x, 16)))[0][0]
    assert np.linalg.norm(points - x[0, 0], axis=-1).min() < 1e-6


def test_takes_the_features_of_the_vertices_around_a_point():
    x = clouds(reach=1.4)
    features = np.random.default_rng(2).normal(size=(2, SIZE, SIZE, SIZE, 3)).astype("float32")
    found = naive.to_numpy(cubic_feature_sampling(x, features))[0]
    np.testing.assert_array_equal(
        found, np.stack([sampled(*pair) for pair in zip(x, features, strict=True)]).astype("float32")
    )


def test_gradients_equal_finite_differences():
    if keras.config.backend() != "tensorflow":
        pytest.skip("Keras makes float64 arrays float32 tensors on JAX and PyTorch")
    random = np.random.default_rng(3)
    x = random.uniform(-0.8, 0.8, (1, 5, 3))
    grid = random.uniform(0.1, 1, (1, 4, 4, 4))
    weight = random.normal(size=(1, 4, 4, 4))
    rows = random.normal(size=(1, 64, 3))

    def on_grid(x):
        return weighed(gridding(x, 4), weight)

    def on_points(grid):
        return weighed(gridding_reverse(grid), rows)

    for function, at in ((on_grid, x), (on_points, grid)):
        expected = naive.differences(lambda value, f=function: float(naive.to_numpy(f(value))[0]), at)
        np.testing.assert_allclose(naive.gradients(function, at)[0], expected, rtol=1e-5, atol=1e-7)


def test_gridding_is_that_of_the_release(recorded):
    x, rows = recorded["grid/ptcloud (before *scale/2)"], recorded["grid/R"]
    found = naive.to_numpy(gridding(x, 16))[0]
    np.testing.assert_allclose(found.reshape(1, -1), recorded["grid/out_scale16"], atol=1e-6)

    def value(x):
        return weighed(gridding(x, 16), rows.reshape(1, 16, 16, 16))

    # Recorded for the cloud in steps of the grid.
    gradient = naive.gradients(value, x)[0] / 8
    np.testing.assert_allclose(gradient, recorded["grid/grad_scaled_ptcloud"], rtol=1e-5, atol=1e-6)


def test_the_reverse_is_that_of_the_release(recorded):
    grid = recorded["grid/out_scale16"].reshape(1, 16, 16, 16)
    rows = recorded["gridrev/R"]
    found = naive.to_numpy(gridding_reverse(grid))[0]
    np.testing.assert_allclose(found * 8, recorded["gridrev/out (before /scale*2)"], atol=2e-6)

    def value(grid):
        return weighed(gridding_reverse(grid), 8 * rows)

    gradient = naive.gradients(value, grid)[0].reshape(1, -1)
    expected = recorded["gridrev/grad_grid"]
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


def test_sampling_is_that_of_the_release(recorded):
    features = recorded["cubic/features"].transpose(0, 2, 3, 4, 1)
    x = recorded["cubic/ptcloud_scaled"] / 4 - 1
    np.testing.assert_array_equal(x * 4 + 4, recorded["cubic/ptcloud_scaled"])
    found = naive.to_numpy(cubic_feature_sampling(x, features))[0]
    np.testing.assert_array_equal(found, recorded["cubic/out"])

    def value(x, features):
        return weighed(cubic_feature_sampling(x, features), recorded["cubic/R"])

    at_points, at_features = naive.gradients(value, x, features)
    assert not at_points.any()
    np.testing.assert_allclose(at_features.transpose(0, 4, 1, 2, 3), recorded["cubic/grad_features"], atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gridding(clouds(), 7), "even number of vertices"),
        (lambda: gridding(clouds()[0], 8), "points must be clouds"),
        (lambda: gridding_reverse(np.zeros((1, 4, 4, 6), "float32")), "shape"),
        (lambda: gridding_reverse(np.zeros((1, 5, 5, 5), "float32")), "even number of vertices"),
        (lambda: cubic_feature_sampling(clouds(), np.zeros((2, 4, 4, 3), "float32")), "features must be of shape"),
    ],
)
def test_wrong_shapes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
