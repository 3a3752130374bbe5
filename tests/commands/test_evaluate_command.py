"""`keras-wcd evaluate` as a user runs it, on small trees in the published layouts."""

import json

import published_trees
import pytest
from backends import tensorflow_only
from click.testing import CliRunner

from keras_wcd.cli import main

pytestmark = tensorflow_only


def run(*arguments):
    return CliRunner().invoke(main, ["evaluate", *(str(a) for a in arguments)])


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a small network in three forms and a tree of every published data set."""
    from keras_wcd.export import to_tflite
    from keras_wcd.models import PCN

    folder = tmp_path_factory.mktemp("evaluate")
    model = PCN(num_coarse=16, grid_size=2, latent=16, encoder=(8, 8, 16), hidden=16, folding=8)
    model.save(folder / "model.keras")
    model.save_to_preset(folder / "preset")
    to_tflite(model, folder / "model.tflite")
    shapes = published_trees.synthetic()
    for name in ("pcn", "shapenet55", "mvp", "completion3d", "kitti"):
        published_trees.BUILDERS[name](folder / name, shapes)
    (folder / "earlier").mkdir()
    earlier = {"model": "other", "dataset": "PCN", "split": "test", "settings": {}, "figures": {"cd_l1": {}}}
    (folder / "earlier" / "evaluation.json").write_text(json.dumps(earlier))
    return folder


def test_pcn_gives_table_1_baselines_and_the_published_rows(here, tmp_path):
    result = run(
        *(here / "model.keras", "--data", here / "pcn", "--dataset", "pcn", "--baselines", "--paper"),
        *("-o", tmp_path / "eval"),
    )
    assert result.exit_code == 0, result.output
    for word in ("Plane", "Boat", "Average", "Samples", "F-score", "scan + mirror image", "(measured)", "22.70"):
        assert word in result.output
    assert "SeedFormer" not in result.output
    summary = json.loads((tmp_path / "eval" / "evaluation.json").read_text())
    assert summary["samples"] == 8
    assert list(summary["figures"]["cd_l1"]["per_category"]) == published_trees.NAMES
    names = {"samples.csv", "table.csv", "evaluation.json", "worst.png", "median.png"}
    assert {path.name for path in (tmp_path / "eval").iterdir()} == names


def test_preset_and_litert_file_score_as_the_network_does(here, tmp_path):
    scores = []
    for model in ("model.keras", "preset", "model.tflite"):
        result = run(here / model, "--data", here / "pcn", "--metrics", "cd_l1", "-o", tmp_path / model)
        assert result.exit_code == 0, result.output
        summary = json.loads((tmp_path / model / "evaluation.json").read_text())
        scores.append(summary["figures"]["cd_l1"]["sample_mean"])
    assert scores[1] == pytest.approx(scores[0], rel=1e-6)
    assert scores[2] == pytest.approx(scores[0], rel=1e-4)


@pytest.mark.parametrize("dataset", ["shapenet55", "unseen21"])
def test_shapenet_gives_easy_to_hard(here, dataset, tmp_path):
    result = run(here / "model.keras", "--data", here / "shapenet55", "--dataset", dataset, "-o", tmp_path / "eval")
    assert result.exit_code == 0, result.output
    assert "Easy" in result.output
    summary = json.loads((tmp_path / "eval" / "evaluation.json").read_text())
    assert set(summary["groups"]) == {"easy", "median", "hard"}
    assert summary["samples"] % 24 == 0


@pytest.mark.parametrize("dataset", ["mvp", "completion3d"])
def test_other_pairs_are_measured_on_their_published_split(here, dataset, tmp_path):
    result = run(here / "model.keras", "--data", here / dataset, "--dataset", dataset, "-o", tmp_path / "eval")
    assert result.exit_code == 0, result.output
    assert "CD-L2 x 1000" in result.output


def test_kitti_gives_fidelity_matching_distance_and_consistency(here, tmp_path):
    result = run(
        *(here / "model.keras", "--data", here / "kitti", "--dataset", "kitti"),
        *("--cars", here / "pcn", "--cars-split", "train,test", "-o", tmp_path / "eval"),
    )
    assert result.exit_code == 0, result.output
    assert (
        result.output.split()[:5] == ["x", "1000", "Fidelity", "MMD", "Consistency"] or "Consistency" in result.output
    )
    summary = json.loads((tmp_path / "eval" / "evaluation.json").read_text())
    assert summary["samples"] == 22
    assert all(summary["figures"][name]["sample_mean"] > 0 for name in ("fidelity", "mmd", "consistency"))


MISTAKES = {
    "no data": (["model.keras"], "pcn needs the folder of its files"),
    "no such data set": (["model.keras", "--dataset", "nope", "--data", "pcn"], "unknown data set 'nope'"),
    "misspelled data set": (
        ["model.keras", "--dataset", "shapenet-5", "--data", "shapenet55"],
        "did you mean shapenet55?",
    ),
    "another evaluation": (
        ["model.keras", "--data", "pcn", "-o", "earlier"],
        "output 'earlier' holds an evaluation with another",
    ),
    "no such frame": (["model.keras", "--data", "pcn", "--frame", "cube"], "frame must be one of"),
    "no tree": (["model.keras", "--data", "preset"], "there is no PCN.json in it"),
    "no model": (["absent.keras", "--data", "pcn"], "absent.keras: there is no model"),
    "no such split": (["model.keras", "--data", "pcn", "--split", "dev"], "split must be one of"),
    "no such metric": (["model.keras", "--data", "pcn", "--metrics", "psnr"], "metrics must be names of"),
    "nothing to compare": (["model.keras", "--data", "pcn", "--metrics", "emd", "--paper"], "name cd_l1 in --metrics"),
    "output is a file": (["model.keras", "--data", "pcn", "-o", "model.keras"], "is a file; name a folder"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(mistake, here, monkeypatch):
    monkeypatch.chdir(here)
    arguments, message = MISTAKES[mistake]
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert not (here / "runs").exists()


def test_another_evaluation_is_replaced_where_that_is_allowed(here, tmp_path):
    arguments = ["--data", here / "pcn", "--metrics", "cd_l1", "-o", tmp_path / "eval"]
    assert run(here / "model.keras", *arguments).exit_code == 0
    before = (tmp_path / "eval" / "evaluation.json").read_text()
    refused = run(here / "preset", *arguments)
    assert refused.exit_code == 2
    assert "holds an evaluation with another path" in refused.output
    assert (tmp_path / "eval" / "evaluation.json").read_text() == before
    assert run(here / "preset", *arguments, "--overwrite").exit_code == 0
    assert json.loads((tmp_path / "eval" / "evaluation.json").read_text())["settings"]["path"] == str(here / "preset")


def test_a_network_that_records_its_frame_is_said_to_see_another(here, tmp_path):
    arguments = ["--data", here / "shapenet55", "--dataset", "unseen21", "--metrics", "cd_l1"]
    left = run(here / "model.keras", *arguments, "-o", tmp_path / "left")
    assert "The network saw the scans" not in left.output
    moved = run(here / "model.keras", *arguments, "--frame", "box", "-o", tmp_path / "moved")
    assert moved.exit_code == 0, moved.output
    assert "The network saw the scans in the frame 'box'" in moved.output
