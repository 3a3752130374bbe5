"""The end of a run whose loss or gradient is not finite, and the one step of it made again."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_wcd.data.io.npy import read_arrays
from keras_wcd.files import replacing
from keras_wcd.training.checkpoint import load_checkpoint, save_checkpoint, values_of, variables_of
from keras_wcd.training.devices import tensorflow_step
from keras_wcd.training.loop import Loop
from keras_wcd.training.optimizers import inner, number
from keras_wcd.training.run_folder import DIVERGED

STATE, BATCH = "state.npz", "batch.npz"


class DivergedError(ValueError):
    """A loss or a gradient that is not finite; `step` counts from 1, `samples` are the names in the batch."""

    def __init__(self, message: str, step: int, samples: tuple[str, ...]):
        super().__init__(message)
        self.step, self.samples = step, samples


class StopWhereDiverged(keras.callbacks.Callback):
    """Ends a run at the first step whose loss or gradient is not finite, which the optimizer has left out.

    The weights before that step and its batch are written to a folder, from which `replay` makes the step again.

    Args:
        folder: Where to; None writes nothing.
        names: Names of pairs by their indices.

    Attributes:
        loop: The loop that it is called by, to be set before it runs.
    """

    loop: Loop

    def __init__(self, folder: pathlib.Path | None, names: Callable[[np.ndarray], tuple[str, ...]]):
        super().__init__()
        self.folder, self.names = folder, names

    def on_train_begin(self, logs: Any = None):
        # The step that is left out does not touch the weights; averages of normalizations, the state of random draws
        # and a discriminator have moved on by then.
        optimizer = self.model.optimizer
        kept = {
            id(v) for v in [*getattr(self.model, "generator", self.model).trainable_variables, *optimizer.variables]
        }
        self._moving = [v for v in variables_of(self.model) if id(v) not in kept]

    def on_train_batch_begin(self, batch, logs: Any = None):
        self._before = values_of(self._moving)

    def on_train_batch_end(self, batch, logs: Any = None):
        optimizers = [self.model.optimizer, getattr(self.model, "discriminator_optimizer", None)]
        guarded = [inner(optimizer) for optimizer in optimizers if hasattr(inner(optimizer), "skipped")]
        loss, norm = logs["loss"], [number(optimizer.gradient_norm) for optimizer in guarded]
        if math.isfinite(loss) and not any(number(optimizer.skipped) for optimizer in guarded):
            return
        self._stop(batch, loss, norm[0] if norm else math.nan)

    def _stop(self, batch: int, loss: float, norm: float) -> None:
        position = self.loop.position
        # At the end of a step the position is that of the next one.
        place = dataclasses.replace(position, batch=batch, step=position.step - 1, pairs=0, sums={})
        size = self.loop.batches.batch_size
        indices = self.loop.batches.order(position.epoch)[batch * size :][:size]
        samples = self.names(indices)
        command = ""
        if self.folder is not None:
            with replacing(self.folder) as temporary:
                temporary.mkdir()
                before = {id(v): value for v, value in zip(self._moving, self._before, strict=True)}
                save_checkpoint(temporary / STATE, self.model, place, before)
                partial, complete = self.loop.pair
                np.savez(
                    temporary / BATCH, partial=partial, complete=complete, samples=np.array(samples), step=position.step
                )
            command = f"; {self.folder} holds the step: keras-wcd train --replay {self.folder.parent} makes it again"
        raise DivergedError(
            f"the loss was {loss:.4g} and the norm of the gradient {norm:.4g} at step {position.step}, of the samples "
            f"{', '.join(samples)}: lower the learning rate, or look for broken shapes among them{command}",
            position.step,
            samples,
        )


@dataclasses.dataclass(frozen=True)
class Replayed:
    """The step at which a run ended.

    Attributes:
        step: Counted from 1.
        loss: Of the batch.
        gradient_norm: Of the whole gradient.
        losses: Of every sample by its name, alone in a batch.
        variables: Paths of the weights whose gradient is not finite.
    """

    step: int
    loss: float
    gradient_norm: float
    losses: dict[str, float]
    variables: tuple[str, ...]


def read_batch(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Partial clouds and truths `(B, N, 3)`, names of the samples `(B,)` and the step, counted from 1.

    Raises:
        ValueError: naming the file, where it is damaged.
    """
    found = read_arrays(path)
    try:
        partial, complete, samples, step = (found[name] for name in ("partial", "complete", "samples", "step"))
    except KeyError as error:
        raise ValueError(f"{path}: no batch of a step ({error} is missing)") from None
    for clouds in (partial, complete):
        if clouds.ndim != 3 or clouds.dtype.kind != "f" or clouds.shape[::2] != (len(samples), 3):
            raise ValueError(f"{path}: no batch of a step (clouds of shape {clouds.shape})")
    if samples.dtype.kind != "U" or step.shape or step.dtype.kind not in "iu":
        raise ValueError(f"{path}: no batch of a step (samples or step are of another type)")
    return partial, complete, samples, int(step)


def replay_step(folder: str | os.PathLike, model: keras.Model) -> Replayed:
    """Make the step again at which the run in a folder ended.

    Args:
        folder: The run's folder.
        model: Its model, compiled as it was.

    Raises:
        ValueError: where the folder holds no such step.
    """
    import tensorflow as tf

    place = pathlib.Path(folder) / DIVERGED
    if not (place / BATCH).is_file():
        raise ValueError(f"{folder}: no step is kept there; a run that ended at a loss that is not finite keeps it")
    partial, complete, samples, step = read_batch(place / BATCH)
    load_checkpoint(place / STATE, model)
    network = getattr(model, "generator", model)
    with tf.GradientTape() as tape:
        stages = network(keras.ops.convert_to_tensor(partial), training=True)
        loss = network.compute_loss(partial, keras.ops.convert_to_tensor(complete), stages, training=True)
    gradients = tape.gradient(loss, network.trainable_variables)
    pairs = zip(network.trainable_variables, gradients, strict=True)
    broken = [v.path for v, g in pairs if g is not None and not np.isfinite(keras.ops.convert_to_numpy(g)).all()]
    load_checkpoint(place / STATE, model)
    logs = tensorflow_step(model, (partial, complete))(partial, complete)
    norm = number(inner(model.optimizer).gradient_norm)
    load_checkpoint(place / STATE, model)
    losses = {
        str(name): float(model.test_on_batch(partial[i : i + 1], complete[i : i + 1], return_dict=True)["loss"])
        for i, name in enumerate(samples)
    }
    return Replayed(step, float(logs["loss"]), norm, losses, tuple(broken))
