"""Training by a recipe: what stands in the run's folder, who may write there, how a run ends and goes on."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from backends import tensorflow_only
from networks import TinyChamfer
from recipe_runs import Pairs, reduced

from keras_wcd.training import RECIPES, DivergedError, Interrupted, replay, train
from keras_wcd.training.beside import KeepRun
from keras_wcd.training.recipe_files import plain
from keras_wcd.training.run_folder import check_space, locked
from keras_wcd.training.schedules import Piecewise

pytestmark = tensorflow_only


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path / "cache"))


def quick(name="pcn", **changes):
    return reduced(name, **{"epochs": 2, **changes})


def run(folder, recipe=None, data=None, **options):
    options = {"loss": "cd_l1", "progress": False, "report": False, **options}
    return train(recipe or quick(), dataset=data or Pairs(), output=folder / "run", **options)


def test_a_run_leaves_its_configuration_log_and_networks(tmp_path):
    recipe = quick(schedule=Piecewise((1e-3, 5e-4), (1,)))
    fitted = run(tmp_path, recipe)
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {".lock", "best.keras", "checkpoint.npz", "config.json", "last.keras", "log.csv"}
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["recipe"] == plain(recipe)
    assert config["seed"] == 0
    assert {"keras", "tensorflow", "numpy", "python", "backend"} <= set(config["versions"])
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    assert [int(row["epoch"]) for row in rows] == [0, 1]
    assert [float(row["val_cd_l1"]) for row in rows] == fitted.history["val_cd_l1"]
    assert fitted.best == min(fitted.history["val_cd_l1"])
    last = keras.saving.load_model(tmp_path / "run" / "last.keras")
    assert last.frame == "box"
    partial = np.stack(Pairs().partial)
    np.testing.assert_array_equal(last.predict(partial, verbose=0), fitted.model.predict(partial, verbose=0))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_trains(name, tmp_path):
    # A hundred steps of all recipes take a quarter of an hour: KERAS_WCD_STEPS=100 runs them.
    steps = int(os.environ.get("KERAS_WCD_STEPS", 6))
    fitted = run(tmp_path, reduced(name, epochs=None, steps=steps), loss="landau_cd")
    assert np.isfinite(fitted.history["loss"]).all()
    # Ten pairs in batches of four are three steps.
    assert len(fitted.history["loss"]) == -(-steps // 3)


def test_steps_end_a_run_within_an_epoch(tmp_path):
    fitted = run(tmp_path, quick(epochs=None, steps=4))
    assert len(fitted.history["loss"]) == 2
    assert int(fitted.model.optimizer.iterations) == 4


def test_a_folder_with_a_run_is_left_alone_unless_it_is_gone_on_with_or_overwritten(tmp_path):
    run(tmp_path, quick(epochs=1))
    with pytest.raises(ValueError, match=r"go on with it \(resume=True, --resume\), name another folder"):
        run(tmp_path, quick(epochs=1))
    before = (tmp_path / "run" / "log.csv").read_bytes()
    # A run that is over is over.
    assert len(run(tmp_path, quick(epochs=1), resume=True).history["loss"]) == 1
    assert (tmp_path / "run" / "log.csv").read_bytes() == before
    assert len(run(tmp_path, quick(epochs=2), overwrite=True).history["loss"]) == 2
    with pytest.raises(ValueError, match="choose one of them"):
        run(tmp_path, resume=True, overwrite=True)


CHANGED = {
    "recipe": ({"recipe": quick(clip_norm=1.0)}, "another recipe .*clip_norm was 10.0 and is 1.0"),
    "loss": ({"loss": "cd_l2"}, "another loss"),
    "seed": ({"seed": 1}, "another seed .*seed was 0 and is 1"),
    "size of the data": ({"data": Pairs(9)}, "another data .*train size was 10 and is 9"),
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    folder = tmp_path_factory.mktemp("begun")
    run(folder, quick())
    return folder


@pytest.mark.parametrize("case", [*CHANGED, "points of the data"])
def test_a_run_is_not_gone_on_with_by_another(case, begun):
    if case == "points of the data":
        data = Pairs()
        data.complete[0] = data.complete[0] * 1.01
        options, message = {"data": data}, "another data .*train points"
    else:
        options, message = CHANGED[case]
    with pytest.raises(ValueError, match=message):
        run(begun, **{"recipe": quick(), "resume": True, **options})


def test_a_checkpoint_that_is_damaged_is_named(begun, tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("config.json", "checkpoint.npz"):
        content = (begun / "run" / name).read_bytes()
        (tmp_path / "run" / name).write_bytes(content if name == "config.json" else content[: len(content) // 2])
    with pytest.raises(ValueError, match="checkpoint.npz: no checkpoint of this version, or a damaged one"):
        run(tmp_path, resume=True)


def test_two_runs_in_one_folder_are_refused(tmp_path):
    holder = (
        "import pathlib, sys, time\nfrom keras_wcd.training.run_folder import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", holder, tmp_path / "run"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=f"run: process {other.pid} on .* trains there"):
            run(tmp_path)
        other.kill()
    # What a process that is gone has left behind is no lock.
    assert (tmp_path / "run" / ".lock").read_text().startswith(f"process {other.pid}")
    with locked(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").read_text().startswith(f"process {os.getpid()}")


@pytest.mark.parametrize(("number", "precision"), [(signal.SIGINT, None), (signal.SIGTERM, "mixed_float16")])
def test_a_run_that_is_asked_to_stop_writes_all_and_goes_on_to_the_same_end(number, precision, tmp_path, monkeypatch):
    recipe = quick(precision=precision)
    whole = run(tmp_path / "whole", recipe, minutes=1000)
    plain_end, steps = KeepRun.on_train_batch_end, []

    def asked(self, batch, logs=None):
        steps.append(batch)
        if len(steps) == 2:
            os.kill(os.getpid(), number)
        plain_end(self, batch, logs)

    monkeypatch.setattr(KeepRun, "on_train_batch_end", asked)
    with pytest.raises(Interrupted, match="stopped after step 2; .*checkpoint.npz holds all of it"):
        run(tmp_path, recipe, minutes=1000)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = run(tmp_path, recipe, minutes=1000, resume=True)
    assert resumed.history == whole.history
    for one, other in zip(resumed.model.weights, whole.model.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_full_disk_is_told_of_before_the_work(tmp_path):
    with pytest.raises(OSError, match="MB are free on that disk, and a run with this network writes up to"):
        check_space(tmp_path, 10**18)
    check_space(tmp_path, 10)


class Broken(Pairs):
    """The same pairs in memory, one of them so large that its loss by a large scale overflows."""

    def __init__(self, index):
        super().__init__()
        self.complete[index] = self.complete[index] * np.float32(1e15)

    def arrays(self, split):
        return np.stack(self.partial[: self.size(split)]), np.stack(self.complete[: self.size(split)])


@pytest.mark.parametrize("name", ["pcn", "crn"])
def test_a_loss_that_is_not_finite_ends_the_run_and_is_made_again(name, tmp_path):
    with pytest.raises(DivergedError, match="thing/3.*--replay .*run makes it again") as stopped:
        run(tmp_path, quick(name, batch_size=5, loss_scale=1e9), Broken(3), loss="cd_l2")
    assert "thing/3" in stopped.value.samples
    assert len(stopped.value.samples) == 5
    made = replay(tmp_path / "run")
    assert made.step == stopped.value.step
    assert not np.isfinite(made.loss)
    assert [key for key, loss in made.losses.items() if not np.isfinite(loss)] == ["thing/3"]
    assert set(made.losses) == set(stopped.value.samples)
    assert not np.isfinite(made.gradient_norm)


def test_the_state_of_a_step_that_diverged_is_that_before_it(tmp_path):
    # Both steps of the only epoch: the broken pair is in one of them.
    with pytest.raises(DivergedError) as stopped:
        run(tmp_path, quick("grnet", batch_size=1, loss_scale=1e9), Broken(7), loss="cd_l2", minutes=0)
    with (
        np.load(tmp_path / "run" / "diverged" / "state.npz") as state,
        np.load(tmp_path / "run" / "checkpoint.npz") as kept,
    ):
        assert stopped.value.step > 1
        position = json.loads(state["state"].tobytes())["position"]
        assert position["step"] == stopped.value.step - 1
        # The last two of an optimizer tell of the step itself.
        told = [key for key in kept.files if key != "state" and not np.array_equal(state[key], kept[key])]
        assert len(told) == 2
        assert all(kept[key].shape == () for key in told)


def test_a_folder_without_such_a_step_is_named(begun, tmp_path):
    with pytest.raises(ValueError, match="no step is kept there"):
        replay(begun / "run")
    with pytest.raises(ValueError, match="no configuration of a run"):
        replay(tmp_path)


@pytest.mark.parametrize("minutes", [-1, float("nan"), float("inf")])
def test_minutes_that_are_none_are_named(minutes, tmp_path):
    with pytest.raises(ValueError, match="minutes must be a finite number >= 0"):
        run(tmp_path, minutes=minutes)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_training_in_mixed_precision_learns_what_float32_learns(precision, tmp_path):
    changes = {"epochs": 6, "schedule": Piecewise((1e-2,), ())}
    exact = run(tmp_path / "exact", quick(**changes))
    mixed = run(tmp_path / "mixed", quick(**changes, precision=precision))
    assert mixed.model.dtype_policy.name == precision
    assert keras.config.dtype_policy().name == "float32"
    assert exact.history["loss"][-1] < 0.8 * exact.history["loss"][0]
    assert mixed.history["loss"][-1] == pytest.approx(exact.history["loss"][-1], rel=0.1)


def test_a_run_begins_with_the_weights_of_another_network(begun, tmp_path):
    """A step of learning rate zero leaves them as they are, but for batch normalization's averages."""
    source = begun / "run" / "last.keras"
    network = keras.saving.load_model(source)
    fitted = run(tmp_path, quick(epochs=1, schedule=Piecewise((0.0,), ())), start=source, seed=5)
    for own, other in zip(fitted.model.trainable_variables, network.trainable_variables, strict=True):
        np.testing.assert_array_equal(own.numpy(), other.numpy())
    with pytest.raises(ValueError, match="begun with another start"):
        run(tmp_path, quick(epochs=1, schedule=Piecewise((0.0,), ())), seed=5, resume=True)


