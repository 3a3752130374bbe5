"""The training of the preset that ships."""

import csv

import keras
import numpy as np
import pytest

if keras.config.backend() != "tensorflow":
    pytest.skip("batches are tf.data's", allow_module_level=True)

from networks import SMALL

from keras_wcd.losses import LandauCD
from keras_wcd.metrics import CDL1
from keras_wcd.models import PCN, CompletionModel, MirrorNet
from keras_wcd.training.preset import Averaged, train_preset


class Recorder(keras.callbacks.Callback):
    """The first weight after every step, and where every epoch begins."""

    def on_train_begin(self, logs=None):
        self.values, self.starts = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.starts.append(self.model.trainable_variables[0].numpy())

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(self.model.trainable_variables[0].numpy())


def test_keeps_the_average_over_steps_and_trains_on_with_the_weights(tmp_path):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    partial, complete = (rng.uniform(-0.4, 0.4, (8, count, 3)).astype("float32") for count in (64, 128))
    model = PCN(**SMALL["pcn"])
    optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=None)
    model.compile(optimizer, LandauCD(), metrics=[CDL1()])
    steps, kept = Recorder(), Averaged(tmp_path / "preset", "val_cd_l1")
    held = {"validation_data": (partial, complete)}
    history = model.fit(partial, complete, batch_size=2, epochs=2, callbacks=[steps, kept], verbose=0, **held).history
    best = int(np.argmin(history["val_cd_l1"]))
    average = steps.values[0]
    for value in steps.values[1 : 4 * (best + 1)]:
        average = 0.5 * average + 0.5 * value
    saved = CompletionModel.from_preset(tmp_path / "preset").trainable_variables[0].numpy()
    np.testing.assert_allclose(saved, average, atol=1e-6)
    np.testing.assert_array_equal(steps.starts[1], steps.values[3])
    assert np.abs(saved - steps.values[4 * best + 3]).max() > 1e-5


def test_leaves_a_preset_and_a_log(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path / "cache"))
    best = train_preset(tmp_path / "preset", tmp_path / "logs" / "log.csv", shapes=16, epochs=2, batch_size=8)
    model = CompletionModel.from_preset(tmp_path / "preset")
    assert isinstance(model, MirrorNet)
    with open(tmp_path / "logs" / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert best == pytest.approx(min(float(row["val_cd_l1"]) for row in rows))
