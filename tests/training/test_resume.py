"""A run that was killed, at any moment, and gone on with ends in the bytes of one that was not."""

import os
import pathlib
import signal
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
from backends import tensorflow_only

pytestmark = tensorflow_only

HELPER = pathlib.Path(__file__).parent.parent / "helpers" / "killed_run.py"
PLACES = [
    # The weights of step 2 have moved, its checkpoint is not written.
    ("step", 2),
    # Half of the checkpoint of step 3 is on the disk.
    ("within", 2),
    # The best network of epoch 1 is written, the checkpoint that knows of it is not.
    ("after", 2),
    # The row of the epoch is in the log, its checkpoint is not written.
    ("before", 3),
    # Its checkpoint is written, and nothing after it.
    ("after", 3),
    ("before", 4),
    # The picture of epoch 2 is drawn, its events and its checkpoint are not written.
    ("after:clouds.npz", 1),
    ("step", 8),
]


def environment(folder, **more):
    return {**os.environ, "KERAS_WCD_CACHE": str(folder / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3", **more}


def codes(folder, *runs):
    """Exit codes of runs `(name, place, count)`, each in a process of its own, and what they wrote of errors."""
    words = [str(word) for name, place, count in runs for word in (folder / name, place, count)]
    command = [sys.executable, HELPER, *words]
    done = subprocess.run(command, env=environment(folder), capture_output=True, text=True, check=False)
    return [int(line) for line in done.stdout.split()], done.stderr


def weights(path):
    """All arrays in a `.keras` file."""
    found = {}
    with zipfile.ZipFile(path) as archive, h5py.File(archive.open("model.weights.h5")) as file:
        file.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return found


def check_equal(one, other):
    """The same bytes of checkpoint and log, the same weights in both networks that are kept."""
    for name in ("checkpoint.npz", "log.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for name in ("best.keras", "last.keras"):
        ours, theirs = weights(one / name), weights(other / name)
        assert set(ours) == set(theirs)
        assert len(ours) > 10
        for key, array in ours.items():
            np.testing.assert_array_equal(array, theirs[key], err_msg=f"{name} {key}")


def check_kept(one, other):
    """The same pictures and tables, a row of each epoch, each point of a curve once."""
    import tensorflow as tf

    names = [f"pictures/epoch_000{number}.png" for number in (1, 2, 3)] + ["evaluation/val/table.csv"]
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    steps = [row.split(",")[:2] for row in (other / "epochs.csv").read_text().splitlines()]
    assert steps == [["epoch", "step"], ["0", "3"], ["1", "6"], ["2", "9"]]
    for folder in (one, other):
        (path,) = (folder / "tensorboard").iterdir()
        events = [tf.compat.v1.Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
        assert [event.step for event in events] == [0, 0, 3, 6, 9]


@pytest.mark.slow
def test_a_run_that_was_killed_eight_times_ends_in_the_same_bytes(tmp_path):
    whole = ("whole", "none", 0)
    killed = [("killed", place, count) for place, count in PLACES]
    found, errors = codes(tmp_path, whole, *killed)
    assert found == [0] + [-signal.SIGKILL] * len(PLACES), errors
    assert not (tmp_path / "killed" / "last.keras").exists()
    found, errors = codes(tmp_path, ("killed", "none", 0))
    assert found == [0], errors
    check_equal(tmp_path / "whole", tmp_path / "killed")
    left = {path.name for path in (tmp_path / "killed").iterdir() if not path.name.startswith(".")}
    assert left == {
        *("best.keras", "checkpoint.npz", "config.json", "last.keras", "log.csv"),
        *("epochs.csv", "evaluation", "pictures", "report.html", "tensorboard"),
    }
    check_kept(tmp_path / "whole", tmp_path / "killed")
