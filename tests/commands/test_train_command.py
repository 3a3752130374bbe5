"""`keras-wcd train --recipe`: by name or file, changed, gone on with, and which options go with which way."""

import json

import keras
import numpy as np
import pytest
from backends import tensorflow_only
from click.testing import CliRunner

from keras_wcd import models
from keras_wcd.cli import main

pytestmark = tensorflow_only

TINY = {
    "num_coarse": 16,
    "grid_size": 2,
    "latent": 16,
    "encoder": [8, 8, 16],
    "hidden": 16,
    "folding": 8,
    "num_input": 128,
}
SMALL = [f"--set=network.{key}={json.dumps(value)}" for key, value in TINY.items()]


def run(*arguments):
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path / "cache"))


def test_a_recipe_is_followed_and_gone_on_with(tmp_path):
    command = [
        "--recipe",
        "small",
        *SMALL,
        "--set",
        "epochs=2",
        "--shapes",
        16,
        "--loss",
        "cd_l1",
        "-o",
        tmp_path / "r",
    ]
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert "best.keras: validation CD-L1 x 1000 =" in result.output
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert (config["recipe"]["epochs"], config["recipe"]["network"]["num_coarse"]) == (2, 16)
    assert config["recipe"]["clip_norm"] == 10.0
    assert config["loss"]["config"]["norm"] == "l1"
    assert (tmp_path / "r" / "report.html").stat().st_size > 10_000
    for split in ("val", "test"):
        assert (tmp_path / "r" / "evaluation" / split / "table.csv").is_file()
    log = (tmp_path / "r" / "log.csv").read_bytes()
    assert run(*command, "--resume").exit_code == 0
    assert (tmp_path / "r" / "log.csv").read_bytes() == log
    again = run(*command)
    assert again.exit_code != 0
    assert "go on with it (resume=True, --resume)" in again.output
    other = run(*command, "--resume", "--set", "clip_norm=1")
    assert other.exit_code != 0
    assert "another recipe (clip_norm was 10.0 and is 1.0)" in other.output


def test_what_a_stopped_run_says(tmp_path, monkeypatch):
    from keras_wcd import training

    def stopped(*args, **kwargs):
        raise training.Interrupted("stopped after step 2; checkpoint.npz holds all of it")

    monkeypatch.setattr(training, "train", stopped)
    result = run("--recipe", "small", "--shapes", 16, "-o", tmp_path / "r")
    assert result.exit_code == 130
    assert (
        "stopped after step 2; checkpoint.npz holds all of it; the same command with --resume goes on" in result.output
    )


def test_a_step_that_diverged_is_made_again_by_one_command(tmp_path, monkeypatch):
    from keras_wcd.data.datasets import shapes8

    load = shapes8.Shapes8.arrays

    def arrays(self, split):
        partial, complete = load(self, split)
        complete = np.array(complete)
        if split == "train":
            complete[5] *= np.float32(1e30)
        return partial, complete

    monkeypatch.setattr(shapes8.Shapes8, "arrays", arrays)
    # CD-L2 squares what is too large to be squared.
    result = run("--recipe", "small", *SMALL, "--shapes", 16, "--loss", "cd_l2", "-o", tmp_path / "r")
    assert result.exit_code != 0
    assert "--replay" in result.output
    made = run("--replay", tmp_path / "r")
    assert made.exit_code == 0, made.output
    assert made.output.startswith("step 1: loss ")
    alone = [line for line in made.output.splitlines() if line.endswith(" alone")]
    assert len(alone) == 16
    assert sum("inf" in line or "nan" in line for line in alone) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "--resume goes with a recipe: add --recipe published, small or a file"),
        (["--minutes", "1"], "--minutes goes with a recipe"),
        (["--recipe", "small", "--epochs", "3"], "--epochs is the recipe's; change it there: --set epochs=3"),
        (["--recipe", "small", "--learning-rate", "0.1"], "change it there: --set schedule=0.1"),
        (["--recipe", "smal"], "smal: no such recipe; name a file of YAML, or one of published, small"),
        (["--recipe", "small", "--set", "batch_sise=3"], "a recipe has no 'batch_sise'; did you mean batch_size?"),
        (["--recipe", "small", "--set", "network.num_corse=3"], "PCN has no argument 'num_corse'; did you mean"),
        (["--recipe", "published", "--backbone", "mirrornet"], "unknown recipe 'mirrornet'"),
        (["--recipe", "small", "--set", "x"], "a change is KEY=VALUE"),
        (["--from", "default", "--backbone", "pcn"], "--backbone makes a new network; --from default has its own"),
        (["--from", "default", "--set", "width=3"], "--set makes a new network; --from default has its own"),
        (["--from", "defualt"], "there is no model of this name; did you mean default?"),
    ],
)
def test_options_that_do_not_go_together_are_named(arguments, message, tmp_path):
    result = run(*arguments, "--shapes", "8", "-o", tmp_path / "r")
    assert result.exit_code != 0
    assert message in " ".join(result.output.split())


def test_a_network_is_fine_tuned(tmp_path):
    network = models.PCN(**TINY)
    network.save(tmp_path / "mine.keras")
    options = ["--shapes", 16, "--epochs", 1, "--learning-rate", 1e-6, "-o", tmp_path / "r"]
    result = run("--from", tmp_path / "mine.keras", *options)
    assert result.exit_code == 0, result.output
    tuned = keras.saving.load_model(tmp_path / "r" / "last.keras", compile=False)
    assert tuned.frame == "box"
    for own, other in zip(tuned.trainable_variables, network.trainable_variables, strict=True):
        np.testing.assert_allclose(own.numpy(), other.numpy(), atol=1e-5)


def test_a_folder_is_asked_for():
    assert "Missing option '-o' / '--output'" in run("--recipe", "small").output
