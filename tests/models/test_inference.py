"""Completion of a scan in the user's own frame and units."""

import keras
import numpy as np
import pytest

from keras_wcd.frames import frame_of, resample
from keras_wcd.models import PCN, CompletionModel

RULES = ["partial", "bbox", None]


class Copy(CompletionModel):
    """Gives back what it gets, so that a test sees what the network sees."""

    def __init__(self, **kwargs):
        inputs = keras.Input((None, 3))
        super().__init__(inputs, (inputs * 1.0,), **{"num_input": 64, **kwargs})


@pytest.fixture(scope="module")
def copy():
    return Copy()


@pytest.fixture(scope="module")
def pcn():
    keras.utils.set_random_seed(0)
    return PCN(num_coarse=16, grid_size=2, latent=16, encoder=(8, 8, 16), hidden=16, folding=8, num_input=64)


@pytest.fixture
def points():
    return np.random.default_rng(0).uniform(-1, 1, (200, 3)) * [1, 0.5, 0.2]


def rows(points):
    return {tuple(row) for row in np.asarray(points).tolist()}


@pytest.mark.parametrize("normalize", RULES)
def test_a_network_that_copies_gives_back_the_users_points(copy, points, normalize):
    done = copy.complete(points, normalize)
    nearest = np.linalg.norm(done[:, None] - points[None], axis=-1).min(1)
    assert nearest.max() < 1e-6
    assert len(rows(done.round(5))) == 64


def test_moves_and_scales_with_the_scan(pcn, points):
    done = pcn.complete(points)
    moved = pcn.complete(points * 25 + [10, -300, 7])
    np.testing.assert_allclose(moved, done * 25 + [10, -300, 7], atol=1e-4)


def test_keeps_a_millimeter_at_a_million_meters(copy, points):
    far = points * 0.01 + [4e6, 5e5, 100]
    done = copy.complete(far)
    assert done.dtype == np.float64
    assert np.linalg.norm(done[:, None] - far[None], axis=-1).min(1).max() < 1e-8


@pytest.mark.parametrize(
    ("given", "expected"),
    [("float32", "float32"), ("float16", "float32"), ("float64", "float64"), ("int64", "float64")],
)
def test_the_dtype_follows_the_points(copy, given, expected):
    points = np.arange(30).reshape(10, 3).astype(given)
    assert copy.complete(points).dtype == expected


def test_takes_a_list_of_points(copy):
    assert copy.complete([[0, 0, 0], [1.0, 2, 3]]).shape == (64, 3)


def test_leaves_the_users_array_as_it_is(copy, points):
    before = points.copy()
    copy.complete(points, keep_partial=True)
    np.testing.assert_array_equal(points, before)


def test_keep_partial_puts_every_measured_point_first(pcn, points):
    done = pcn.complete(points, keep_partial=True)
    assert done.shape == (200 + 64, 3)
    np.testing.assert_array_equal(done[:200], points)
    np.testing.assert_array_equal(done[200:], pcn.complete(points))


def test_one_point_is_completed_where_it_lies(pcn):
    done = pcn.complete(np.array([[100.0, 200, 300]]))
    assert np.abs(done - [100, 200, 300]).max() < 5


@pytest.mark.parametrize("size", [1, 30, 64, 65, 500, 512, 513, 20_000])
def test_the_network_sees_the_framed_scan_by_the_one_rule(copy, size, monkeypatch):
    seen = []
    monkeypatch.setattr(copy, "predict_on_batch", lambda batch: seen.append(batch) or batch)
    scan = np.random.default_rng(size).normal(size=(size, 3)) + [4e6, 5e5, 100]
    copy.complete(scan)
    expected = resample(frame_of(scan).apply(scan), 64)
    assert (seen[0].shape, seen[0].dtype) == ((1, 64, 3), np.float32)
    np.testing.assert_array_equal(seen[0][0], expected)


@pytest.mark.parametrize("size", [30, 100_000])
def test_nothing_is_random(copy, size):
    scan = np.random.default_rng(2).normal(size=(size, 3))
    np.testing.assert_array_equal(copy.complete(scan), copy.complete(scan))
    with pytest.raises(TypeError, match="seed"):
        copy.complete(scan, seed=1)


@pytest.mark.parametrize("far", [0, 1e6, 5.4e9])
def test_whole_numbers_keep_every_unit_wherever_they_lie(copy, far):
    scan = np.random.default_rng(3).integers(0, 4000, (64, 3)) + np.int64(far)
    done = copy.complete(scan)
    assert done.dtype == np.float64
    np.testing.assert_allclose(done, scan, rtol=0, atol=1e-2)
    assert [len(np.unique(done[:, i].round())) for i in range(3)] == [len(np.unique(scan[:, i])) for i in range(3)]


def test_points_beyond_float32_are_named(copy):
    with pytest.raises(ValueError, match="do not fit into float32"):
        copy.complete(np.array([[0, 0, 0], [1e39, 0, 0]]), None)
    with pytest.raises(ValueError, match="within the range of float64"):
        copy.complete(np.array([[0, 0, 0], [1e300, 0, 0]]))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((3, 100)), r"got shape \(3, 100\); transpose it"),
        (np.zeros((100, 6)), r"points\[:, :3\]"),
        (np.zeros((2, 10, 3)), "one cloud at a time"),
        (np.zeros(3), r"shape \(N, 3\), got shape \(3,\)"),
        (np.zeros((0, 3)), "empty"),
        (np.array([[0, 0, 0], [np.nan, 0, 0], [0, np.inf, 0]]), "2 rows with NaN or infinity .*row 1"),
        (np.array([["a", "b", "c"]]), "must hold numbers"),
        (np.zeros((4, 3), complex), "must hold numbers"),
    ],
)
def test_wrong_points_are_named(copy, points, message):
    with pytest.raises(ValueError, match=message):
        copy.complete(points)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"normalize": "sphere"}, "normalize must be one of .*'sphere'"),
        ({"box": np.zeros((2, 3))}, 'box is used with normalize="bbox"'),
        ({"normalize": "bbox", "box": np.zeros((2, 3))}, "corners that are apart"),
        ({"normalize": "bbox", "box": np.full((2, 3), np.nan)}, "finite corners"),
        ({"normalize": "bbox", "box": np.zeros(6)}, r"\(8, 3\), got \(6,\)"),
    ],
)
def test_wrong_frames_are_named(copy, points, arguments, message):
    with pytest.raises(ValueError, match=message):
        copy.complete(points, **arguments)


def test_weights_that_are_not_finite_are_named(pcn, points):
    broken = PCN.from_config(pcn.get_config())
    broken.set_weights([np.full_like(w, np.nan) for w in pcn.get_weights()])
    with pytest.raises(ValueError, match="weights are not finite"):
        broken.complete(points)
