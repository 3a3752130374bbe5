"""What a recipe and a run's folder need to happen beside the steps."""

import csv
import math
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_wcd.files import replacing
from keras_wcd.training.checkpoint import save_checkpoint
from keras_wcd.training.loop import Position
from keras_wcd.training.optimizers import inner, restart
from keras_wcd.training.recipes import Recipe


class Interrupted(KeyboardInterrupt):
    """A run that was stopped, by Ctrl-C or by the system, and has written how far it had come."""


class FollowRecipe(keras.callbacks.Callback):
    """Learning rate and batch normalization by epoch, weights of the stages by step.

    Args:
        recipe: The recipe.
        network: The network itself: the model that is trained, or the generator in it.
        position: Where the run is.
    """

    def __init__(self, recipe: Recipe, network: keras.Model, position: Position):
        super().__init__()
        self.recipe, self.network, self.position = recipe, network, position
        layers = network._flatten_layers()
        self._norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]

    def on_epoch_begin(self, epoch, logs: Any = None):
        rate, recipe = self.recipe.learning_rate(epoch), self.recipe
        begins = epoch > 0 and self.position.batch == 0
        if recipe.restart and begins and rate != recipe.learning_rate(epoch - 1):
            restart(self.model.optimizer)
        inner(self.model.optimizer).learning_rate = rate
        momentum = recipe.batch_norm_momentum(epoch)
        stale = [layer for layer in self._norms if layer.momentum != momentum]
        if recipe.batch_norm is not None and stale:
            for layer in stale:
                layer.momentum = momentum
            # The share is a constant of the step that was traced.
            self.model.make_train_function(force=True)

        if self.position.batch:
            # A run may go on between the last step of a pass and its validation.
            self._weigh(self.position.step - 1)

    def on_train_batch_begin(self, batch, logs: Any = None):
        self._weigh(self.position.step)

    def _weigh(self, step: int) -> None:
        weights = self.recipe.stage_weights(step)
        if self.network.stage_weights != weights:
            self.network.stage_weights = weights
            if self.model is not self.network:
                self.model.make_train_function(force=True)
                self.model.make_test_function(force=True)


class KeepRun(keras.callbacks.Callback):
    """Writes a checkpoint after every pass and every few minutes.

    Args:
        checkpoint: The file of the checkpoint; None writes none, as workers do that are not the chief.
        position: Where the run is.
        minutes: Between two checkpoints within a pass; 0 writes one at each step.
        asked: Answers whether the run is to stop; it then writes one and raises.

    Raises:
        Interrupted: at the end of the step at which `asked` answers yes.
    """

    def __init__(
        self,
        checkpoint: pathlib.Path | None,
        position: Position,
        minutes: float,
        asked: Callable[[], bool],
    ):
        super().__init__()
        self.checkpoint, self.position = checkpoint, position
        self.seconds, self.asked = 60 * minutes, asked

    def on_train_begin(self, logs: Any = None):
        self._written = time.monotonic()

    def on_train_batch_end(self, batch, logs: Any = None):
        stop = self.asked()
        if stop or time.monotonic() - self._written >= self.seconds:
            self._write()
        if stop:
            raise Interrupted(f"stopped after step {self.position.step}{self._kept()}")

    def on_epoch_end(self, epoch, logs: Any = None):
        self._write()
        if self.asked():
            raise Interrupted(f"stopped after epoch {self.position.epoch}{self._kept()}")

    def _kept(self) -> str:
        return "" if self.checkpoint is None else f"; {self.checkpoint} holds all of it"

    def _write(self) -> None:
        if self.checkpoint is None:
            return
        save_checkpoint(self.checkpoint, self.model, self.position)
        self._written = time.monotonic()


class KeepLog(keras.callbacks.Callback):
    """Writes the figures of all passes after each of them.

    Args:
        path: A `.csv` file.
        position: Where the run is.
    """

    def __init__(self, path: pathlib.Path, position: Position):
        super().__init__()
        self.path, self.position = path, position

    def on_train_begin(self, logs: Any = None):
        write_log(self.path, self.position.history)

    def on_epoch_end(self, epoch, logs: Any = None):
        write_log(self.path, self.position.history)


def write_log(path: pathlib.Path, history: list[dict[str, float]]) -> None:
    """Figures of every pass as a table; the file is whole at every moment."""
    if not history:
        return
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """A function that answers whether Ctrl-C was pressed or the system asked to end; pressed twice, it raises at once.

    Outside the main thread, which alone is told of signals, the answer is always no.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def best_so_far(history: list[dict[str, float]], figure: str) -> float:
    """The smallest value of a figure, infinity before the first."""
    return min((row[figure] for row in history if not math.isnan(row[figure])), default=math.inf)
