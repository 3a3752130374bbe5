"""Completion of a scan in the user's own frame and units."""

import keras
import numpy as np
import pytest
from shared import SHARED

from keras_wcd.frames import SEEN, Frame, frame_of
from keras_wcd.models import PCN, CompletionModel
from keras_wcd.models.inference import resample

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


def test_keeps_a_millimetre_at_a_million_metres(copy, points):
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


def test_too_many_points_become_the_farthest_ones_and_too_few_are_repeated():
    cloud = np.random.default_rng(1).normal(size=(300, 3)).astype("float32")
    fewer = resample(cloud, 50)
    assert len(rows(fewer)) == 50
    assert rows(fewer) <= rows(cloud)
    spread = np.linalg.norm(fewer[:, None] - fewer[None], axis=-1) + 9 * np.eye(50)
    first = np.linalg.norm(cloud[:50, None] - cloud[None, :50], axis=-1) + 9 * np.eye(50)
    assert spread.min() > 2 * first.min()
    more = resample(cloud, 700)
    _, counts = np.unique(more, axis=0, return_counts=True)
    assert set(counts) == {2, 3}
    assert len(counts) == 300


def test_a_huge_scan_is_thinned_the_same_way_each_time(copy):
    huge = np.random.default_rng(2).normal(size=(100_000, 3))
    np.testing.assert_array_equal(copy.complete(huge), copy.complete(huge))
    assert rows(copy.complete(huge)) != rows(copy.complete(huge, seed=1))


def test_the_frame_of_a_box_is_centred_with_diagonal_one(points):
    frame = frame_of(points, "bbox")
    inside = frame.apply(points)
    np.testing.assert_allclose(inside.min(0), -inside.max(0), atol=1e-6)
    assert np.linalg.norm(np.ptp(inside, axis=0)) == pytest.approx(1, rel=1e-6)
    assert frame_of(points, "partial").scale == pytest.approx(frame.scale / SEEN)


def test_corners_of_a_turned_box_give_the_frame_of_the_box():
    low, high = np.array([-1.0, -2, -3]), np.array([3.0, 4, 5])
    flat = frame_of(low[None], "bbox", np.stack([low, high]))
    corners = np.array([[x, y, z] for x in (-1, 3) for y in (-2, 4) for z in (-3, 5)], float)
    turn = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])
    turned = frame_of(low[None], "bbox", corners @ turn.T)
    assert turned.scale == pytest.approx(flat.scale) == pytest.approx(np.linalg.norm(high - low))
    np.testing.assert_allclose(turned.center, turn @ flat.center)


def test_apply_and_invert_undo_each_other(points):
    frame = Frame(np.array([1e5, -2.0, 3]), 7.5)
    np.testing.assert_allclose(frame.invert(frame.apply(points * 5 + [1e5, 0, 0])), points * 5 + [1e5, 0, 0], atol=1e-6)


def test_the_frame_of_a_real_view_is_near_that_of_the_whole_shape():
    path = SHARED / "data" / "real8_val.npz"
    if not path.is_file():
        pytest.skip(f"the real views are not at {path}")
    with np.load(path) as data:
        shapes, views = data["complete"].astype(float), data["partial"].astype(float)
    moved = {rule: [] for rule in ("partial", "bbox")}
    for shape, of_shape in zip(shapes, views, strict=True):
        for view in of_shape:
            for rule, found in moved.items():
                there = frame_of(view, rule).apply(shape)
                found.append(np.sqrt(np.square(there - shape).sum(1).mean()))
    assert np.median(moved["partial"]) < 0.0115
    assert np.median(moved["partial"]) < np.median(moved["bbox"])


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
