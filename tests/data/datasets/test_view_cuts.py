"""Scans cut from complete clouds, against the rule written down as loops."""

import math
import random

import numpy as np
import point_oracles
import published_trees as trees
import pytest

from keras_wcd.data import ShapeNet55
from keras_wcd.data.datasets import view_cuts

CORNERS = [(1, 1, 1), (1, 1, -1), (1, -1, 1), (-1, 1, 1), (-1, -1, 1), (-1, 1, -1), (1, -1, -1), (-1, -1, -1)]


def naive_unit(points):
    mean = [math.fsum(p[i] for p in points) / len(points) for i in range(3)]
    moved = [[float(p[i]) - mean[i] for i in range(3)] for p in points]
    radius = max(math.hypot(*p) for p in moved)
    return [[c / radius for c in p] for p in moved]


def naive_cut(points, view, removed):
    """Take the nearest away one by one; then the nearest of what is left first."""
    left = [tuple(p) for p in points]
    for _ in range(removed):
        left.remove(min(left, key=lambda p: math.dist(p, view)))
    return sorted(left, key=lambda p: math.dist(p, view))


def cloud(count, seed=0):
    return np.random.default_rng(seed).normal((3, -2, 7), (1, 2, 0.5), (count, 3)).astype("f4")


def test_the_unit_sphere_has_the_mean_in_its_middle_and_touches_the_farthest_point():
    points = cloud(301)
    unit = view_cuts.unit_sphere(points)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, naive_unit(points), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1).max(), 1, rtol=1e-6)
    np.testing.assert_array_equal(view_cuts.unit_sphere(np.full((4, 3), 5.0)), np.zeros((4, 3)))


@pytest.mark.parametrize("count", [8, 97, 202])
@pytest.mark.parametrize("view", range(8))
def test_a_fixed_cut_is_the_naive_one(view, count):
    assert CORNERS[view] == view_cuts.VIEW_POINTS[view]
    points = view_cuts.unit_sphere(cloud(count, view))
    for difficulty, removed in {"easy": count // 4, "median": count // 2, "hard": 3 * count // 4}.items():
        rest = view_cuts.fixed_cut(points, view, difficulty)
        np.testing.assert_array_equal(rest, naive_cut(points.tolist(), CORNERS[view], removed))


def test_published_clouds_keep_6144_4096_or_2048_points():
    points = view_cuts.unit_sphere(cloud(8192))
    assert {name: len(view_cuts.fixed_cut(points, 0, name)) for name in view_cuts.DIFFICULTIES} == {
        "easy": 6144,
        "median": 4096,
        "hard": 2048,
    }


def test_what_is_cut_lies_nearer_than_what_stays():
    points = view_cuts.unit_sphere(cloud(500))
    rest = view_cuts.fixed_cut(points, 3, "median")
    cut = set(map(tuple, points.tolist())) - set(map(tuple, rest.tolist()))
    assert max(math.dist(p, CORNERS[3]) for p in cut) <= min(math.dist(p, CORNERS[3]) for p in rest)


def test_random_cuts_take_every_size_from_a_quarter_to_three_quarters():
    points = view_cuts.unit_sphere(cloud(16))
    left = [len(view_cuts.random_cut(points, np.random.default_rng(seed))) for seed in range(2000)]
    counts = np.bincount(left, minlength=17)
    assert set(left) == set(range(4, 13))
    # Nine sizes of equal chance.
    assert counts[4:13].min() > 2000 / 9 * 0.7
    assert counts.max() < 2000 / 9 * 1.3


def test_random_view_points_lie_on_the_unit_sphere_on_all_sides(monkeypatch):
    seen = []
    monkeypatch.setattr(view_cuts, "cut", lambda points, view, removed: seen.append(view))
    for seed in range(400):
        view_cuts.random_cut(cloud(8), np.random.default_rng(seed))
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1)
    assert np.abs(np.mean(seen, axis=0)).max() < 0.12


def test_a_cut_that_leaves_nothing_is_refused():
    for removed in (-1, 8):
        with pytest.raises(ValueError, match=f"removed must lie between 0 and 7, got {removed}"):
            view_cuts.cut(cloud(8), (1, 1, 1), removed)


