"""The folder of one evaluation is not taken by another."""

import json

import numpy as np
import pytest

from keras_wcd.data.contract import PairDataset, Sample
from keras_wcd.evaluation import evaluate


class Few(PairDataset):
    """Three pairs."""

    splits, categories = ("val", "test"), ("thing",)

    def size(self, split):
        return 3

    def load(self, split, index):
        cloud = np.random.default_rng(index).normal(size=(50, 3)).astype("f4")
        return Sample(cloud[:30], cloud, "thing", str(index))


class Other(Few):
    """The same under another name."""


def network(scans):
    return scans


def other(scans):
    return scans


def again(folder, **changes):
    arguments = {"model": network, "dataset": Few(), "split": "test", "progress": False, **changes}
    return evaluate(**arguments, output=folder)


@pytest.fixture
def folder(tmp_path):
    again(tmp_path / "eval")
    return tmp_path / "eval"


CHANGES = {
    "model": {"model": other},
    "dataset": {"dataset": Other()},
    "split": {"split": "val"},
    "metrics": {"metrics": ("cd_l1",)},
    "keep_partial": {"keep_partial": True},
    "frame": {"frame": "sphere"},
}


@pytest.mark.parametrize("what", CHANGES)
def test_another_evaluation_is_kept_and_nothing_is_measured(what, folder):
    def counted(scans):
        raise AssertionError("the network was asked")

    counted.__name__ = CHANGES[what].get("model", network).__name__
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match=f"another {what}, network Few test; name another folder, .*overwrite"):
        again(folder, **{**CHANGES[what], "model": counted})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    again(folder, **CHANGES[what], overwrite=True)
    assert (folder / "evaluation.json").read_bytes() != before["evaluation.json"]


def test_the_same_evaluation_replaces_itself(folder):
    again(folder)


def test_an_evaluation_of_an_earlier_version_is_replaced_by_the_same(folder):
    summary = json.loads((folder / "evaluation.json").read_text())
    del summary["settings"]["frame"]
    (folder / "evaluation.json").write_text(json.dumps(summary))
    again(folder)
    assert "frame" in json.loads((folder / "evaluation.json").read_text())["settings"]


@pytest.mark.parametrize("content", ["{}", "no JSON", "[1]", '{"model": 1}'])
def test_a_file_of_another_program_is_kept(content, folder):
    (folder / "evaluation.json").write_text(content)
    with pytest.raises(ValueError, match="holds an evaluation.json that is none of ours"):
        again(folder)
    assert (folder / "evaluation.json").read_text() == content
    again(folder, overwrite=True)


def test_two_files_of_one_kind_of_network_are_told_apart(tmp_path):
    keras = pytest.importorskip("keras")
    inputs = keras.Input((2048, 3))
    model = keras.Model(inputs, keras.layers.Identity()(inputs), name="same")
    for name in ("a.keras", "b.keras"):
        model.save(tmp_path / name)
    again(tmp_path / "eval", model=tmp_path / "a.keras")
    with pytest.raises(ValueError, match="another path"):
        again(tmp_path / "eval", model=tmp_path / "b.keras")


def test_scores_have_their_earlier_name_too(tmp_path):
    sample = again(tmp_path / "eval").samples[0]
    assert sample.figures is sample.scores
