"""The augmentations that recipes name, each alone and in order."""

import numpy as np
import pytest

from keras_wcd.training.augmentation import STEPS, NamedAugmentations
from keras_wcd.training.recipes import AUGMENTATIONS


def pair(points=30, complete=50, seed=0):
    rng = np.random.default_rng(seed)
    return [1 + rng.random((count, 3)).astype("float32") for count in (points, complete)]


def rows(cloud):
    return {tuple(row) for row in cloud.tolist()}


def test_every_name_of_a_recipe_has_its_step():
    assert set(STEPS) == set(AUGMENTATIONS)


@pytest.mark.parametrize("points", [20, 30, 75])
def test_zeros_fill_a_scan_up(points):
    scan, truth = pair()
    filled, same = NamedAugmentations(("zero_pad",), points)(scan, truth, np.random.default_rng(0))
    assert filled.shape == (points, 3)
    kept = filled[np.any(filled != 0, axis=1)]
    assert len(kept) == min(points, 30)
    assert len(rows(kept)) == len(kept)
    assert rows(kept) <= rows(scan)
    np.testing.assert_array_equal(same, truth)


@pytest.mark.parametrize("points", [20, 30, 75])
def test_its_own_points_fill_a_scan_up(points):
    scan, truth = pair()
    filled, same = NamedAugmentations(("duplicate",), points)(scan, truth, np.random.default_rng(0))
    counts = np.unique(filled, axis=0, return_counts=True)[1]
    assert (filled.shape, rows(filled) <= rows(scan)) == ((points, 3), True)
    assert counts.max() - counts.min() <= 1 if points > 30 else counts.max() == 1
    np.testing.assert_array_equal(same, truth)


def test_both_clouds_are_mirrored_alike_across_x_and_z_each_with_half_the_chance():
    mirror, seen = NamedAugmentations(("mirror",), 30), {}
    for seed in range(400):
        scan, truth = pair()
        both = mirror(scan, truth, np.random.default_rng(seed))
        signs = np.sign(both[0][0])
        for before, after in zip((scan, truth), both, strict=True):
            np.testing.assert_array_equal(after, before * signs)
        seen[tuple(signs)] = seen.get(tuple(signs), 0) + 1
    assert set(seen) == {(1, 1, 1), (-1, 1, 1), (1, 1, -1), (-1, 1, -1)}
    # 100 expected, of deviation 9.
    assert all(abs(count - 100) < 45 for count in seen.values())


def test_random_points_are_drawn_of_both():
    scan, truth = pair(30, 50)
    few, fewer = NamedAugmentations(("random_2048",), 20)(scan, truth, np.random.default_rng(0))
    assert few.shape == fewer.shape == (20, 3)
    assert len(rows(few)) == len(rows(fewer)) == 20
    assert rows(few) <= rows(scan)
    assert rows(fewer) <= rows(truth)


def test_they_are_done_in_order_and_alike_for_the_same_draws():
    # What is filled up with zeros first is mirrored whole.
    scan, _ = pair()
    steps = NamedAugmentations(("zero_pad", "mirror"), 40)
    first, again = (steps(scan, None, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] is None
    by_hand = np.random.default_rng(3)
    filled, _ = NamedAugmentations(("zero_pad",), 40)(scan, None, by_hand)
    np.testing.assert_array_equal(first[0], NamedAugmentations(("mirror",), 40)(filled, None, by_hand)[0])


def test_a_name_that_is_none_is_named():
    with pytest.raises(ValueError, match="unknown augmentation 'miror'; did you mean mirror"):
        NamedAugmentations(("miror",), 8)