def test_thinning_is_the_published_farthest_point_sampling():
    points = view_cuts.unit_sphere(cloud(60))
    points[7] = 0.01
    expected = points[point_oracles.farthest_points(points.astype("f8"), 20, "pointnet2")]
    np.testing.assert_array_equal(view_cuts.thinned(points, 20), expected)
    assert view_cuts.thinned(points, 61) is points
    assert view_cuts.thinned(points, None) is points


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("shapenet")
    trees.shapenet(root, trees.synthetic(points=96))
    return root


@pytest.mark.parametrize("difficulty", ["easy", "median", "hard"])
def test_a_test_pair_is_its_view_of_its_shape(difficulty, root):
    data = ShapeNet55(root).at(difficulty)
    lines = (root / "ShapeNet-55" / "test.txt").read_text().split()
    assert data.size("test") == 8 * len(lines)
    for index in random.Random(0).sample(range(data.size("test")), 12):
        sample = data.load("test", index)
        unit = np.array(naive_unit(np.load(root / "shapenet_pc" / lines[index // 8]).astype("f4")))
        np.testing.assert_allclose(sample.complete, unit, atol=1e-6)
        removed = {"easy": 24, "median": 48, "hard": 72}[difficulty]
        expected = naive_cut(sample.complete.tolist(), CORNERS[index % 8], removed)
        np.testing.assert_array_equal(sample.partial, expected)
        assert sample.name == f"{lines[index // 8][:-4]}/{difficulty}/{index % 8}"
        assert sample.category == trees.NAMES[trees.SYNSETS.index(lines[index // 8][:8])]


def test_training_cuts_depend_on_seed_epoch_and_index_alone(root):
    first, again, other = ShapeNet55(root), ShapeNet55(root), ShapeNet55(root, seed=1)
    assert first.changing_splits == ("train",)

    def scan(data, index, **epoch):
        return data.load("train", index, **epoch).partial.tobytes()

    again.load("train", 3, epoch=5)
    assert scan(first, 2, epoch=4) == scan(again, 2, epoch=4)
    assert scan(first, 2) == scan(again, 2, epoch=0)
    assert len({scan(first, 2, epoch=e) for e in range(20)} | {scan(other, 2, epoch=e) for e in range(20)}) == 40
    np.testing.assert_array_equal(first.load("train", 2, epoch=9).complete, first.load("train", 2).complete)
    sizes = {len(first.load("train", 0, epoch=e).partial) for e in range(300)}
    assert (min(sizes), max(sizes)) == (24, 72)


def test_validation_cuts_stay_the_same(root):
    data = ShapeNet55(root)
    assert data.size("val") == 8
    assert data.load("val", 1).partial.tobytes() == ShapeNet55(root).load("val", 1, epoch=3).partial.tobytes()


@pytest.mark.parametrize(("subset", "count"), [("55", 55), ("34", 34), ("unseen21", 21)])
def test_subsets_have_the_published_number_of_categories(subset, count, root):
    data = ShapeNet55(root, subset)
    assert len(data.categories) == count
    assert data.splits == (("test",) if subset == "unseen21" else ("train", "val", "test"))


def test_34_seen_and_21_unseen_categories_are_all_55(root):
    seen, unseen, every = (ShapeNet55(root, subset).categories for subset in ("34", "unseen21", "55"))
    assert set(seen) | set(unseen) == set(every)
    assert not set(seen) & set(unseen)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subset": "21"}, "subset must be one of"),
        ({"difficulty": "medium"}, "difficulty must be one of .*'medium'"),
        ({"num_points": 0}, "num_points must be at least 1"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused(arguments, message, root):
    with pytest.raises(ValueError, match=message):
        ShapeNet55(root, **arguments)


def test_a_cloud_of_three_points_cannot_be_cut(root, tmp_path):
    trees.shapenet(tmp_path, trees.synthetic(points=3))
    with pytest.raises(ValueError, match="3 points are too few to cut"):
        ShapeNet55(tmp_path).load("test", 0)
