"""The contract of data sets: two methods are enough, everything else has a default, and nothing else is asked for."""

import inspect
import pathlib
import re

import numpy as np
import published_trees as trees
import pytest
from backends import tensorflow_only

from keras_wcd.data import DATASETS, Batches, check_tree, contract, open_dataset
from keras_wcd.data.contract import BOX, PairDataset, Sample
from keras_wcd.data.datasets.base import Dataset
from keras_wcd.data.datasets.check import guess_datasets
from keras_wcd.data.datasets.on_disk import DatasetOnDisk
from keras_wcd.data.datasets.table import MADE_UP, class_of
from keras_wcd.evaluation import evaluate


class Two(Dataset):
    """The least that a data set is."""

    splits, categories = ("train", "val", "test"), ("a", "b")

    def size(self, split):
        return 4

    def load(self, split, index):
        cloud = np.random.default_rng(index).normal(scale=0.15, size=(40, 3)).astype("f4")
        return Sample(cloud[:25], cloud, "ab"[index % 2], str(index))


class Strict(Two):
    """Whose every attribute that the contract lacks is a failure."""

    def __getattr__(self, name):
        if not name.startswith("__"):  # Those are Python's own questions.
            pytest.fail(f"asked for {name}, which is not in the contract")
        raise AttributeError(name)


def test_two_methods_are_enough_and_all_else_has_a_default():
    data = Two()
    assert (data.subset, data.frame, data.evaluation_split, data.changing_splits) == ("", BOX, "test", ())
    assert data.clouds("train") is data.arrays("train") is data.at("hard") is data.sweep(0) is None
    assert data.pick("train", 3, 7) == (3, 3)
    assert data.tracklets() == {}
    assert data.labels("val").tolist() == [0, 1, 0, 1]
    assert data.title == "Two"
    assert data.signs() == ()
    assert not data.needs_root


def test_only_size_and_load_are_abstract():
    assert PairDataset.__abstractmethods__ == {"size", "load"}
    with pytest.raises(TypeError, match="abstract"):
        PairDataset()


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_what_a_data_set_overrides_takes_the_arguments_of_the_contract(name):
    kind, options = class_of(name)
    for method in ("size", "load", "clouds", "pick", "arrays", "at", "tracklets", "sweep", "labels", "remedy"):
        wanted, found = (list(inspect.signature(getattr(c, method)).parameters) for c in (PairDataset, kind))
        assert found[: len(wanted)] == wanted
        extra = list(inspect.signature(getattr(kind, method)).parameters.values())[len(wanted) :]
        assert all(parameter.default is not parameter.empty for parameter in extra)
    assert set(kind.changing_splits) <= set(kind.splits)
    assert issubclass(kind, DatasetOnDisk) == kind.needs_root == (name not in MADE_UP)
    assert bool(kind.signs(**options)) == kind.needs_root


def test_batches_and_evaluation_ask_for_nothing_that_the_contract_lacks(tmp_path):
    data = Strict()
    for split in data.splits:
        assert len(list(Batches(data, split, 3, num_points=8, cache_dir=tmp_path))) == 2
    found = evaluate(lambda scans: scans, data, baselines=True, output=tmp_path / "eval", progress=False)
    assert found.dataset == "Strict"


@tensorflow_only
def test_a_network_is_trained_on_no_more_than_the_contract(tmp_path, monkeypatch):
    from keras_wcd.losses import CD
    from keras_wcd.models import PCN
    from keras_wcd.training import fit

    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path))
    small = {"num_coarse": 16, "grid_size": 2, "latent": 16, "encoder": (8, 8, 16), "hidden": 16, "folding": 8}
    assert fit(PCN(**small), Strict(), CD(), epochs=1, batch_size=2, progress=False).best > 0


def test_what_is_no_data_set_is_named(tmp_path):
    for wrong in ([1, 2], None, object()):
        with pytest.raises(ValueError, match=f"dataset must be a data set of keras_wcd.data .*{type(wrong).__name__}"):
            Batches(wrong, "train", 2, cache_dir=tmp_path)


class Boxes(DatasetOnDisk):
    """A data set of one folder of scans and one of truths, known by its row in the table alone."""

    splits, categories, layout, folders = ("train", "val", "test"), ("box",), "a Boxes tree is ROOT/boxes", ("boxes",)

    def __init__(self, root):
        super().__init__(root, "boxes")

    def size(self, split):
        return len(list(self.files(split)))

    def files(self, split):
        for path in sorted((self.root / "boxes" / self._known(split)).glob("?-scan.npy")):
            yield (f"boxes/{split}/{path.name}", f"boxes/{split}/{path.name[0]}-truth.npy")

    def clouds(self, split):
        pairs = list(self.files(split))
        return self._clouds([pair[0] for pair in pairs]), self._clouds([pair[1] for pair in pairs])

    def load(self, split, index):
        scan, truth = list(self.files(split))[self._position(split, index)]
        return Sample(self._points(scan), self._points(truth), "box", scan)

    @classmethod
    def signs(cls):
        return ("boxes",)


