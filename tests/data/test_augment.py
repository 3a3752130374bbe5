import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from keras_wcd.data.augment import Augment, generator
from keras_wcd.data.resampling import fps_order


@pytest.fixture
def pair():
    complete = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    return complete[:40], complete


def drawn(augment, pair, seed=0, epoch=0, index=0):
    return augment(*pair, generator(seed, epoch, index))


def test_nothing_asked_for_changes_nothing(pair):
    for before, after in zip(pair, drawn(Augment(), pair), strict=True):
        np.testing.assert_array_equal(before, after)


def test_half_of_the_pairs_are_mirrored_left_and_right_and_twice_is_never(pair):
    augment, mirror = Augment(mirror=True), np.array([1, 1, -1], np.float32)
    mirrored = 0
    for index in range(400):
        partial, complete = drawn(augment, pair, index=index)
        if not np.array_equal(partial, pair[0]):
            mirrored += 1
            np.testing.assert_array_equal(complete * mirror, pair[1])
            np.testing.assert_array_equal(drawn(augment, (partial, complete), index=index)[1], pair[1])
    assert 160 < mirrored < 240


def test_rotates_about_up_as_scipy_does_within_the_angle(pair):
    angles = []
    for index in range(200):
        matrix = Augment(rotate_up=30).draw(generator(0, 0, index))
        angles.append(Rotation.from_matrix(matrix).as_rotvec(degrees=True))
    angles = np.array(angles)
    np.testing.assert_allclose(angles[:, [0, 2]], 0, atol=1e-4)
    assert np.abs(angles[:, 1]).max() <= 30
    assert angles[:, 1].min() < -25 < 25 < angles[:, 1].max()


@pytest.mark.parametrize("augment", [Augment(mirror=True), Augment(rotate_up=180), Augment(mirror=True, rotate_up=90)])
def test_rigid_changes_keep_every_distance(augment, pair):
    for index in range(10):
        for before, after in zip(pair, drawn(augment, pair, index=index), strict=True):
            np.testing.assert_allclose(pdist(after), pdist(before), rtol=1e-5)


def test_scale_multiplies_every_distance_by_one_factor_in_its_range(pair):
    factors = []
    for index in range(100):
        partial, complete = drawn(Augment(scale=(0.5, 2)), pair, index=index)
        ratio = pdist(complete) / pdist(pair[1])
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)
        np.testing.assert_allclose(partial, pair[0] * ratio[0], rtol=1e-4)
        factors.append(ratio[0])
    assert 0.5 <= min(factors) < 0.6 < 1.7 < max(factors) <= 2.0001
    assert 0.8 < np.exp(np.mean(np.log(factors))) < 1.25


def test_scan_and_ground_truth_move_together(pair):
    augment = Augment(mirror=True, rotate_up=180, scale=(0.8, 1.2))
    for index in range(20):
        partial, complete = drawn(augment, pair, index=index)
        np.testing.assert_array_equal(partial, complete[: len(partial)])


def test_jitter_and_drop_leave_the_ground_truth_alone(pair):
    partial, complete = drawn(Augment(jitter=0.01, drop=0.5), pair)
    np.testing.assert_array_equal(complete, pair[1])
    assert len(partial) <= len(pair[0])
    near = np.abs(partial[:, None] - pair[0][None]).max(axis=2).min(axis=1)
    assert 0 < near.max() < 0.06


def test_jitter_has_its_standard_deviation():
    cloud = np.zeros((20000, 3), np.float32)
    partial, _ = drawn(Augment(jitter=0.02), (cloud, None))
    np.testing.assert_allclose(partial.std(axis=0), 0.02, rtol=0.03)


def test_drop_leaves_out_a_uniform_share_and_keeps_the_order():
    cloud = np.arange(3000, dtype=np.float32).reshape(1000, 3)
    left = [drawn(Augment(drop=0.4), (cloud, None), index=i)[0] for i in range(300)]
    assert all((np.diff(part[:, 0]) > 0).all() for part in left)
    shares = np.array([1 - len(part) / 1000 for part in left])
    assert shares.min() < 0.02 < 0.38 < shares.max() <= 0.4
    np.testing.assert_allclose(shares.mean(), 0.2, atol=0.02)


def test_a_farthest_point_order_stays_one(pair):
    complete = pair[1][fps_order(pair[1])]
    changed = drawn(Augment(mirror=True, rotate_up=180, scale=(0.5, 2)), (pair[0], complete))[1]
    np.testing.assert_array_equal(fps_order(changed), np.arange(len(complete)))


def test_the_same_seed_epoch_and_index_change_alike_and_no_other(pair):
    augment = Augment(mirror=True, rotate_up=180, scale=(0.8, 1.2), jitter=0.01, drop=0.3)
    first = drawn(augment, pair, 1, 2, 3)
    for a, b in zip(first, drawn(augment, pair, 1, 2, 3), strict=True):
        np.testing.assert_array_equal(a, b)
    for other in ((0, 2, 3), (1, 1, 3), (1, 2, 4)):
        assert not np.array_equal(first[1], drawn(augment, pair, *other)[1])


def test_the_arguments_are_left_alone_and_float32_comes_out(pair):
    before = [cloud.astype(np.float64) for cloud in pair]
    after = drawn(Augment(rotate_up=90, jitter=0.1), before)
    assert all(cloud.dtype == np.float32 for cloud in after)
    for cloud, kept in zip(before, pair, strict=True):
        np.testing.assert_array_equal(cloud, kept)


@pytest.mark.parametrize(
    "arguments",
    [
        {"rotate_up": 200},
        {"scale": (0, 1)},
        {"scale": (2, 1)},
        {"scale": (1,)},
        {"jitter": -1},
        {"drop": 1},
        {"stretch": 0.9},
        {"shift": -1},
    ],
)
def test_refuses_what_makes_no_sense(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Augment(**arguments)


def test_stretches_the_axes_of_the_shape_by_three_factors_in_their_range(pair):
    factors = []
    for index in range(100):
        partial, complete = drawn(Augment(stretch=1.2), pair, index=index)
        ratio = complete / pair[1]
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0], ratio.shape), rtol=1e-4)
        np.testing.assert_array_equal(partial, complete[: len(partial)])
        factors.append(ratio[0])
    assert 1 / 1.2001 < np.min(factors) < 0.85
    assert 1.17 < np.max(factors) < 1.2001
    assert abs(np.corrcoef(np.transpose(factors))[0, 1]) < 0.3


def test_shifts_both_clouds_alike(pair):
    shifts = []
    for index in range(200):
        partial, complete = drawn(Augment(shift=0.1), pair, index=index)
        np.testing.assert_array_equal(partial, complete[: len(partial)])
        shift = complete - pair[1]
        np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-6)
        shifts.append(shift[0])
    assert 0.085 < np.std(shifts) < 0.115
