"""Folders of the user's own in PCN's layout: any number of scans a shape, any numbering, empty and repeated lists."""

import json

import numpy as np
import published_trees as trees
import pytest
from backends import tensorflow_only
from click.testing import CliRunner

from keras_wcd.cli import main
from keras_wcd.data import PCN, Batches, Completion3D, MeshFolder, ShapeNet55, check_tree, to_arrays

VIEWS = {"a": 2, "b": 1, "c": 3}


def cloud(*seed, points=30):
    rng = np.random.default_rng([*map(ord, "".join(map(str, seed)))])
    return rng.normal(scale=0.15, size=(points, 3)).astype("f4")


def tree(root, views=VIEWS, name="{:02d}.pcd", start=0, splits=("train", "val", "test")):
    """Shapes with as many scans as `views` says, in every split under other ids."""
    row = {"taxonomy_id": "mugs", "taxonomy_name": "mug"}
    for split in splits:
        row[split] = [f"{split}-{id}" for id in views]
        for id, count in views.items():
            trees.write_pcd(root / split / "complete" / "mugs" / f"{split}-{id}.pcd", cloud(split, id))
            (root / split / "partial" / "mugs" / f"{split}-{id}").mkdir(parents=True)
            for view in range(start, start + count):
                path = root / split / "partial" / "mugs" / f"{split}-{id}" / name.format(view)
                trees.write_pcd(path, cloud(split, id, view, points=12))
    (root / "PCN.json").write_text(json.dumps([row]))
    return root


def edit(root, change):
    rows = json.loads((root / "PCN.json").read_text())
    change(rows[0])
    (root / "PCN.json").write_text(json.dumps(rows))


def check(root, *arguments):
    return CliRunner().invoke(main, ["data", "check", str(root), *arguments])


@pytest.mark.parametrize("counts", [(2, 1, 3), (1, 4, 1), (3, 3, 1), (1, 1, 11)])
def test_every_shape_has_the_scans_that_it_has(counts, tmp_path):
    views = dict(zip("abc", counts, strict=True))
    data = PCN(tree(tmp_path, views), views="all")
    expected = [(id, view) for id, count in views.items() for view in range(count)]
    for split in data.splits:
        assert data.size(split) == len(expected)
        for index, (id, view) in enumerate(expected):
            sample = data.load(split, index)
            assert sample.name == f"mugs/{split}-{id}/{view:02d}"
            np.testing.assert_array_equal(sample.partial, cloud(split, id, view, points=12))
            np.testing.assert_array_equal(sample.complete, cloud(split, id))
        scans, truths = data.clouds(split)
        for index, (id, view) in enumerate(expected):
            scan, truth = data.pick(split, index, 0)
            np.testing.assert_array_equal(scans.read(scan), cloud(split, id, view, points=12))
            np.testing.assert_array_equal(truths.read(truth), cloud(split, id))


def test_random_views_are_drawn_among_each_shapes_own(tmp_path):
    data = PCN(tree(tmp_path))
    assert data.size("train") == 3
    scans, _ = data.clouds("train")
    for index, (id, count) in enumerate(VIEWS.items()):
        drawn = set()
        for epoch in range(60):
            sample = data.load("train", index, epoch=epoch)
            drawn.add(sample.name)
            np.testing.assert_array_equal(scans.read(data.pick("train", index, epoch)[0]), sample.partial)
        assert drawn == {f"mugs/train-{id}/{view:02d}" for view in range(count)}


@pytest.mark.parametrize("views", ["random", "first", "all"])
def test_uneven_shapes_make_batches(views, tmp_path):
    data = PCN(tree(tmp_path / "root"), views=views)
    partial, complete = to_arrays(data, "train", num_points=12, cache_dir=tmp_path / "cache")
    assert len(partial) == len(complete) == (6 if views == "all" else 3)


@tensorflow_only
def test_uneven_shapes_are_trained_and_measured_on(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path / "cache"))
    root = tree(tmp_path / "root")
    small = ("num_coarse=16", "grid_size=2", "latent=16", "hidden=16", "folding=8", "encoder=[8,8,16]")
    arguments = ["train", "-o", tmp_path / "t", "--dataset", "pcn", "--data", root, "--epochs", 1, "--batch-size", 2]
    arguments += [part for size in small for part in ("--set", size)]
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    arguments = ["evaluate", tmp_path / "t" / "last.keras", "--data", root, "-o", tmp_path / "eval"]
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "eval" / "evaluation.json").read_text())["samples"] == 6


@pytest.mark.parametrize(
    ("name", "start"), [("{}.pcd", 0), ("{:03d}.pcd", 0), ("{:02d}.pcd", 1), ("{}.pcd", 1), ("{:05d}.pcd", 7)]
)
def test_any_consistent_numbering_is_read(name, start, tmp_path):
    views = {"a": 12, "b": 12, "c": 11}
    data = PCN(tree(tmp_path, views, name, start), views="all")
    assert data.size("train") == 35
    # 2 comes before 10, with or without leading zeros.
    np.testing.assert_array_equal(data.load("train", 2).partial, cloud("train", "a", start + 2, points=12))
    np.testing.assert_array_equal(data.load("train", 34).partial, cloud("train", "c", start + 10, points=12))
    report = check_tree(tmp_path)
    assert report.whole
    assert report.surplus == report.hints == ()


@pytest.mark.parametrize(("name", "start"), [("{}.pcd", 0), ("{:02d}.pcd", 0), ("{:02d}.pcd", 1)])
def test_a_gap_between_numbers_is_missing_under_the_name_it_should_have(name, start, tmp_path):
    root = tree(tmp_path, {"a": 5, "b": 2, "c": 3}, name, start)
    file = f"train/partial/mugs/train-a/{name.format(start + 2)}"
    (root / file).unlink()
    assert check_tree(root).missing == (file,)