@pytest.fixture
def boxes(tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "boxes", Boxes)
    for split in Boxes.splits:
        (tmp_path / "root" / "boxes" / split).mkdir(parents=True)
        for number in range(3):
            cloud = np.random.default_rng(number).uniform(-0.3, 0.3, (60, 3)).astype("f4")
            for what, points in {"scan": cloud[:40], "truth": cloud}.items():
                np.save(tmp_path / "root" / "boxes" / split / f"{number}-{what}.npy", points)
    return tmp_path / "root"


def test_a_row_in_the_table_is_all_that_makes_a_data_set_known(boxes, tmp_path):
    assert guess_datasets(boxes) == ("boxes",)
    assert check_tree(boxes).whole
    (boxes / "boxes" / "val" / "1-truth.npy").unlink()
    assert check_tree(boxes).missing == ("boxes/val/1-truth.npy",)
    data = open_dataset("Boxes", boxes)
    assert len(list(Batches(data, "train", 2, num_points=16, cache_dir=tmp_path / "cache"))) == 2
    assert len(evaluate(lambda scans: scans, data, progress=False).samples) == 3
    with pytest.raises(ValueError, match="boxes needs the folder of its files"):
        open_dataset("boxes")


@tensorflow_only
def test_the_commands_take_a_new_row_by_its_name(boxes, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from keras_wcd.cli import main

    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path / "cache"))
    small = ("num_coarse=16", "grid_size=2", "latent=16", "hidden=16", "folding=8", "encoder=[8,8,16]")
    for command in (
        ["data", "check", boxes],
        ["train", "--dataset", "boxes", "--data", boxes, "-o", tmp_path / "run", "--epochs", "1", "--batch-size", "2"]
        + [part for size in small for part in ("--set", size)],
        ["evaluate", tmp_path / "run" / "last.keras", "--dataset", "boxes", "--data", boxes, "-o", tmp_path / "eval"],
    ):
        result = CliRunner().invoke(main, [str(part) for part in command])
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("name", "meant"), [("shapenet-55", "shapenet55"), ("Completion3D", "completion3d"), ("PCN", "pcn")]
)
def test_names_are_found_however_they_are_spelled(name, meant, tmp_path):
    trees.LAYOUTS[meant].build(tmp_path / "root", trees.synthetic(points=64))
    assert isinstance(open_dataset(name, tmp_path / "root"), class_of(meant)[0])


def test_a_misspelled_name_or_split_is_met_with_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="unknown data set 'completion'; did you mean completion3d"):
        open_dataset("completion", tmp_path)
    with pytest.raises(ValueError, match=r"split must be one of .* got 'trian'; did you mean train\?"):
        open_dataset("shapes8", cache_dir=tmp_path).size("trian")


def test_a_key_changes_with_the_file_and_with_what_is_added(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.eye(3))
    first = contract.file_key(path, 1)
    assert first == contract.file_key(path, 1) != contract.file_key(path, 2)
    np.save(path, np.eye(4))
    assert contract.file_key(path, 1) != first
    with pytest.raises(ValueError, match="b.npy: No such file"):
        contract.file_key(tmp_path / "b.npy")


def test_the_class_of_the_docs_makes_batches_and_is_measured(tmp_path):
    page = (pathlib.Path(__file__).parents[3] / "docs" / "own_data.md").read_text()
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class Parts" in block]
    names = {}
    exec(compile(code, "own_data.md", "exec"), names)
    for split in ("train", "val", "test"):
        (tmp_path / split).mkdir()
        for number in range(3):
            cloud = np.random.default_rng(number).normal(scale=0.15, size=(50, 3)).astype("f4")
            np.save(tmp_path / split / f"{number}-scan.npy", cloud[:20])
            np.save(tmp_path / split / f"{number}-truth.npy", cloud)
    data = names["Parts"](tmp_path)
    assert len(list(Batches(data, "train", 2, num_points=16, cache_dir=tmp_path / "cache"))) == 2
    found = evaluate(lambda scans: scans, data, progress=False)
    assert [sample.name for sample in found.samples] == ["0-scan", "1-scan", "2-scan"]
