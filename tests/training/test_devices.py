"""Runs on several devices, in several processes, and in parts, beside runs on one device."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from backends import tensorflow_only

pytestmark = tensorflow_only

RUN = pathlib.Path(__file__).resolve().parents[1] / "helpers" / "distributed_run.py"
SETTINGS = ("epochs=7", 'optimizer="AdamW"', "weight_decay=0.01", "clip_norm=0.5", "ema=0.9")
"""Three passes of nine pairs in batches of four: the last has one, and there are two replicas."""
LIMIT = 400


def started(folder, devices, *settings, name="foldingnet", dtype="float64", environment=None):
    """A run in a process of its own, away from the checkout."""
    command = [sys.executable, str(RUN), str(folder), devices, name, dtype, *settings]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": folder.parent}
    return subprocess.Popen(command, env={**os.environ, **(environment or {})}, **options)


def workers(folder, *settings):
    """Two of them, each of which knows the other."""
    with socket.socket() as one, socket.socket() as two:
        for free in (one, two):
            free.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{free.getsockname()[1]}" for free in (one, two)]
    found = []
    for index in range(2):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {"TF_CONFIG": json.dumps(config), "TF_NUM_INTRAOP_THREADS": "1"}
        found.append(started(folder, "multiworker", *settings, environment=environment))
    return found


def finished(process):
    said, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(said.strip().splitlines()[-1])


def weights(folder):
    import keras_wcd.models  # noqa: F401  The classes that the file names.

    return {v.path: v.numpy() for v in keras.saving.load_model(folder / "last.keras", compile=False).variables}


def assert_same(found, expected):
    """Of a bias before batch normalization the gradient is zero but for rounding, which Adam makes a step of."""
    assert list(found) == list(expected)
    for path, value in found.items():
        bound = 1e-9 if path.endswith(("/bias", "/moving_mean")) else 1e-13
        np.testing.assert_allclose(value, expected[path], rtol=1e-11, atol=bound, err_msg=path)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run on one device, its folder and the losses of its steps."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    return folder, finished(started(folder, "none", *SETTINGS))


def test_two_replicas_train_to_the_numbers_of_one_device(alone, tmp_path):
    folder, expected = alone
    found = finished(started(tmp_path / "run", "mirrored", *SETTINGS))
    assert len(found["losses"]) == 21
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=1e-12)
    np.testing.assert_allclose(found["val"], expected["val"], rtol=1e-9)
    assert_same(weights(tmp_path / "run"), weights(folder))


JAX = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}


@pytest.mark.parametrize(
    ("devices", "name", "environment"), [("mirrored", "snowflakenet", {}), ("data_parallel", "pcn", JAX)]
)
def test_two_devices_train_to_the_losses_of_one_in_float32(devices, name, environment, tmp_path):
    options = {"name": name, "dtype": "float32", "environment": environment}
    runs = [started(tmp_path / kind, kind, *SETTINGS, **options) for kind in ("none", devices)]
    expected, found = (finished(run)["losses"] for run in runs)
    assert len(found) == 21
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_batch_normalization_over_replicas_keeps_a_variance_beside_a_large_mean():
    """In float32, where the mean of squares less the square of the mean has lost it."""
    import tensorflow as tf

    from keras_wcd.training.replicas import one_device

    norm = keras.layers.BatchNormalization(axis=-1, epsilon=1e-9)
    clouds = 512 + np.random.default_rng(0).normal(size=(6, 50, 3)).astype("float32")
    devices = one_device()
    devices.count = 2  # As of two replicas: the moments are summed over all that there are.
    model = pointwise_with(norm)
    devices.prepared(model)
    found = np.asarray(norm(tf.constant(clouds), training=True))
    exact = clouds.astype("float64")
    expected = (exact - exact.mean((0, 1))) / exact.std((0, 1))
    np.testing.assert_allclose(found, expected, atol=5e-4)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_workers_end_with_a_killed_one_and_go_on_to_the_numbers_of_one_device(alone, tmp_path):
    folder, expected = alone
    run, settings = tmp_path / "run", (*SETTINGS, "minutes=0", "resume=true")
    chief, other = workers(run, *settings)
    until = time.monotonic() + LIMIT
    while not (run / "log.csv").exists() and time.monotonic() < until:
        time.sleep(0.05)
    other.send_signal(signal.SIGKILL)
    _, errors = chief.communicate(timeout=LIMIT)
    other.communicate()
    assert chief.returncode != 0
    assert "another worker ended or fell silent" in errors.splitlines()[-1]
    assert not list(run.glob("*.tmp*"))
    found = [finished(process) for process in workers(run, *settings)]
    # The second knows the figures of passes that it has not seen.
    assert found[0]["val"] == found[1]["val"]
    np.testing.assert_allclose(found[0]["val"], expected["val"], rtol=1e-9)
    np.testing.assert_allclose(found[0]["losses"], expected["losses"][-len(found[0]["losses"]) :], rtol=1e-12)
    assert_same(weights(run), weights(folder))


def pointwise():
    """A network without batch normalization, which would see a part at a time."""
    from keras_wcd.losses import CD
    from keras_wcd.models import CompletionModel
    from keras_wcd.training.optimizers import GuardedAdam

    keras.utils.set_random_seed(0)
    cloud = keras.Input((None, 3))
    model = CompletionModel(cloud, [keras.layers.Dense(3)(keras.layers.Dense(16, activation="relu")(cloud))])
    model.compile(GuardedAdam(1e-2, global_clipnorm=0.1, weight_decay=0.01), loss=CD())
    model.optimizer.build(model.trainable_variables)
    return model


def pointwise_with(layer):
    """A compiled network of one layer."""
    from keras_wcd.losses import CD
    from keras_wcd.models import CompletionModel
    from keras_wcd.training.optimizers import GuardedAdam

    cloud = keras.Input((None, 3))
    model = CompletionModel(cloud, [layer(cloud)])
    model.compile(GuardedAdam(), loss=CD())
    return model


def test_a_batch_in_parts_steps_as_a_whole_one():
    from keras_wcd.training.devices import Devices
    from keras_wcd.training.replicas import one_device

    rng = np.random.default_rng(0)
    batches = [tuple(rng.normal(size=(count, 20, 3)).astype("float32") for _ in range(2)) for count in (5, 5, 1)]
    found = {}
    for parts in (1, 3):
        model, devices = pointwise(), Devices() if parts == 1 else one_device()
        devices.prepared(model, parts)
        step, losses = devices.step_function(model, batches[0]), []
        for pair in batches:
            model.reset_metrics()
            losses.append(step(pair, len(pair[0]))["loss"])
        found[parts] = losses, [v.numpy() for v in model.variables]
    np.testing.assert_allclose(found[3][0], found[1][0], rtol=1e-6)
    for one, other in zip(found[3][1], found[1][1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_devices_that_are_none_are_named(monkeypatch):
    from keras_wcd.training import open_devices

    with pytest.raises(ValueError, match="mirrored"):
        open_devices("mirored")
    with pytest.raises(RuntimeError, match="set KERAS_BACKEND=jax"):
        open_devices("data_parallel")
    for config in ("", "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}'):
        monkeypatch.setenv("TF_CONFIG", config)
        with pytest.raises(ValueError, match="TF_CONFIG"):
            open_devices("multiworker")


def test_a_loss_that_is_no_mean_is_refused_on_replicas(tmp_path):
    from recipe_runs import Pairs, reduced

    from keras_wcd.losses import CD
    from keras_wcd.training import train

    recipe = reduced("pcn", epochs=1, accumulate=2)
    with pytest.raises(ValueError, match="reduction='sum' is no mean"):
        train(recipe, dataset=Pairs(), output=tmp_path / "run", loss=CD(reduction="sum"), report=False)


def test_an_empty_batch_has_no_loss_and_no_gradient():
    import tensorflow as tf

    from keras_wcd import losses, ops

    @tf.function(input_signature=[tf.TensorSpec((None, 40, 3)), tf.TensorSpec((None, 30, 3))])
    def found(x, y):
        index, hits = ops.nearest_both(x, y), ops.ball_query(x, y, 0.1, 4)
        return index, hits, ops.knn(x, y, 3)[1], losses.CD()(x, y)

    (there, back), hits, near, loss = found(tf.zeros((0, 40, 3)), tf.zeros((0, 30, 3)))
    assert there.shape == (0, 40)
    assert back.shape == (0, 30)
    assert hits.shape == (0, 40, 4)
    assert near.shape == (0, 40, 3)
    assert not float(loss) > 0
