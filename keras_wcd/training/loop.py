"""The loop of a training run: pass after pass, step after step, from any place in the data on."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_wcd.data.pipeline.batches import Batches
from keras_wcd.training.devices import Devices


@dataclasses.dataclass
class Position:
    """How far a run has come.

    Attributes:
        epoch: Passes that are over.
        batch: Batches of the pass in which it is.
        step: Steps since the beginning.
        pairs: Pairs seen in this pass.
        sums: Sums of the figures over them.
        history: Figures of every pass that is over.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    pairs: int = 0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)

    def add(self, logs: dict[str, float], pairs: int) -> None:
        """A step that is over, of so many pairs."""
        self.batch, self.step, self.pairs = self.batch + 1, self.step + 1, self.pairs + pairs
        for name, value in logs.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value) * pairs

    def means(self) -> dict[str, float]:
        """Means over the pairs of this pass."""
        return {name: total / self.pairs for name, total in self.sums.items()}

    def close(self, logs: dict[str, float]) -> None:
        """The pass is over; these are its figures."""
        self.history.append({"epoch": self.epoch, **logs})
        self.epoch, self.batch, self.pairs, self.sums = self.epoch + 1, 0, 0, {}


class Loop:
    """Trains a compiled model on the batches of a split, and validates it after each pass.

    Callbacks are Keras's, and are called in their order. At `on_train_batch_end` and `on_epoch_end` the position is
    that of the next step.

    Args:
        model: A compiled model that answers with the figure `loss`.
        batches: Pairs to train on.
        validation: Batches to validate on, as `model.evaluate` takes them.
        epochs: Passes in all.
        steps: Steps in all, where they end the run before the passes do.
        callbacks: What happens beside the steps.
        position: Where to begin.
        devices: What it computes on; None takes one device.
    """

    def __init__(
        self,
        model: keras.Model,
        batches: Batches,
        validation: Any,
        *,
        epochs: int,
        steps: int | None = None,
        callbacks: Iterable[keras.callbacks.Callback] = (),
        position: Position | None = None,
        devices: Devices | None = None,
    ):
        self.model, self.batches, self.validation = model, batches, validation
        self.epochs, self.steps = epochs, math.inf if steps is None else steps
        self.position = Position() if position is None else position
        self.devices = Devices() if devices is None else devices
        self.pair: tuple[np.ndarray, ...] = ()
        self._made_for: Any = None
        self.callbacks = keras.callbacks.CallbackList(
            list(callbacks), add_history=False, model=model, epochs=epochs, steps=len(batches)
        )

    def run(self) -> list[dict[str, float]]:
        """Figures of every pass, also of those before the place where it began."""
        self.model.stop_training = False
        self.callbacks.on_train_begin()
        while self.position.epoch < self.epochs and self.position.step < self.steps:
            self._epoch(self.position.epoch)
            if self.model.stop_training:
                break
        self.callbacks.on_train_end(self.position.history[-1] if self.position.history else None)
        return self.position.history

    def _epoch(self, epoch: int) -> None:
        self.callbacks.on_epoch_begin(epoch)
        for pair in self.devices.batches(self.batches, epoch, self.position.batch):
            self._step(pair)
            if self.model.stop_training or self.position.step >= self.steps:
                break
        logs = self.position.means()
        figures = self.devices.evaluate(self.model, self.validation, self.callbacks)
        logs |= {f"val_{name}": value for name, value in figures.items()}
        self.position.close(logs)
        self.callbacks.on_epoch_end(epoch, logs)

    def _step(self, pair: tuple[np.ndarray, ...]) -> None:
        self.pair, batch = pair, self.position.batch
        size = self.batches.size_of(batch)
        self.callbacks.on_train_batch_begin(batch)
        # A callback that changes what is traced has Keras make its function anew.
        self.model.make_train_function()
        if self._made_for is not self.model.train_function:
            self._made_for = self.model.train_function
            self._function = self.devices.step_function(self.model, pair)
        self.model.reset_metrics()
        logs = self._function(pair, size)
        self.position.add(logs, size)
        self.callbacks.on_train_batch_end(batch, logs)
