"""A plain training run: one network, one data set, one loss."""

import dataclasses
import math
import os
import pathlib
import warnings

import keras
import numpy as np

from keras_wcd.data.augment import Augment
from keras_wcd.data.datasets.base import Dataset
from keras_wcd.data.pipeline.batches import Batches
from keras_wcd.files import writable
from keras_wcd.metrics import CDL1
from keras_wcd.training.beside import KeepLog
from keras_wcd.training.callbacks import BestCheckpoint, Progress, StopAtNonFiniteLoss, save_model
from keras_wcd.training.devices import validation_batches
from keras_wcd.training.loop import Loop, Position

LEFT = ("log.csv", "best.keras", "last.keras")
"""Files that a run leaves in its folder."""
SIZES = (0.2, 5.0)
"""Diagonals of shapes, over the loss's scale, between which the constants of the losses mean what they are said to."""


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What a run leaves behind.

    Attributes:
        model: The network after the last step.
        history: Figures by epoch: `loss`, `val_loss`, `val_cd_l1`.
        best: The smallest `val_cd_l1`.
    """

    model: keras.Model
    history: dict[str, list[float]]
    best: float


def fit(
    model: keras.Model,
    dataset: Dataset,
    loss: keras.losses.Loss,
    *,
    epochs: int = 20,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    optimizer: keras.optimizers.Optimizer | None = None,
    augment: Augment | None = None,
    checkpoint: keras.callbacks.Callback | None = None,
    output: str | os.PathLike | None = None,
    overwrite: bool = False,
    seed: int = 0,
    progress: bool = True,
) -> Fitted:
    """Train with a linear warm-up over a twentieth of the steps and a cosine decay to a hundredth.

    Args:
        model: A `CompletionModel`.
        dataset: A data set of `keras_wcd.data`; its splits "train" and "val" are used.
        loss: The loss of every stage. Its constants are made for shapes of a bounding-box diagonal about 1, or about
            the loss's `scale`; where those of the data are far from it, a `UserWarning` says so.
        epochs: Passes over the training split.
        batch_size: Clouds in a step.
        learning_rate: The highest.
        optimizer: In place of Adam: one like it is made, whose learning rate is the schedule.
        augment: Changes of the pairs trained on.
        checkpoint: A callback that keeps the best network, in place of the one that writes `best.keras`.
        output: Folder for `log.csv`, `best.keras` (smallest validation CD-L1) and `last.keras`; None keeps nothing.
        overwrite: Whether the files of an earlier run in `output` may be replaced.
        seed: Of the order of the data.
        progress: Whether to draw a bar.

    Raises:
        ValueError: for a count below 1, a learning rate that is not a positive number, an `output` that holds a run
            or is a file, or at the step where the loss is not finite.
        PermissionError: where `output` cannot be written to.
    """
    _check_numbers(learning_rate, epochs=epochs, batch_size=batch_size)
    folder = None if output is None else _free(pathlib.Path(output), overwrite)
    check_size(dataset, batch_size, loss)
    validation = validation_batches(dataset, batch_size)
    batches = Batches(dataset, "train", batch_size, augment=augment, seed=seed)
    # Where the network will want to see shapes.
    model.frame = dataset.frame
    optimizer = keras.optimizers.Adam() if optimizer is None else optimizer
    optimizer = _scheduled(optimizer, _schedule(epochs * len(batches), learning_rate))
    model.compile(optimizer, loss=loss, metrics=[CDL1()])
    position = Position()
    callbacks = [StopAtNonFiniteLoss(), Progress(loss.name, disable=not progress)]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in LEFT:
            (folder / name).unlink(missing_ok=True)
        callbacks.append(KeepLog(folder / "log.csv", position))
        checkpoint = BestCheckpoint(folder / "best.keras") if checkpoint is None else checkpoint
    callbacks += [] if checkpoint is None else [checkpoint]
    history = Loop(model, batches, validation, epochs=epochs, callbacks=callbacks, position=position).run()
    if folder is not None:
        save_model(model, folder / "last.keras")
    columns = columns_of(history)
    return Fitted(model, columns, min(columns["val_cd_l1"]))


def columns_of(history: list[dict[str, float]]) -> dict[str, list[float]]:
    """Figures by name, each a list by epoch."""
    return {name: [row[name] for row in history] for name in history[0] if name != "epoch"}


def _check_numbers(learning_rate: float, **counts: int) -> None:
    for name, value in counts.items():
        if not value >= 1 or value % 1:
            raise ValueError(f"{name} must be at least 1 and whole, got {value}")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate must be a finite number above 0, got {learning_rate}")


def _free(folder: pathlib.Path, overwrite: bool) -> pathlib.Path:
    """A folder that can be written to and holds no run, unless that may be overwritten."""
    writable(folder, folder=True)
    held = [name for name in LEFT if (folder / name).exists()]
    if held and not overwrite:
        raise ValueError(
            f"{folder}: holds the {', '.join(held)} of an earlier run; name another folder, or overwrite them "
            "(overwrite=True, --overwrite)"
        )
    return folder


def check_size(dataset: Dataset, count: int, loss: keras.losses.Loss) -> None:
    """Warn where the first shapes are of another size than the losses' constants are made for."""
    truths = (dataset.load("train", index).complete for index in range(min(count, dataset.size("train"))))
    # A truth that is not there, or not finite, is told of where batches are made of it.
    diagonals = [np.linalg.norm(np.ptp(truth, axis=0)) for truth in truths if truth is not None]
    diagonal, scale = float(np.median(diagonals or [np.nan])), float(getattr(loss, "scale", 1.0))
    if diagonal / scale < SIZES[0] or diagonal / scale > SIZES[1]:
        warnings.warn(
            f"the shapes of the split 'train' have bounding boxes of diagonal {diagonal:.3g}, and {loss.name} is made "
            f"for about {scale:g}: are they in millimeters? Bring them into a frame where the diagonal is 1, as PCN's "
            f"are, or give a weighted loss scale={diagonal:.3g}",
            UserWarning,
            stacklevel=3,
        )


def _schedule(steps: int, highest: float) -> keras.optimizers.schedules.LearningRateSchedule:
    warmup = max(1, steps // 20)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup), alpha=0.01, warmup_target=highest, warmup_steps=warmup
    )


def _scheduled(
    optimizer: keras.optimizers.Optimizer, schedule: keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """A new optimizer like the one given: one whose rate is replaced keeps its model from being exported."""
    config = optimizer.get_config()
    # In mixed precision one optimizer may stand around another.
    inner = config["inner_optimizer"]["config"] if "inner_optimizer" in config else config
    inner["learning_rate"] = keras.saving.serialize_keras_object(schedule)
    return type(optimizer).from_config(config)
