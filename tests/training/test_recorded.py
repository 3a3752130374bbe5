"""What a run keeps beside its networks: one row, one point of every curve for each epoch, also where it went on."""

import csv
import html
import os
import re
import shutil
import signal
import struct

import keras
import numpy as np
import pytest
from backends import tensorflow_only
from recipe_runs import Pairs, reduced

from keras_wcd.training import DivergedError, Interrupted, train
from keras_wcd.training.beside import KeepRun
from keras_wcd.training.drawn_scans import chosen_scans, is_drawn
from keras_wcd.training.recipes import Stage
from keras_wcd.training.recorded import measure_best
from keras_wcd.training.schedules import Piecewise

pytestmark = tensorflow_only

RECIPE = reduced(
    "pcn",
    epochs=3,
    schedule=Piecewise((1e-3, 5e-4), (2,)),
    stages=(Stage("coarse", Piecewise((1.0, 0.25), (5,))), Stage("fine")),
)
STEPS = 3
"""Ten pairs in batches of four."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path / "cache"))


def run(folder, recipe=RECIPE, data=None, **options):
    return train(recipe, dataset=data or Pairs(), output=folder, **{"loss": "cd_l1", "progress": False, **options})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(folder)
    return folder


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that was stopped in its second epoch, its report at that moment, and what it became."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    plain, steps = KeepRun.on_train_batch_end, []

    def asked(self, batch, logs=None):
        steps.append(batch)
        if len(steps) == STEPS + 2:
            os.kill(os.getpid(), signal.SIGTERM)
        plain(self, batch, logs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KeepRun, "on_train_batch_end", asked)
        with pytest.raises(Interrupted):
            run(folder)
    page = (folder / "report.html").read_text()
    run(folder, resume=True)
    return folder, page


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def events_of(folder):
    """Points of every curve as TensorFlow's own reader finds them, and sizes of the pictures."""
    import tensorflow as tf

    (path,) = (folder / "tensorboard").iterdir()
    curves, pictures = {}, {}
    for record in tf.data.TFRecordDataset(str(path)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            if value.HasField("image"):
                pictures[event.step] = value.image
            else:
                curves.setdefault(value.tag, []).append((event.step, value.simple_value))
    return curves, pictures


@pytest.mark.parametrize("which", ["whole", "stopped"])
def test_curves_are_those_of_the_log_and_no_step_is_drawn_twice(which, whole, stopped):
    folder = whole if which == "whole" else stopped[0]
    curves, pictures = events_of(folder)
    log, steps = rows_of(folder / "log.csv"), [STEPS, 2 * STEPS, 3 * STEPS]
    for name in ("loss", "cd_l1", "val_loss", "val_cd_l1"):
        tag = f"validation/{name[4:]}" if name.startswith("val_") else f"training/{name}"
        assert [step for step, _ in curves[tag]] == steps
        np.testing.assert_allclose([value for _, value in curves[tag]], [float(row[name]) for row in log], rtol=1e-6)
    assert [(step, round(rate, 9)) for step, rate in curves["schedule/learning_rate"]] == [
        (3, 1e-3),
        (6, 1e-3),
        (9, 5e-4),
    ]
    assert curves["schedule/weight_coarse"] == [(3, 1.0), (6, 0.25), (9, 0.25)]
    assert [step for step, _ in curves["gradient/gradient_norm"]] == steps
    # After 1, 2 and the last of three epochs.
    assert sorted(pictures) == steps
    for step, image in pictures.items():
        png = (folder / "pictures" / f"epoch_{step // STEPS:04d}.png").read_bytes()
        assert image.encoded_image_string == png
        assert struct.unpack(">II", png[16:24]) == (image.width, image.height)
        assert image.width > image.height / 2 > 0


@pytest.mark.parametrize("which", ["whole", "stopped"])
def test_each_epoch_has_a_row_of_what_it_took(which, whole, stopped):
    rows = rows_of((whole if which == "whole" else stopped[0]) / "epochs.csv")
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    assert [int(row["step"]) for row in rows] == [3, 6, 9]
    assert [float(row["learning_rate"]) for row in rows] == [1e-3, 1e-3, 5e-4]
    assert all(float(row["training_seconds"]) > 0 < float(row["validation_seconds"]) for row in rows)
    assert all(float(row["gradient_norm"]) > 0 for row in rows)
    assert [float(row["ended"]) for row in rows] == sorted(float(row["ended"]) for row in rows)
    # Python with TensorFlow in it takes a few hundred megabytes.
    assert all(100 < float(row["peak_memory_mb"]) < 100_000 for row in rows)


def test_a_run_that_went_on_has_the_same_log_pictures_and_table(whole, stopped):
    names = ["log.csv", "checkpoint.npz", "evaluation/val/samples.csv"]
    names += [f"pictures/epoch_{number:04d}.png" for number in (1, 2, 3)]
    for name in names:
        assert (stopped[0] / name).read_bytes() == (whole / name).read_bytes(), name
    with np.load(stopped[0] / "pictures" / "clouds.npz") as ours, np.load(whole / "pictures" / "clouds.npz") as theirs:
        assert set(ours) == {"scan", "truth", "labels", "epoch_0001", "epoch_0002", "epoch_0003"}
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key])


