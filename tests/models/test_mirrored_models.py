"""Two replicas on one machine compute what one device computes."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

SETUP = """
import sys
import numpy as np
import tensorflow as tf

cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from networks import SMALL, TinyChamfer, clouds
from keras_wcd.models import BACKBONES, CompletionModel

x, y = clouds(batch=8)
weights = np.linspace(0.5, 2, 8).astype("float32")
losses = {"chamfer": TinyChamfer(), "scalar": lambda y, x: keras.ops.mean(keras.ops.square(x[:, :8] - y[:, :8]))}
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2


def same(one, two):
    np.testing.assert_allclose(two[0], one[0], rtol=1e-5)
    for a, b in zip(one[1], two[1], strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5)
"""

NETWORKS = """
def run(key, loss):
    keras.utils.set_random_seed(0)
    model = BACKBONES[key](**SMALL[key], partial_matching=loss == "chamfer")
    for layer in model.layers:  # statistics of a replica's half batch differ from those of the whole
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    model.compile(keras.optimizers.SGD(0.05), loss=losses[loss])
    # A scalar for a replica's half of the batch says nothing of single clouds to be weighed.
    weighed = weights if loss == "chamfer" else None
    found = model.evaluate(x, y, batch_size=8, verbose=0, sample_weight=weighed)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False)
    return found, model.get_weights(), model.complete(x[0])


for key in ("pcn", "foldingnet"):
    for loss in losses if key == "pcn" else ["chamfer"]:
        one = run(key, loss)
        with strategy.scope():
            two = run(key, loss)
        same(one, two)
        np.testing.assert_allclose(two[2], one[2], atol=1e-4)
"""

ADDED = """
class Length(keras.layers.Layer):
    def call(self, moved):
        self.add_loss(keras.ops.mean(keras.ops.square(moved)))
        self.add_loss(keras.ops.mean(keras.ops.abs(moved), axis=(0, 1)))
        return moved


def toy():
    inputs = keras.Input((None, 3))
    l2 = keras.regularizers.L2(0.5)
    moved = Length()(keras.layers.Dense(3, kernel_initializer="identity", kernel_regularizer=l2)(inputs))
    return CompletionModel(inputs, (moved[:, :8], moved), num_input=32)


def run(make, epochs):
    keras.utils.set_random_seed(0)
    model = make()
    model.compile(keras.optimizers.SGD(0.05), loss=TinyChamfer())
    found = model.evaluate(x, y, batch_size=8, verbose=0)
    history = model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, shuffle=False).history["loss"] if epochs else []
    return [found, *history], model.get_weights()


# PMP-Net draws at random in training, every replica for itself.
for make, epochs in ((toy, 3), (lambda: BACKBONES["pmpnet"](**SMALL["pmpnet"]), 0)):
    one = run(make, epochs)
    with strategy.scope():
        two = run(make, epochs)
    same(one, two)
one = run(toy, 0)[0][0]
kernel, moved = 3 * 0.5, np.square(x).mean() + np.abs(x).mean(axis=(0, 1)).sum()
model = toy()
model.compile(loss=TinyChamfer())
chamfers = sum(float(TinyChamfer()(y[:, : stage.shape[1]], stage)) for stage in model(x))
np.testing.assert_allclose(one, chamfers + kernel + moved, rtol=1e-5)
"""


@pytest.mark.parametrize("program", [NETWORKS, ADDED], ids=["losses of stages", "losses of layers and regularizers"])
def test_two_replicas_train_as_one_device_does(program, tmp_path):
    if keras.config.backend() != "tensorflow":
        pytest.skip("tf.distribute is TensorFlow's")
    tests = Path(__file__).resolve().parents[1] / "helpers"
    environment = {**os.environ, "PYTHONPATH": str(tests), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", SETUP + program]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
