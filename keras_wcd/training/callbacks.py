"""What happens beside the steps of a training run: progress, checkpoints, the stop at a loss that is not finite."""

import math
import os
import pathlib
from collections.abc import Callable
from typing import Any

import keras
from tqdm import tqdm

from keras_wcd.files import replacing


def save_model(model: keras.Model, path: str | os.PathLike) -> None:
    """Save a model to a `.keras` file under a temporary name, then rename it."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        model.save(temporary)


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

    def on_train_begin(self, logs: Any = None):
        steps = self.params["steps"]
        total = None if steps is None else steps * self.params["epochs"]
        self._bar = tqdm(total=total, desc=self.title, unit="step", disable=self.disable, mininterval=0.5)

    def on_train_batch_end(self, batch, logs: Any = None):
        self._shown["loss"] = f"{logs['loss']:.4g}"
        self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update()

    def on_epoch_end(self, epoch, logs: Any = None):
        self._shown |= {key: f"{value:.4g}" for key, value in logs.items() if key.startswith("val_")}
        self._bar.set_postfix(self._shown)

    def on_train_end(self, logs: Any = None):
        self._bar.close()


class BestCheckpoint(keras.callbacks.Callback):
    """Saves the model whenever a validation figure has fallen; what is saved is always whole.

    Args:
        path: Where to.
        monitor: The figure, smaller is better.
        save: Writes a model to a path, whole or not at all; by default a `.keras` file.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        monitor: str = "val_cd_l1",
        *,
        save: Callable[[keras.Model, pathlib.Path], None] = save_model,
    ):
        super().__init__()
        self.path, self.monitor, self.save = pathlib.Path(path), monitor, save
        self.best = math.inf

    def on_epoch_end(self, epoch, logs: Any = None):
        if logs[self.monitor] < self.best:
            self.best = logs[self.monitor]
            self.save(self.model, self.path)


class AveragedCheckpoint(BestCheckpoint):
    """Validates and saves the average of the weights over steps, and trains on with the weights themselves.

    The optimizer keeps the average: `use_ema=True, ema_overwrite_frequency=None`.
    """

    def on_train_begin(self, logs: Any = None):
        # In mixed precision Keras puts one optimizer around another.
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        if not optimizer.use_ema or optimizer.ema_overwrite_frequency is not None:
            raise ValueError(
                "the optimizer must have use_ema=True and ema_overwrite_frequency=None, "
                f"got {optimizer.use_ema} and {optimizer.ema_overwrite_frequency}"
            )

    def on_test_begin(self, logs: Any = None):
        self._weights = [v.numpy() for v in self.model.trainable_variables]
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        for variable in self.model.trainable_variables:
            # A copy: JAX takes what a network computes with, and the averages would go with it.
            variable.assign(variable.numpy())

    def on_epoch_end(self, epoch, logs: Any = None):
        super().on_epoch_end(epoch, logs)
        for variable, value in zip(self.model.trainable_variables, self._weights, strict=True):
            variable.assign(value)


class StopAtNonFiniteLoss(keras.callbacks.Callback):
    """Ends the run with an error that names the step at which the loss was not finite."""

    def on_train_batch_end(self, batch, logs: Any = None):
        if not math.isfinite(logs["loss"]):
            step = int(self.model.optimizer.iterations)
            raise ValueError(
                f"the loss was {logs['loss']} at step {step}: lower the learning rate, or look for NaN in the data"
            )