def test_the_last_picture_is_the_completion_of_the_validated_network(whole):
    data = Pairs()
    network = keras.saving.load_model(whole / "last.keras")
    scans = chosen_scans(data, network.num_input)
    assert scans.labels == ["thing"] * 4
    with np.load(whole / "pictures" / "clouds.npz") as clouds:
        np.testing.assert_array_equal(clouds["scan"], scans.partial)
        np.testing.assert_allclose(clouds["epoch_0003"], network.predict(scans.partial, verbose=0), atol=1e-5)
        places = [0, 1, 2, 4]
        for kept, place in zip(clouds["truth"], places, strict=True):
            np.testing.assert_array_equal(kept, data.complete[place])


def test_an_average_of_weights_is_what_is_drawn(tmp_path):
    run(tmp_path / "run", reduced("pcn", epochs=1, ema=0.9, schedule=Piecewise((1e-2,), ())))
    best = keras.saving.load_model(tmp_path / "run" / "best.keras")
    with np.load(tmp_path / "run" / "pictures" / "clouds.npz") as clouds:
        np.testing.assert_allclose(clouds["epoch_0001"], best.predict(clouds["scan"], verbose=0), atol=1e-5)


def test_pictures_are_drawn_ever_more_rarely():
    assert [number for number in range(1, 151) if is_drawn(number, 150)] == [1, 2, 4, 8, 16, 32, 64, 128, 150]
    assert [number for number in range(1, 5) if is_drawn(number, 4)] == [1, 2, 4]


def cells(page, name):
    """What stands beside a name in a report."""
    return [html.unescape(cell) for cell in re.findall(f"<td>{re.escape(name)}</td><td>(.*?)</td>", page)]


def test_the_report_of_a_run_says_how_it_went(whole):
    page = (whole / "report.html").read_text()
    assert 'src="http' not in page
    # Curves, scans over time, median and worst cases.
    assert page.count("data:image/png;base64,") == 4
    log = rows_of(whole / "log.csv")
    best = min(float(row["val_cd_l1"]) for row in log)
    assert cells(page, "state") == ["finished"]
    assert cells(page, "epochs")[0] == "3 of 3"
    (said,) = cells(page, "best validation CD-L1 x 1000")
    assert said.startswith(f"{best:.2f} after epoch ")
    assert cells(page, "learning_rate") == []
    assert cells(page, "schedule.kind") == ["Piecewise"]
    assert cells(page, "stages.coarse.weight.kind") == ["Piecewise"]
    assert cells(page, "loss") == ["cd_l1"]
    assert cells(page, "keras") == [keras.__version__]
    assert "MB" in cells(page, "peak memory")[0]
    for row in rows_of(whole / "evaluation" / "val" / "table.csv"):
        digits = {"cd_l1": 2, "cd_l2": 3, "f_score": 3}[row["metric"]]
        assert f"{float(row['average']):.{digits}f}" in cells(page, row["method"])
    assert {row["method"] for row in rows_of(whole / "evaluation" / "val" / "table.csv")} == {
        *("pcn", "scan", "scan + mirror image")
    }


