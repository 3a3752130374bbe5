"""A plain training run: one network, one data set, one loss."""

import dataclasses
import os
import pathlib
from typing import Any

import keras

from keras_wcd.metrics import CDL1
from keras_wcd.training.callbacks import BestCheckpoint, Progress, StopAtNonFiniteLoss, save_model


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
    dataset: Any,
    loss: keras.losses.Loss,
    *,
    epochs: int = 20,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    output: str | os.PathLike | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Fitted:
    """Train with Adam, a linear warm-up over a twentieth of the steps and a cosine decay to a hundredth.

    Args:
        model: A `CompletionModel`.
        dataset: A data set of `keras_wcd.data`; its splits "train" and "val" are used.
        loss: The loss of every stage.
        epochs: Passes over the training split.
        batch_size: Clouds in a step.
        learning_rate: The highest.
        output: Folder for `log.csv`, `best.keras` (smallest validation CD-L1) and `last.keras`; None keeps nothing.
        seed: Of the order of the data.
        progress: Whether to draw a bar.

    Raises:
        ValueError: for a count below 1, or at the step where the loss is not finite.
    """
    for name, value in {"epochs": epochs, "batch_size": batch_size}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    train = dataset.to_tf_data("train", batch_size, seed=seed)
    steps = epochs * len(train)
    warmup = max(1, steps // 20)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup), alpha=0.01, warmup_target=learning_rate, warmup_steps=warmup
    )
    model.compile(keras.optimizers.Adam(schedule), loss=loss, metrics=[CDL1()])
    callbacks = [StopAtNonFiniteLoss(), Progress(loss.name, disable=not progress)]
    if output is not None:
        folder = pathlib.Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        callbacks += [
            keras.callbacks.CSVLogger(folder / "log.csv"),
            BestCheckpoint(folder / "best.keras", monitor="val_cd_l1"),
        ]
    validation = dataset.to_tf_data("val", batch_size)
    # The data set shuffles itself.
    arguments = {"validation_data": validation, "epochs": epochs, "callbacks": callbacks, "shuffle": False}
    history = model.fit(train, verbose=0, **arguments).history
    if output is not None:
        save_model(model, folder / "last.keras")
    return Fitted(model, history, min(history["val_cd_l1"]))