def test_a_last_scan_is_missing_where_nearly_all_shapes_have_it(tmp_path):
    views = {f"s{number}": 4 for number in range(20)}
    root = tree(tmp_path, views)
    file = "val/partial/mugs/val-s3/03.pcd"
    (root / file).unlink()
    assert check_tree(root).missing == (file,)


def test_numbers_far_apart_are_names(tmp_path):
    root = tree(tmp_path, {"a": 1, "b": 1}, "{:09d}.pcd", 170000000)
    trees.write_pcd(root / "train" / "partial" / "mugs" / "train-a" / "170009999.pcd", cloud("late", points=12))
    assert check_tree(root).whole
    assert PCN(root, views="all").size("train") == 3


def test_scans_of_other_names_are_told_how_to_be_named(tmp_path):
    root = tree(tmp_path, {"a": 2, "b": 2}, "scan_{}.pcd")
    report = check_tree(root)
    assert "train/partial/mugs/train-a/00.pcd" in report.missing
    expected = "train/partial/mugs/train-a: no scan in it, but scan_0.pcd; name the scans 00.pcd, 01.pcd and so on"
    assert report.hints[0] == expected
    result = check(root)
    assert result.exit_code == 2
    assert f"note: {expected}\n" in result.output


def test_two_scans_of_one_number_are_told(tmp_path):
    root = tree(tmp_path)
    trees.write_pcd(root / "train" / "partial" / "mugs" / "train-a" / "1.pcd", cloud("x", points=12))
    assert "there are two scans of number 1" in check(root).output


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_an_empty_list_is_said_with_how_to_mend_it(split, tmp_path):
    root = tree(tmp_path / "root")
    edit(root, lambda row: row.update({split: []}))
    data = PCN(root)
    with pytest.raises(
        ValueError, match=f"the split '{split}' of PCN is empty; list ids under '{split}' in .*PCN.json"
    ):
        Batches(data, split, 2, cache_dir=tmp_path / "cache")


@tensorflow_only
def test_training_without_validation_shapes_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path / "cache"))
    root = tree(tmp_path / "root")
    edit(root, lambda row: row.update(val=[]))
    result = CliRunner().invoke(main, ["train", "-o", f"{tmp_path}/t", "--dataset", "pcn", "--data", str(root)])
    assert result.exit_code == 2
    assert "the split 'val' of PCN is empty; list ids under 'val' in" in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "t").exists()


def test_empty_splits_of_other_data_sets_say_how_to_mend_it(tmp_path):
    trees.completion3d(tmp_path / "c3d", trees.synthetic(points=64))
    (tmp_path / "c3d" / "test.list").unlink()
    with pytest.raises(ValueError, match=r"'test' of Completion3D is empty; list its scans in .*test.list"):
        Batches(Completion3D(tmp_path / "c3d"), "test", 2, cache_dir=tmp_path / "cache")
    (tmp_path / "meshes" / "cube").mkdir(parents=True)
    cube = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\nf 1 3 4\nf 2 3 4\n"
    (tmp_path / "meshes" / "cube" / "a.obj").write_text(cube)
    data = MeshFolder(tmp_path / "meshes", views=1, points=64, cache_dir=tmp_path / "cache", workers=1)
    empty = next(split for split in data.splits if not data.size(split))
    with pytest.raises(ValueError, match=f"'{empty}' of MeshFolder is empty; its share of .* give it a larger one"):
        Batches(data, empty, 1, cache_dir=tmp_path / "cache")


def repeat_line(path):
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[0]]) + "\n")
    return lines[0].removesuffix(".pcd")


@pytest.mark.parametrize("kind", ["pcn", "shapenet55", "completion3d", "kitti"])
def test_a_shape_listed_twice_is_reported_and_fails_the_check(kind, tmp_path):
    root = tmp_path / "root"
    trees.LAYOUTS[kind].build(root, trees.synthetic(points=64))
    assert check(root, "--dataset", kind).exit_code == 0
    if kind == "pcn":
        rows = json.loads((root / "PCN.json").read_text())
        rows[0]["train"] *= 2
        (root / "PCN.json").write_text(json.dumps(rows))
        name = f"{rows[0]['taxonomy_id']}/{rows[0]['train'][0]}"
    else:
        lists = {"shapenet55": "ShapeNet-55/train.txt", "completion3d": "train.list"}
        name = repeat_line(root / lists.get(kind, "tracklets/tracklet_1.txt"))
    report = check_tree(root, kind)
    assert not report.whole
    assert [line.partition(", ")[0] for line in report.repeated] == [name]
    result = check(root, "--dataset", kind)
    assert result.exit_code == 2
    assert f"listed twice: {name}, 2 times in " in result.output


def test_a_shape_to_train_and_to_test_on_is_noted(tmp_path):
    root = tree(tmp_path)
    for part in ("partial", "complete"):
        (root / "test" / part / "mugs").rename(root / "test" / part / "old")
        (root / "test" / part / "mugs").symlink_to(root / "train" / part / "mugs")
    edit(root, lambda row: row.update(test=row["train"][:1]))
    result = check(root)
    assert "note: mugs/train-a is listed in train and in test" in result.output
    assert result.exit_code == 0


def test_shapes_of_val_and_test_may_be_the_same(tmp_path):
    trees.shapenet(tmp_path, trees.synthetic(points=64))
    assert check_tree(tmp_path, "shapenet55").hints == ()
    assert ShapeNet55(tmp_path).size("val") == 8