def test_the_report_of_a_run_that_was_interrupted_says_so(stopped):
    folder, page = stopped
    assert cells(page, "state") == ["interrupted"]
    assert cells(page, "epochs")[0] == "1 of 3"
    assert "The best network on" not in page
    assert cells((folder / "report.html").read_text(), "state") == ["finished"]


def test_the_report_of_a_run_that_diverged_says_so(tmp_path):
    data = Pairs()
    data.complete[3] = data.complete[3] * np.float32(1e30)
    arrays = lambda split: (np.stack(data.partial[: data.size(split)]), np.stack(data.complete[: data.size(split)]))  # noqa: E731
    data.arrays = arrays
    with pytest.raises(DivergedError):
        run(tmp_path / "run", data=data, loss="cd_l2")
    page = (tmp_path / "run" / "report.html").read_text()
    assert cells(page, "state") == ["diverged"]
    assert "No epoch is over yet." in page


def test_a_run_that_is_over_is_measured_once(whole):
    table = whole / "evaluation" / "val" / "table.csv"
    before, report = table.stat().st_mtime_ns, (whole / "report.html").stat().st_mtime_ns
    run(whole, resume=True)
    assert table.stat().st_mtime_ns == before
    assert (whole / "report.html").stat().st_mtime_ns > report
    assert len(events_of(whole)[0]["training/loss"]) == 3


def test_without_a_report_a_run_keeps_its_networks_alone_which_are_the_same(whole, tmp_path):
    run(tmp_path / "run", report=False)
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {".lock", "best.keras", "checkpoint.npz", "config.json", "last.keras", "log.csv"}
    for name in ("checkpoint.npz", "log.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes()


def test_a_run_made_again_removes_what_the_earlier_left_and_no_file_of_others(whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / "pictures" / "holiday.png").write_bytes(b"mine")
    run(folder, reduced("pcn", epochs=1), overwrite=True, report=False)
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    own = {".lock", "best.keras", "checkpoint.npz", "config.json", "last.keras", "log.csv"}
    assert left == {*own, "pictures/holiday.png"}


def test_a_report_of_someone_else_is_not_replaced(tmp_path):
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(ValueError, match="holds the report.html of an earlier run"):
        run(tmp_path)
    assert (tmp_path / "report.html").read_text() == "mine"


def test_callbacks_of_the_caller_hear_of_every_epoch_before_its_checkpoint(tmp_path):
    heard = []

    class Listener(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            heard.append((epoch, sorted(logs), (tmp_path / "run" / "checkpoint.npz").exists()))

    stop = keras.callbacks.EarlyStopping("val_cd_l1", min_delta=1e9, patience=1, mode="min")
    fitted = run(tmp_path / "run", reduced("pcn", epochs=5), callbacks=[Listener(), stop], report=False)
    names = ["cd_l1", "loss", "val_cd_l1", "val_loss"]
    assert heard == [(0, names, False), (1, names, True)]
    assert len(fitted.history["loss"]) == 2


@pytest.mark.parametrize(("there", "measured"), [(True, {"val", "test"}), (False, {"val"})])
def test_the_test_split_is_measured_where_it_is_there(there, measured, whole, tmp_path):
    class Tested(Pairs):
        splits = ("train", "val", "test")

        def load(self, split, index):
            if split == "test" and not there:
                raise ValueError("test/complete: no such folder")
            return super().load(split, index)

    (tmp_path / "best.keras").write_bytes((whole / "best.keras").read_bytes())
    measure_best(tmp_path, Tested(), 4, progress=False)
    assert {path.parent.name for path in tmp_path.glob("evaluation/*/table.csv")} == measured
