import numpy as np
import pytest
from scipy.spatial.distance import cdist
from shared import recording

from keras_wcd.data.resampling import fps_order, resample
from keras_wcd.ops.sampling import NEAR_ORIGIN, farthest_point_indices

ORACLE = recording("ops.npz")


def naive_fps(points, count, skip=None):
    distance = cdist(points, points, "sqeuclidean")
    chosen = [0]
    while len(chosen) < count:
        nearest = distance[:, chosen].min(axis=1)
        if skip is not None:
            nearest[skip] = -1
        chosen.append(int(nearest.argmax()))
    return chosen


@pytest.fixture
def cloud():
    return np.random.default_rng(0).normal(size=(300, 3))


def test_fps_equals_a_naive_loop(cloud):
    np.testing.assert_array_equal(farthest_point_indices(cloud, 300), naive_fps(cloud, 300))


def test_pointnet2_rule_equals_a_naive_loop_that_skips_the_origin(cloud):
    cloud = cloud * 0.05
    near = (cloud**2).sum(axis=1) <= NEAR_ORIGIN
    assert 10 < near.sum() < 290
    count = int((~near).sum())
    np.testing.assert_array_equal(farthest_point_indices(cloud, count, "pointnet2"), naive_fps(cloud, count, near))


@pytest.mark.parametrize(
    ("key", "rule"), [("plain_argmax_lowest_index", "standard"), ("pointnet2_ops", "pointnet2"), ("tf", "standard")]
)
def test_fps_equals_the_official_operators_on_random_points(key, rule):
    with np.load(ORACLE) as oracle:
        points, expected = oracle["fps/random/xyz"], oracle[f"fps/random/{key}"]
    # Past the last distinct place the operators repeat one point or another.
    count = len(np.unique(expected))
    found = farthest_point_indices(points, count, rule)
    np.testing.assert_array_equal(points[found], points[expected[:count]])


def test_all_points_at_the_origin_yield_index_zero():
    np.testing.assert_array_equal(farthest_point_indices(np.zeros((5, 3)), 4, "pointnet2"), [0] * 4)


def test_padding_is_never_chosen(cloud):
    padded = np.concatenate([np.full((1, 3), np.nan), cloud, np.full((3, 3), np.inf)])
    np.testing.assert_array_equal(farthest_point_indices(padded, 200), np.array(naive_fps(cloud, 200)) + 1)


@pytest.mark.parametrize(
    ("points", "count", "rule", "message"),
    [
        (np.zeros((3, 5)), 1, "standard", "shape"),
        (np.zeros((0, 3)), 1, "standard", "shape"),
        (np.zeros((4, 3)), 5, "standard", "count"),
        (np.zeros((4, 3)), 0, "standard", "count"),
        (np.zeros((4, 3)), 2, "best", "rule"),
    ],
)
def test_fps_names_what_is_wrong(points, count, rule, message):
    with pytest.raises(ValueError, match=message):
        farthest_point_indices(points, count, rule)


@pytest.mark.parametrize("count", [None, 40])
def test_order_is_a_permutation_whose_prefixes_nest(cloud, count):
    cloud = np.concatenate([cloud, cloud[:30]])  # duplicates
    order = fps_order(cloud, count)
    assert order.dtype == np.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(330))
    for k in (1, 7, 40):
        np.testing.assert_array_equal(order[:k], farthest_point_indices(cloud, k))


@pytest.mark.parametrize("count", [1, 299, 300, 301, 950])
def test_resampling_uses_every_point_equally_often(cloud, count):
    points = resample(cloud, count, seed=4)
    assert points.shape == (count, 3)
    _, times = np.unique(points, axis=0, return_counts=True)
    assert len(times) == min(count, 300)
    assert np.ptp(times) <= 1
    np.testing.assert_array_equal(points, resample(cloud, count, seed=4))
    if count > 1:
        assert (points != resample(cloud, count, seed=5)).any() or count == 300


@pytest.mark.parametrize(("points", "count"), [(np.zeros((0, 3)), 3), (np.zeros((3, 4)), 3), (np.zeros((3, 3)), 0)])
def test_resampling_names_what_is_wrong(points, count):
    with pytest.raises(ValueError, match="must be"):
        resample(points, count)
