"""The one frame and the one rule for a scan, against naive loops; nothing random, nothing of a framework."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation
from shared import DATA

from keras_wcd import data
from keras_wcd.frames import (
    CANDIDATES,
    SEEN,
    UPRIGHT,
    Frame,
    frame_of,
    precision,
    resample,
    thinned,
    turned_back,
    upright,
)
from keras_wcd.ops.sampling import farthest_point_indices


@pytest.fixture
def points():
    return np.random.default_rng(0).uniform(-1, 1, (200, 3)) * [1, 0.5, 0.2]


def naive_rule(points, count):
    """The indices of the rule by loops: strides, then the point farthest from those chosen, the lowest of several."""
    index = list(range(len(points)))
    if len(index) > 8 * count:
        index = [index[i * len(points) // (8 * count)] for i in range(8 * count)]
    if len(index) <= count:
        return [index[i * len(index) // count] for i in range(count)]
    distance = cdist(points[index], points[index], "sqeuclidean")
    chosen = [0]
    while len(chosen) < count:
        nearest = distance[:, chosen].min(axis=1)
        chosen.append(int(np.flatnonzero(nearest == nearest.max())[0]))
    return [index[i] for i in chosen]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 49, 50, 51, 120, 400, 401, 1000, 3333])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_rule_equals_naive_loops(size, dtype):
    # Whole numbers: their distances are exact in either type, and ties are many.
    points = np.random.default_rng(size).integers(-20, 20, (size, 3)).astype(dtype)
    found = resample(points, 50)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, points[naive_rule(points, 50)])


def test_fewer_points_are_repeated_evenly_and_in_order():
    found = resample(np.arange(21.0).reshape(7, 3), 24)
    values, times = np.unique(found[:, 0], return_counts=True)
    assert sorted(times) == [3, 3, 3, 3, 4, 4, 4]
    assert list(found[:, 0]) == sorted(found[:, 0])
    assert len(values) == 7


def test_more_points_become_farthest_ones_whose_prefixes_nest(points):
    np.testing.assert_array_equal(resample(points, 60), points[farthest_point_indices(points, 60)])
    np.testing.assert_array_equal(resample(points, 60)[:30], resample(points, 30))


def test_thinning_begins_above_eight_times_the_count_and_is_not_repeated():
    cloud = np.random.default_rng(0).normal(size=(900, 3))
    assert thinned(cloud[: CANDIDATES * 100], 100).shape == (800, 3)
    np.testing.assert_array_equal(thinned(cloud[:801], 100), np.delete(cloud[:801], 800, axis=0))
    np.testing.assert_array_equal(thinned(thinned(cloud, 100), 100), thinned(cloud, 100))
    np.testing.assert_array_equal(resample(thinned(cloud, 100), 100), resample(cloud, 100))


def test_whole_numbers_far_away_are_told_apart():
    # At 5.4e9 neighbors in float32 are 512 apart.
    near = np.random.default_rng(0).integers(0, 400, (500, 3))
    np.testing.assert_array_equal(resample(near + 5_400_000_000, 64), resample(near, 64) + 5_400_000_000)


@pytest.mark.parametrize(("points", "count"), [(np.zeros((0, 3)), 3), (np.zeros((3, 4)), 3), (np.zeros((3, 3)), 0)])
def test_resampling_names_what_is_wrong(points, count):
    with pytest.raises(ValueError, match="must be"):
        resample(points, count)


def test_there_is_one_frame():
    assert data.Frame is Frame


def test_the_frame_of_a_box_is_centered_with_diagonal_one(points):
    frame = frame_of(points, "bbox")
    inside = frame.apply(points)
    np.testing.assert_allclose(inside.min(0), -inside.max(0), atol=1e-6)
    assert np.linalg.norm(np.ptp(inside, axis=0)) == pytest.approx(1, rel=1e-6)
    assert frame_of(points, "partial").scale == pytest.approx(frame.scale / SEEN)
    assert frame == Frame.of(points)


@pytest.mark.parametrize("far", [0, 1e6, 5.4e9])
@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_a_cloud_far_away_has_the_frame_of_the_cloud_at_the_origin(dtype, far):
    cloud = np.random.default_rng(0).integers(0, 1000, (100, 3)).astype(dtype)
    frame, moved = frame_of(cloud), frame_of(cloud + np.array(far, dtype))
    assert moved.scale == frame.scale
    np.testing.assert_array_equal(moved.apply(cloud + np.array(far, dtype)), frame.apply(cloud))
    np.testing.assert_allclose(moved.invert(frame.apply(cloud)), cloud + far, rtol=0, atol=1e-4)


def test_corners_of_a_turned_box_give_the_frame_of_the_box():
    low, high = np.array([-1.0, -2, -3]), np.array([3.0, 4, 5])
    flat = Frame.of_box(np.stack([low, high]))
    corners = np.array([[x, y, z] for x in (-1, 3) for y in (-2, 4) for z in (-3, 5)], float)
    turn = Rotation.from_euler("xyz", [0.3, -1, 2]).as_matrix()
    turned = frame_of(low[None], "bbox", corners @ turn.T)
    assert turned.scale == pytest.approx(flat.scale) == pytest.approx(np.linalg.norm(high - low))
    np.testing.assert_allclose(turned.center, turn @ flat.center)


def test_apply_and_invert_undo_each_other(points):
    frame = Frame(np.array([1e5, -2.0, 3]), 7.5)
    np.testing.assert_allclose(frame.invert(frame.apply(points * 5 + [1e5, 0, 0])), points * 5 + [1e5, 0, 0], atol=1e-6)


def test_points_at_one_place_have_scale_one():
    for normalize in ("partial", "bbox"):
        assert frame_of(np.ones((4, 3)), normalize) == Frame((1.0, 1.0, 1.0), 1.0)
    assert frame_of(np.ones((4, 3)), None) == Frame()


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.zeros((3, 2)), np.full((2, 3), np.nan), [[0, 0, 0], [1e300] * 3]])
def test_a_frame_names_what_is_wrong(bad):
    with pytest.raises(ValueError, match="points must be"):
        Frame.of(bad)


@pytest.mark.parametrize("up", sorted(UPRIGHT))
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_turning_upright_is_an_exact_rotation(up, dtype):
    cloud = (np.random.default_rng(0).normal(size=(50, 3)) * 1e4).astype(dtype)
    turned = upright(cloud, up)
    assert turned.dtype == precision(cloud)
    np.testing.assert_array_equal(turned[:, 1], cloud[:, "xyz".index(up)])
    np.testing.assert_array_equal(turned_back(turned, up), cloud)
    assert np.linalg.det(UPRIGHT[up]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float16", "float32"),
        ("float32", "float32"),
        ("float64", "float64"),
        ("int8", "float64"),
        ("uint64", "float64"),
    ],
)
def test_floats_beyond_24_bits_and_all_integers_are_kept_in_float64(dtype, expected):
    assert precision(np.zeros((1, 3), dtype)) == np.dtype(expected)


def test_the_frame_of_a_real_view_is_near_that_of_the_whole_shape():
    path = DATA / "real8_val.npz"
    if not path.is_file():
        pytest.skip(f"the real views are not at {path}")
    with np.load(path) as stored:
        shapes, views = stored["complete"].astype(float), stored["partial"].astype(float)
    moved = {rule: [] for rule in ("partial", "bbox")}
    for shape, of_shape in zip(shapes, views, strict=True):
        for view in of_shape:
            for rule, found in moved.items():
                there = frame_of(view, rule).apply(shape)
                found.append(np.sqrt(np.square(there - shape).sum(1).mean()))
    assert np.median(moved["partial"]) < 0.0115
    assert np.median(moved["partial"]) < np.median(moved["bbox"])


def test_no_framework_is_needed():
    program = "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'keras', 'jax', 'torch', 'scipy']))"
    command = [sys.executable, "-c", f"{program}; import keras_wcd.frames"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr[-2000:]
