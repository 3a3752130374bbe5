"""The operations against results of the official operators, where the recorded ones lie beside the repository."""

import json

import keras
import numpy as np
import point_oracles as naive
import pytest
from shared import recording

from keras_wcd.ops import ball_query, farthest_point_sampling, gather_points, knn, nearest, three_interpolate

RECORDED = recording("ops.npz")
pytestmark = pytest.mark.backend


@pytest.fixture(scope="module")
def recorded():
    with np.load(RECORDED) as file:
        arrays = {key: file[key] for key in file.files}
    assert json.loads(str(arrays.pop("meta")))["model"] == "ops"
    return arrays


def sample(cloud, count, rule, method):
    return naive.to_numpy(farthest_point_sampling(cloud[None], count, rule=rule, method=method))[0][0]


def distinct(cloud, index):
    """How many samples come before every distinct place is taken."""
    seen = set()
    for place, point in enumerate(cloud[index].tolist()):
        if tuple(point) in seen:
            return place
        seen.add(tuple(point))
    return len(index)


@pytest.mark.parametrize("method", ["loop", "host"])
@pytest.mark.parametrize(
    ("release", "rule"), [("pointnet2_ops", "pointnet2"), ("mm3d", "standard"), ("tf", "standard")]
)
def test_samples_are_those_of_the_releases(recorded, release, rule, method):
    cloud, expected = recorded["fps/random/xyz"], recorded[f"fps/random/{release}"]
    got = sample(cloud, len(expected), rule, method)
    # The cloud holds duplicates: the releases break ties by thread, so places are compared and not indices.
    # Once every place is taken all distances are zero and each release repeats a point of its own.
    count = distinct(cloud, expected)
    assert count > 500
    assert distinct(cloud, got) == count
    np.testing.assert_array_equal(cloud[got[:count]], cloud[expected[:count]])


@pytest.mark.parametrize("method", ["loop", "host"])
def test_samples_break_ties_by_the_lowest_index(recorded, method):
    got = sample(recorded["fps/random/xyz"], 650, "standard", method)
    np.testing.assert_array_equal(got, recorded["fps/random/plain_argmax_lowest_index"])


@pytest.mark.skipif(keras.config.backend() == "jax", reason="XLA's fused multiply-add decides the ties of a lattice")
@pytest.mark.parametrize("method", ["loop", "host"])
def test_samples_of_a_lattice_break_ties_by_the_lowest_index(recorded, method):
    got = sample(recorded["fps/lattice/xyz"], 96, "standard", method)
    np.testing.assert_array_equal(got, recorded["fps/lattice/plain_argmax_lowest_index"])


@pytest.mark.parametrize("method", ["brute", "host"])
@pytest.mark.parametrize(("radius", "count"), [(0.2, 16), (0.05, 8)])
def test_balls_are_those_of_the_releases(recorded, radius, count, method):
    centers, points = recorded["ball/new_xyz"], recorded["ball/xyz"]
    got = naive.to_numpy(ball_query(centers, points, radius, count, method=method))[0]
    np.testing.assert_array_equal(got, recorded[f"ball/pointnet2_ops_r{radius}_k{count}"])
    # The TensorFlow release leaves empty balls uninitialized.
    hit = recorded[f"ball/tf_cnt_r{radius}_k{count}"] > 0
    np.testing.assert_array_equal(got[hit], recorded[f"ball/tf_r{radius}_k{count}"][hit])


def test_three_neighbors_are_those_of_the_release(recorded):
    distance, index = naive.to_numpy(knn(recorded["three/unknown"], recorded["three/known"], 3))
    np.testing.assert_array_equal(index, recorded["three/idx"])
    np.testing.assert_allclose(distance, recorded["three/dist2"], rtol=1e-5)


def test_one_known_point_is_the_first_of_three_neighbors(recorded):
    unknown, known = recorded["three/unknown"], np.zeros((1, 1, 3), "float32")  # recorded with the origin known
    distance, index = naive.to_numpy(nearest(unknown, known))
    np.testing.assert_array_equal(index, recorded["three/one_known_idx"][..., 0])
    np.testing.assert_allclose(distance, recorded["three/one_known_dist2"][..., 0], rtol=1e-5, atol=1e-12)
    features = recorded["three/features_bcn"].transpose(0, 2, 1)[:, :1]
    got = naive.to_numpy(three_interpolate(unknown, known, features))[0]
    # The recorded distances of the two missing neighbors are the largest floats: they weigh nothing.
    assert (recorded["three/one_known_dist2"][..., 1:] > 1e38).all()
    np.testing.assert_array_equal(got, np.broadcast_to(features, got.shape))


@pytest.mark.parametrize(("squared", "release"), [(False, "pointnet2"), (True, "tf")])
def test_interpolation_is_that_of_the_releases(recorded, squared, release):
    features = recorded["three/features_bcn"].transpose(0, 2, 1)
    unknown, known = recorded["three/unknown"], recorded["three/known"]
    got = naive.to_numpy(three_interpolate(unknown, known, features, squared=squared))[0]
    np.testing.assert_allclose(got.transpose(0, 2, 1), recorded[f"three/{release}_out"], atol=1e-6)


def test_interpolation_weights_are_those_of_the_releases(recorded):
    """Features that name their point turn the output into the weights."""
    unknown, known = recorded["three/unknown"], recorded["three/known"]
    names = np.eye(known.shape[1], dtype="float32")[None]
    for key, squared in (("three/pointnet2_weights (1/dist)", False), ("three/tf_weights (1/dist^2)", True)):
        got = naive.to_numpy(three_interpolate(unknown, known, names, squared=squared))[0]
        weights = np.take_along_axis(got, recorded["three/idx"].astype(np.int64), axis=-1)
        np.testing.assert_allclose(weights, recorded[key], rtol=1e-4, atol=1e-6)


def test_distances_of_the_chamfer_release(recorded):
    for x, y, d, i in (("a", "b", "d1", "i1"), ("b", "a", "d2", "i2")):
        distance, index = naive.to_numpy(nearest(recorded[f"chamfer/{x}"], recorded[f"chamfer/{y}"]))
        np.testing.assert_array_equal(index, recorded[f"chamfer/{i}"])
        np.testing.assert_allclose(distance, recorded[f"chamfer/{d}"], rtol=1e-5, atol=1e-12)


def test_gradients_of_the_chamfer_release(recorded):
    def chamfer(a, b):
        return keras.ops.mean(nearest(a, b)[0]) + keras.ops.mean(nearest(b, a)[0])

    got = naive.gradients(chamfer, recorded["chamfer/a"], recorded["chamfer/b"])
    for gradient, name in zip(got, "ab", strict=True):
        np.testing.assert_allclose(gradient, recorded[f"chamfer/grad_{name}_of_L2"], rtol=1e-4, atol=1e-7)


def test_gathered_neighbors_lie_at_the_recorded_distances(recorded):
    index = keras.ops.convert_to_tensor(recorded["three/idx"])
    known = naive.to_numpy(gather_points(keras.ops.convert_to_tensor(recorded["three/known"]), index))[0]
    square = np.square(recorded["three/unknown"][:, :, None] - known).sum(-1)
    np.testing.assert_allclose(square, recorded["three/dist2"], rtol=1e-5)
