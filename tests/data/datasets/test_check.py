"""`check_tree`, `keras-wcd data check` and training by the name of a data set."""

import numpy as np
import published_trees as trees
import pytest
from backends import tensorflow_only
from click.testing import CliRunner

from keras_wcd.cli import main
from keras_wcd.data import DATASETS, check_tree
from keras_wcd.data.datasets.check import guess_datasets
from keras_wcd.data.datasets.table import MADE_UP, signs_of

READERS = sorted(set(DATASETS) - set(MADE_UP))
COUNTS = {name: layout.counts for name, layout in trees.LAYOUTS.items()}
HURT = {name: layout.fourth for name, layout in trees.LAYOUTS.items() if layout.fourth}


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def tree(tmp_path):
    def make(name):
        trees.BUILDERS[name](tmp_path / "root", trees.synthetic(points=64))
        return tmp_path / "root"

    return make


def test_every_data_set_with_files_can_be_recognized():
    assert set(READERS) == set(COUNTS)
    assert all(signs_of(name) for name in READERS)


@pytest.mark.parametrize("name", READERS)
def test_a_whole_tree_lacks_nothing(name, tree):
    root = tree(name)
    assert name in guess_datasets(root)
    report = check_tree(root, name)
    assert {split: count.listed for split, count in report.counts.items()} == COUNTS[name]
    assert all(count.whole == count.listed for count in report.counts.values())
    assert report.missing == report.surplus == ()
    result = run("data", "check", root)
    assert result.exit_code == 0, result.output
    for split, count in COUNTS[name].items():
        assert f"{split:6}{count:7d} of {count} shapes" in result.output


@pytest.mark.parametrize("name", HURT)
@pytest.mark.parametrize("how", ["absent", "empty"])
def test_what_is_absent_or_empty_is_named_with_exit_code_2(name, how, tree):
    root, file = tree(name), HURT[name].format(3)
    assert (root / file).exists()
    if how == "absent":
        (root / file).unlink()
    else:
        (root / file).write_bytes(b"")
    if (name, how) == ("mvp", "empty"):
        result = run("data", "check", root)
        assert f"{root / file}: not a readable HDF5 file" in result.output
    else:
        report = check_tree(root, name)
        split = next(iter(report.counts))
        assert report.missing == (file,)
        assert report.counts[split].whole == report.counts[split].listed - 1
        result = run("data", "check", root, "--dataset", name)
        assert f"missing: {file}\n" in result.output
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_long_list_of_missing_files_is_cut_short(tree):
    root = tree("pcn")
    for path in (root / "train" / "partial").rglob("*.pcd"):
        path.unlink()
    report = check_tree(root)
    # No scan is left to count: the published eight views are missed.
    assert len(report.missing) == 64
    assert report.counts["train"] == (8, 0)
    result = run("data", "check", root)
    assert result.output.count("missing: ") == 21
    assert "missing: 44 more" in result.output


def test_files_of_no_list_are_named_and_do_no_harm(tree):
    root = tree("pcn")
    for extra in ("val/complete/03001627/zz.pcd", "train/partial/99/a/00.pcd"):
        trees.write_pcd(root / extra, np.eye(3))
    (root / "train" / "complete" / ".DS_Store").write_text("x")
    (root / "category.txt").write_text("x")
    report = check_tree(root)
    assert report.surplus == ("train/partial/99/a/00.pcd", "val/complete/03001627/zz.pcd")
    result = run("data", "check", root)
    assert "in no list: val/complete/03001627/zz.pcd" in result.output
    assert result.exit_code == 0


def test_kitti_without_any_tracklet_is_not_whole(tree):
    root = tree("kitti")
    for path in (root / "tracklets").iterdir():
        path.unlink()
    assert check_tree(root).missing == ("tracklets/tracklet_0.txt",)


MISTAKES = {
    "nothing there": ((), (), "no known data set; looked in it for PCN.json"),
    "no index": (("train/complete/x.pcd",), (), "there is no PCN.json in it; a PCN tree is ROOT/PCN.json"),
    "only cars": (("bboxes/x.txt",), (), "there is no cars in it; a KITTI tree is ROOT/cars"),
    "unknown name": ((), ("--dataset", "modelnet"), "unknown data set 'modelnet'; known are"),
    "made up": ((), ("--dataset", "shapes8"), "shapes8 is made on the spot"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_folder_that_cannot_be_checked_is_one_line_and_exit_code_2(mistake, tmp_path):
    files, arguments, message = MISTAKES[mistake]
    for file in files:
        trees.write_pcd(tmp_path / file, np.eye(3))
    result = run("data", "check", tmp_path, *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert result.output.count("\n") == 1
    assert run("data", "check", tmp_path / "nowhere").exit_code == 2


SMALL = ("num_coarse=16", "grid_size=2", "latent=16", "hidden=16", "folding=8", "encoder=[8,8,16]")


@tensorflow_only
def test_training_takes_a_data_set_by_name_and_folder(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path / "cache"))
    arguments = ["train", "-o", tmp_path / "t", "--dataset", "pcn", "--data", tree("pcn"), "--epochs", 1]
    result = run(*arguments, "--batch-size", 4, *(part for size in SMALL for part in ("--set", size)))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "t" / "best.keras").exists()


@tensorflow_only
@pytest.mark.parametrize(
    ("name", "folder", "message"),
    [
        ("pcn", False, "pcn needs the folder of its files"),
        ("shapes8", True, "takes no folder"),
        ("kitti", True, "kitti has only the splits test"),
        ("modelnet", True, "'modelnet'; known are"),
    ],
)
def test_training_says_why_a_data_set_does_not_do(name, folder, message, tree, tmp_path):
    arguments = ("--data", tree("kitti")) if folder else ()
    result = run("train", "-o", tmp_path / "t", "--dataset", name, *arguments)
    assert result.exit_code == 2
    assert message in result.output