def test_a_start_of_another_network_or_size_is_named(begun, tmp_path):
    source = begun / "run" / "last.keras"
    with pytest.raises(ValueError, match=r"start=.*last.keras.*shape .*give the recipe the network's arguments"):
        run(tmp_path, quick("foldingnet"), start=source)
    with pytest.raises(FileNotFoundError, match="there is no model"):
        run(tmp_path, start=tmp_path / "none.keras")
    assert not (tmp_path / "run" / "checkpoint.npz").exists()


def test_a_recipe_that_does_not_fit_its_network_is_named(tmp_path):
    recipe = dataclasses.replace(quick(), stages=quick().stages[:1])
    with pytest.raises(ValueError, match="the recipe has the stages coarse, and its network another number"):
        run(tmp_path, recipe)
    with pytest.raises(ValueError, match="network holds loss_scale, which the recipe says"):
        run(tmp_path, dataclasses.replace(quick(), network={"loss_scale": 2.0}))
    with pytest.raises(ValueError, match="PCN has no argument 'num_corse'; did you mean num_coarse"):
        run(tmp_path, dataclasses.replace(quick(), network={"num_corse": 2}))


def test_a_run_that_goes_on_before_a_validation_weighs_the_stages_as_its_last_step_did():
    from keras_wcd.training.beside import FollowRecipe
    from keras_wcd.training.by_recipe import compiled
    from keras_wcd.training.loop import Position
    from keras_wcd.training.recipes import Stage

    stages = (Stage("coarse", Piecewise((1.0, 0.5), (4,))), Stage("fine"))
    recipe = quick(stages=stages)
    for step, batch, weight in ((6, 3, 0.5), (4, 1, 1.0), (3, 0, 1.0)):
        model = compiled(recipe, TinyChamfer())
        follow = FollowRecipe(recipe, model, Position(epoch=1, batch=batch, step=step))
        follow.set_model(model)
        follow.on_epoch_begin(1)
        assert model.stage_weights == (weight, 1.0)
