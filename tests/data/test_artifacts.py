"""What a scan holds beside its object is found row by row, wherever it lies; scans that hold none stay silent."""

import time

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from shared import DATA

from keras_wcd.data import Shapes8, read_cloud
from keras_wcd.data.artifacts import FEWEST, KINDS, find_artifacts, without_artifacts

NO_RETURNS, STRAY, PLANE = KINDS


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    made = Shapes8(train=1, val=1, test=24, views=2, seed=3, cache_dir=tmp_path_factory.mktemp("cache"), workers=1)
    return made.arrays("test")[0]


@pytest.fixture
def scan():
    """What is seen of a box of 2 x 1 x 1 from above and the side, 2000 points."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.5, 0.5, (2000, 3))
    points[np.arange(2000), rng.integers(3, size=2000)] = 0.5
    return points * (2, 1, 1) + (3, 7, -2)


def directions(count, seed=1):
    found = np.random.default_rng(seed).normal(size=(count, 3))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def square(width, count, axis=1, seed=2, noise=0.003):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-width / 2, width / 2, (count, 3))
    points[:, axis] = rng.normal(0, noise, count)
    return points


CASES = {
    "zeros": (np.zeros((2000, 3)), NO_RETURNS),
    "more zeros than points": (np.zeros((20_000, 3)), NO_RETURNS),
    "zeros of both signs": (np.repeat([[0.0, -0.0, 0.0], [-0.0, 0.0, 0.0]], 500, axis=0), NO_RETURNS),
    "a few zeros": (np.zeros((6, 3)), NO_RETURNS),
    "another place": (np.full((900, 3), -9999.0), NO_RETURNS),
    "two places": (np.repeat([[0.0, 0, 0], [30, 30, 30]], 300, axis=0), NO_RETURNS),
    "one outlier": (np.array([[1000.0, 0, 0]]), STRAY),
    "the largest float32": (np.array([[3.4e38, 0, 0]]), STRAY),
    "one zero": (np.zeros((1, 3)), STRAY),
    "stray points": (np.array([3, 7, -2]) + 7 * directions(20), STRAY),
    "a group far away": (np.array([50, 7, -2]) + 0.05 * directions(30), STRAY),
    "floor": (np.array([3, 6.4, -2]) + square(15, 3000), PLANE),
    "a floor of few points": (np.array([3, 6.4, -2]) + square(15, 500), PLANE),
    "wall": (np.array([3, 7, -3]) + square(12, 3000, axis=2), PLANE),
    "tilted": (
        np.array([3, 5.2, -2]) + Rotation.from_euler("xyz", [20, 5, 9], degrees=True).apply(square(15, 3000)),
        PLANE,
    ),
}
TURNS = {"as it is": None, "turned, in millimeters, at UTM coordinates": Rotation.from_euler("xyz", [1, 2, 3])}


@pytest.mark.parametrize("name", CASES)
def test_an_artifact_is_found_and_no_point_of_the_object(scan, name):
    extra, kind = CASES[name]
    order = np.random.default_rng(5).permutation(len(scan) + len(extra))
    points = np.concatenate([scan, extra])[order]
    (found,) = find_artifacts(points)
    assert found.kind == kind
    assert (np.diff(found.indices) > 0).all()
    dropped = order[found.indices]
    assert np.sort(dropped).tolist() == list(range(len(scan), len(order)))
    assert str(found).startswith(f"{len(extra)} point")


@pytest.mark.parametrize("name", sorted(set(CASES) - {"the largest float32", "a few zeros", "zeros of both signs"}))
def test_place_turn_and_units_change_nothing(scan, name):
    points = np.concatenate([scan, CASES[name][0]])
    away = Rotation.from_euler("xyz", [1, 2, 3]).apply(points) * 1000 + (5e5, 5.4e9, 1e5)
    rows = [find_artifacts(cloud)[0].indices.tolist() for cloud in (points, away)]
    assert rows[0] == rows[1]


def test_all_at_once_are_told_apart(scan):
    extra = [
        np.zeros((500, 3)),
        np.array([[900.0, 3, 3]]),
        CASES["floor"][0],
        CASES["stray points"][0],
    ]
    points = np.concatenate([scan, *extra])
    found = find_artifacts(points)
    assert {artifact.kind for artifact in found} == set(KINDS)
    rows = np.concatenate([artifact.indices for artifact in found])
    assert len(set(rows)) == len(rows)
    left = points[without_artifacts(len(points), found)]
    np.testing.assert_allclose(np.ptp(left, axis=0), np.ptp(scan, axis=0), rtol=0.15)


def test_a_floor_of_few_points_under_a_flat_object_of_many_is_told_from_it(scan):
    flat = (scan - scan.min(axis=0)) * (1, 0.1, 1) + (0, 0.1, 0)
    (found,) = find_artifacts(np.concatenate([flat, square(15, 700)]))
    assert found.indices.tolist() == list(range(2000, 2700))


@pytest.mark.parametrize("far", [False, True])
def test_scans_of_shapes_stay_silent(scans, far):
    for k, points in enumerate(scans.astype(np.float64)):
        if far:
            points = Rotation.random(random_state=k).apply(points) * 1000 + (5e5, 5.4e9, 1e5)
        assert not find_artifacts(points)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real scans are not here")
def test_real_scans_stay_silent():
    views = np.load(DATA / "real8_val.npz")["partial"].reshape(-1, 2048, 3)
    paths = [path for folder in ("demo", "mvp_pairs") for path in sorted((DATA / folder).iterdir())]
    clouds = [read_cloud(path).points for path in paths]
    assert len(clouds) == 12
    for points in (*clouds, *views):
        assert not find_artifacts(points)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real scans are not here")
@pytest.mark.parametrize("seed", range(10))
def test_a_flat_scan_stays_silent_in_any_order_of_its_points(seed):
    # A lamp whose thick shade looks like a plane to a measure that ignores how thick.
    view = np.load(DATA / "real8_train.npz")["partial"][106, 1]
    assert not find_artifacts(np.random.default_rng(seed).permutation(view))


def test_planes_that_are_the_object_stay_silent():
    rng = np.random.default_rng(0)
    top = square(1, 1500)
    legs = [
        rng.uniform(-0.02, 0.02, (60, 3)) * (1, 17, 1) + (x, -0.35, z) for x in (-0.45, 0.45) for z in (-0.45, 0.45)
    ]
    pedestal = rng.uniform(-0.1, 0.1, (300, 3)) * (1, 3.5, 1) + (0, -0.35, 0)
    for points in (top, np.concatenate([top, *legs]), np.concatenate([top, pedestal])):
        assert not find_artifacts(points)


@pytest.mark.parametrize("repeats", [1, 5])
def test_a_scan_whose_points_are_repeated_evenly_stays_silent(scan, repeats):
    # An object around the origin with a point in it, as often as the others.
    points = np.concatenate([scan - scan.mean(axis=0), np.zeros((1, 3))])
    assert not find_artifacts(np.repeat(points, repeats, axis=0))


def test_rows_that_are_not_finite_and_integers_are_taken(scan):
    millimeters = (scan * 1000).astype(np.int64)
    (found,) = find_artifacts(np.concatenate([millimeters, np.zeros((50, 3), np.int64)]))
    assert found.indices.tolist() == list(range(2000, 2050))
    (found,) = find_artifacts(np.concatenate([[[np.nan, 0, 0]], scan, np.zeros((50, 3)), [[np.inf, 0, 0]]]))
    assert found.indices.tolist() == list(range(2001, 2051))


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.zeros((5000, 3)), np.full((9, 3), np.nan), np.eye(3)])
def test_nothing_is_said_where_no_object_is_left(points):
    assert find_artifacts(points) == []


@pytest.mark.parametrize("count", [2, FEWEST, 50, 100])
def test_sparse_scans_stay_silent(count):
    assert not find_artifacts(directions(count))


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"points must be a cloud of shape \(N, 3\), got shape \(4, 2\)"):
        find_artifacts(np.zeros((4, 2)))


def test_a_million_points_take_little_more_than_reading_them():
    points = np.concatenate([directions(1_000_000), [[300.0, 0, 0]]])
    began = time.process_time()
    (found,) = find_artifacts(points)
    assert found.indices.tolist() == [1_000_000]
    assert time.process_time() - began < 10
