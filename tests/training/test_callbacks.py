"""What happens beside the steps of a training run."""

import keras
import numpy as np
import pytest

if keras.config.backend() != "tensorflow":
    pytest.skip("batches are tf.data's", allow_module_level=True)

from networks import SMALL

from keras_wcd.losses import LandauCD
from keras_wcd.metrics import CDL1
from keras_wcd.models import PCN, CompletionModel
from keras_wcd.training.callbacks import AveragedCheckpoint, BestCheckpoint


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
    steps, kept = (
        Recorder(),
        AveragedCheckpoint(tmp_path / "preset", save=lambda model, path: model.save_to_preset(path)),
    )
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


@pytest.mark.parametrize("settings", [{}, {"use_ema": True, "ema_overwrite_frequency": 10}])
def test_an_optimizer_that_keeps_no_average_is_named(settings, tmp_path):
    x = np.zeros((2, 64, 3), "float32")
    model = PCN(**SMALL["pcn"])
    model.compile(keras.optimizers.SGD(0.1, **settings), LandauCD())
    with pytest.raises(ValueError, match="must have use_ema=True and ema_overwrite_frequency=None"):
        model.fit(x, x, callbacks=[AveragedCheckpoint(tmp_path)], verbose=0)


def test_the_best_model_is_saved_when_the_figure_falls_and_only_then(tmp_path):
    saved = []
    keep = BestCheckpoint(tmp_path / "best", "figure", save=lambda model, path: saved.append((model, path)))
    keep.set_model("network")
    for epoch, value in enumerate([3.0, 4.0, 2.0, 2.0, float("nan"), 1.0]):
        keep.on_epoch_end(epoch, {"figure": value, "val_cd_l1": -epoch})
        assert len(saved) == [1, 1, 2, 2, 2, 3][epoch]
    assert saved == [("network", tmp_path / "best")] * 3
    assert keep.best == 1.0
