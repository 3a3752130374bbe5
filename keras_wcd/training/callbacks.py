"""What happens beside the steps of a training run: progress, checkpoints, the stop at a loss that is not finite."""

import math
import os
import pathlib

import keras
from tqdm import tqdm

from keras_wcd.files import replacing


class Progress(keras.callbacks.Callback):
    """One bar over all steps of a run, with the loss and the validation figures.

    Args:
        title: What stands before the bar.
        disable: Draw nothing.
    """

    def __init__(self, title: str, disable: bool = False):
        super().__init__()
        self.title, self.disable = title, disable
        self._shown = {}

    def on_train_begin(self, logs=None):
        steps = self.params["steps"]
        total = None if steps is None else steps * self.params["epochs"]
        self._bar = tqdm(total=total, desc=self.title, unit="step", disable=self.disable, mininterval=0.5)

    def on_train_batch_end(self, batch, logs=None):
        self._shown["loss"] = f"{logs['loss']:.4g}"
        self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update()

    def on_epoch_end(self, epoch, logs=None):
        self._shown |= {key: f"{value:.4g}" for key, value in logs.items() if key.startswith("val_")}
        self._bar.set_postfix(self._shown)

    def on_train_end(self, logs=None):
        self._bar.close()


class BestCheckpoint(keras.callbacks.Callback):
    """Saves the model whenever a validation figure has fallen; the file is always whole.

    Args:
        path: A `.keras` file.
        monitor: The figure, smaller is better.
    """

    def __init__(self, path: str | os.PathLike, monitor: str):
        super().__init__()
        self.path, self.monitor = pathlib.Path(path), monitor
        self.best = math.inf

    def on_epoch_end(self, epoch, logs=None):
        if logs[self.monitor] < self.best:
            self.best = logs[self.monitor]
            save_model(self.model, self.path)


class StopAtNonFiniteLoss(keras.callbacks.Callback):
    """Ends the run with an error that names the step at which the loss was not finite."""

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            step = int(self.model.optimizer.iterations)
            raise ValueError(
                f"the loss was {logs['loss']} at step {step}: lower the learning rate, or look for NaN in the data"
            )


def save_model(model: keras.Model, path: str | os.PathLike) -> None:
    """Save a model to a `.keras` file under a temporary name, then rename it."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        model.save(temporary)
