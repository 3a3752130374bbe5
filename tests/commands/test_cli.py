"""The commands as a user runs them, on sizes that take seconds."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from backends import tensorflow_only
from click.testing import CliRunner
from scipy.spatial import KDTree

from keras_wcd.cli import main

pytestmark = tensorflow_only


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo in small, as a process of its own; its folder and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "keras_wcd.cli", "demo", "--shapes", "16", "--epochs", "1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "runs" / "demo", done.stdout


def test_demo_ends_with_the_report_and_its_files(demo):
    folder, printed = demo
    assert f"Report: {folder.relative_to(folder.parents[1]) / 'report.html'}" in printed
    for family in ("landau", "gamma", "weibull"):
        assert family in printed
    for category in ("airplane", "watercraft"):
        assert category in printed
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert 'src="http' not in page
    assert len(json.loads((folder / "distillation.json").read_text())["ranking"]) == 8
    assert len(list((folder / "clouds").glob("*.ply"))) == 32
    assert (folder / "model.tflite").stat().st_size < 5e6


def test_the_table_of_the_demo_is_what_trees_measure(demo):
    from keras_wcd.data import Shapes8
    from keras_wcd.predictors import load_model

    folder, printed = demo
    partial, complete = Shapes8(16, 8, 8).arrays("test")
    predicted = load_model(folder / "model.keras").predict(partial, verbose=0)
    clouds = {"scan": partial, "landau_cd": predicted, "landau_cd + scan": np.concatenate([partial, predicted], axis=1)}
    lines = [line.strip() for line in printed.splitlines() if line.startswith("     ")]
    for name, found in clouds.items():
        each = [
            500 * (KDTree(true).query(pred)[0].mean() + KDTree(pred).query(true)[0].mean())
            for true, pred in zip(complete.astype(float), found.astype(float), strict=True)
        ]
        (row,) = (line for line in lines if re.match(re.escape(name) + r" +\d", line))
        average, *categories, samples = map(float, row.removeprefix(name).split())
        assert average == samples == pytest.approx(np.mean(each), abs=0.006)
        assert sorted(categories) == pytest.approx(sorted(each), abs=0.006)


@pytest.mark.parametrize("suffix", ["ply", "pcd", "npy", "xyz"])
def test_complete_answers_in_the_scans_place_and_units(demo, tmp_path, suffix):
    from keras_wcd.data import read_points, write_points

    folder, _ = demo
    rng = np.random.default_rng(0)
    scan = np.float32([1000, -500, 30]) + 20 * rng.uniform(size=(700, 3)).astype("float32")
    write_points(tmp_path / f"scan.{suffix}", scan)
    for model in (folder / "model.keras", folder / "model.tflite"):
        output = tmp_path / f"done.{suffix}"
        result = run("complete", tmp_path / f"scan.{suffix}", "-o", output, "--model", model, "--keep-partial")
        assert result.exit_code == 0, result.output
        points = read_points(output)
        assert points.shape == (700 + 2048, 3)
        np.testing.assert_allclose(points[:700], scan, rtol=1e-5)
        # The barely trained network spreads its points about the scan, not about the origin.
        assert np.abs(points[700:].mean(axis=0) - scan.mean(axis=0)).max() < 40


def test_export_and_bench(demo, tmp_path):
    folder, _ = demo
    result = run("export", folder / "model.keras", "-o", tmp_path / "m.tflite", "--quantization", "dynamic")
    assert result.exit_code == 0, result.output
    result = run("bench", tmp_path / "m.tflite", "--runs", "2")
    assert result.exit_code == 0, result.output
    assert "latency" in result.output
    result = run("export", folder / "model.keras", "-o", tmp_path / "saved")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "saved" / "saved_model.pb").exists()


def test_distill_then_train_with_the_winner(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path / "cache"))
    np.save(tmp_path / "distances.npy", np.random.default_rng(0).uniform(0.01, 3, 500))
    result = run(
        *("distill", "-o", tmp_path / "d", "--families", "landau,gamma", "--distances", tmp_path / "distances.npy"),
        *("--alpha", "2", "--shift", "none", "--rescale", "fit", "--distance-scale", "median"),
    )
    assert result.exit_code == 0, result.output
    assert {p.suffix for p in (tmp_path / "d").iterdir()} == {".json", ".png", ".svg"}
    sizes = ["num_coarse=64", "grid_size=2", "latent=32", "hidden=32", "folding=16", "encoder=[16,16,32]"]
    command = (
        *("train", "-o", tmp_path / "t", "--loss", tmp_path / "d" / "distillation.json", "--shapes", "16"),
        *("--epochs", "1", "--batch-size", "4"),
        *(part for size in sizes for part in ("--set", size)),
    )
    result = run(*command)
    assert result.exit_code == 0, result.output
    first = (tmp_path / "t" / "best.keras").stat().st_mtime_ns
    assert run(*command).exit_code == 2
    assert (tmp_path / "t" / "best.keras").stat().st_mtime_ns == first
    result = run(*command, "--overwrite")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "t" / "best.keras").stat().st_mtime_ns > first


MISTAKES = {
    "no model": (["complete", "scan.xyz", "-o", "out.ply", "--model", "no.keras"], "no.keras: there is no model"),
    "no scan": (["complete", "nope.ply", "-o", "out.ply", "--model", "model.keras"], "nope.ply"),
    "no such format": (["complete", "scan.doc", "-o", "out.ply", "--model", "model.keras"], "scan.doc: unknown ext"),
    "broken model": (["complete", "scan.xyz", "-o", "out.ply", "--model", "model.keras"], "model.keras: not a model"),
    "broken tflite": (["complete", "scan.xyz", "-o", "out.ply", "--model", "model.tflite"], "model.tflite"),
    "empty cloud": (["complete", "empty.xyz", "-o", "out.ply", "--model", "model.keras"], "empty.xyz"),
    "unknown loss": (["train", "-o", "t", "--loss", "nope"], "unknown loss 'nope'"),
    "bad arguments of a loss": (["train", "-o", "t", "--loss", '{"name": "hyper_cd", "beta": 1}'], "--loss wants"),
    "broken loss": (["train", "-o", "t", "--loss", '{"name": "hyper_cd"'], "--loss wants"),
    "unknown network": (["train", "-o", "t", "--backbone", "nope"], "--backbone: unknown backbone 'nope'"),
    "misspelled network": (["train", "-o", "t", "--backbone", "ponitr"], "did you mean pointr?"),
    "unknown setting": (["train", "-o", "t", "--set", "num_corse=8"], "PCN has no argument 'num_corse'; did you mean"),
    "bad setting": (["train", "-o", "t", "--set", "x"], "--set wants NAME=VALUE"),
    "negative rate": (["train", "-o", "t", "--learning-rate", "-1"], "learning_rate must be a finite number above 0"),
    "no rate": (["train", "-o", "t", "--learning-rate", "nan"], "learning_rate must be a finite number above 0"),
    "no epoch": (["train", "-o", "t", "--epochs", "0"], "epochs must be at least 1 and whole, got 0"),
    "no batch": (["train", "-o", "t", "--batch-size", "-2"], "batch_size must be at least 1 and whole, got -2"),
    "no shape": (["train", "-o", "t", "--shapes", "0"], "must be at least 1, got 0"),
    "an earlier run": (["train", "-o", "earlier"], "earlier: holds the best.keras of an earlier run"),
    "output is a file": (["train", "-o", "scan.xyz"], "scan.xyz: is a file; name a folder"),
    "output takes no file": (["train", "-o", "/proc/run"], "takes no new file"),
    "unknown family": (["distill", "-o", "d", "--families", "nope"], "nope"),
    "unknown teacher": (["distill", "-o", "d", "--teacher", "nope"], "unknown loss 'nope'"),
    "argument of another teacher": (
        ["distill", "-o", "d", "--teacher", "info_cd", "--alpha", "2"],
        "InfoCD has no argument 'alpha'; known are tau, lam,",
    ),
    "argument of another teacher in JSON": (
        ["distill", "-o", "d", "--teacher", '{"name": "cd_l1", "tau": 2}'],
        "CD has no argument 'tau'; known are norm,",
    ),
    "bad value of a teacher": (
        ["distill", "-o", "d", "--teacher", '{"name": "hyper_cd", "alpha": "x"}'],
        "--teacher w",
    ),
    "teacher without a gradient": (["distill", "-o", "d", "--teacher", "{}"], "--teacher wants"),
    "archive of distances": (["distill", "-o", "d", "--distances", "two.npz"], "two.npz: not an .npy file of numbers"),
    "distances that are words": (["distill", "-o", "d", "--distances", "words.npy"], "words.npy: not an .npy file of"),
    "bad distances": (["distill", "-o", "d", "--distances", "scan.doc"], "scan.doc: not an .npy file"),
    "bad scale": (["distill", "-o", "d", "--distance-scale", "wide"], "--distance-scale must be"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(mistake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scan.xyz").write_text("0 0 0\n1 0 0\n0 1 1\n")
    (tmp_path / "empty.xyz").write_text("")
    (tmp_path / "earlier").mkdir()
    for name in ("scan.doc", "model.keras", "model.tflite", "earlier/best.keras"):
        (tmp_path / name).write_text("no such thing")
    np.savez(tmp_path / "two.npz", a=np.ones(3), b=np.ones(3))
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    arguments, message = MISTAKES[mistake]
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "out.ply").exists()
    assert not (tmp_path / "t").exists()
    assert (tmp_path / "earlier" / "best.keras").read_text() == "no such thing"


@pytest.mark.parametrize("teacher", ["cd_l1", "CD-L2", '{"name": "cd_l1"}', '{"name": "info_cd", "tau": 0.5}', "dcd"])
def test_any_loss_that_has_a_name_is_a_teacher(teacher, tmp_path):
    np.save(tmp_path / "distances.npy", np.linspace(0.01, 1, 50))
    result = run(
        *("distill", "-o", tmp_path / "d", "--families", "normal", "--distances", tmp_path / "distances.npy"),
        *("--teacher", teacher),
    )
    assert result.exit_code == 0, result.output
    assert "normal" in result.output


def test_every_command_shows_an_example():
    for name, command in main.commands.items():
        assert f"keras-wcd {name}" in run(name, "--help").output, name
        assert command.help


def test_a_loss_is_named_with_arguments():
    from keras_wcd.commands.shared import named_loss

    assert named_loss('{"name": "hyper_cd", "alpha": 1000}').get_config()["alpha"] == 1000
    assert named_loss("hyper_cd").get_config()["alpha"] == 1
