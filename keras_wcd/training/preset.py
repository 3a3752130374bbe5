"""Training of the preset that ships: `make preset`, on made-up shapes alone."""

import os
import pathlib
import time

import click
import keras

from keras_wcd.data import Augment, Shapes8
from keras_wcd.losses import LandauCD
from keras_wcd.metrics import CDL1
from keras_wcd.models import MirrorNet
from keras_wcd.training.callbacks import BestCheckpoint, Progress, StopAtNonFiniteLoss

AUGMENT = Augment(mirror=True, rotate_up=10, scale=(0.92, 1.08), stretch=1.12, shift=0.01)
"""Sizes, turns and places that a frame estimated from a scan is off by, and proportions the generator lacks."""
DECAY = 0.995
"""Of the average over steps that is kept of the weights."""


class Averaged(BestCheckpoint):
    """Validates and saves the average of the weights over steps, and trains on with the weights themselves."""

    def on_test_begin(self, logs=None):
        self._weights = [v.numpy() for v in self.model.trainable_variables]
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)

    def on_epoch_end(self, epoch, logs=None):
        if logs[self.monitor] < self.best:
            self.best = logs[self.monitor]
            self.model.save_to_preset(self.path)
        for variable, value in zip(self.model.trainable_variables, self._weights, strict=True):
            variable.assign(value)


def train_preset(
    output: str | os.PathLike,
    log: str | os.PathLike,
    *,
    shapes: int = 12288,
    epochs: int = 8,
    batch_size: int = 8,
    learning_rate: float = 8e-4,
    seed: int = 0,
) -> float:
    """Train `MirrorNet` with LandauCD on Shapes8 and keep the best average of its weights as a preset.

    Adam with a linear warm-up over a twentieth of the steps and a cosine decay to a hundredth; no real shape is used,
    also not to choose the epoch.

    Args:
        output: Folder of the preset.
        log: A CSV file: epoch, losses, validation CD-L1 x 1000 on made-up shapes.
        shapes: Training shapes.
        epochs: Passes over them.
        batch_size: Clouds in a step.
        learning_rate: The highest.
        seed: Of everything random.

    Returns:
        The smallest validation CD-L1 x 1000.
    """
    keras.utils.set_random_seed(seed)
    data = Shapes8(shapes, 160, 160, seed=seed)
    train = data.to_tf_data("train", batch_size, augment=AUGMENT, truth_points=2048, seed=seed, drop_remainder=True)
    steps = epochs * len(train)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - steps // 20, alpha=0.01, warmup_target=learning_rate, warmup_steps=max(1, steps // 20)
    )
    model = MirrorNet()
    optimizer = keras.optimizers.Adam(rate, use_ema=True, ema_momentum=DECAY, ema_overwrite_frequency=None)
    model.compile(optimizer, loss=LandauCD(), metrics=[CDL1()])
    pathlib.Path(log).parent.mkdir(parents=True, exist_ok=True)
    best = Averaged(output, monitor="val_cd_l1")
    callbacks = [StopAtNonFiniteLoss(), Progress("preset"), best, keras.callbacks.CSVLogger(log)]
    validation = data.to_tf_data("val", 16, truth_points=2048)
    model.fit(train, validation_data=validation, epochs=epochs, callbacks=callbacks, shuffle=False, verbose=0)
    return float(best.best)


@click.command()
@click.option("-o", "--output", default="models/preset-default", show_default=True, help="Folder of the preset.")
@click.option("--log", default="runs/preset/log.csv", show_default=True)
@click.option("--shapes", default=12288, show_default=True)
@click.option("--epochs", default=8, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(output, log, shapes, epochs, seed):
    """Train the preset that ships."""
    began = time.perf_counter()
    best = train_preset(output, log, shapes=shapes, epochs=epochs, seed=seed)
    minutes = (time.perf_counter() - began) / 60
    size = sum(file.stat().st_size for file in pathlib.Path(output).iterdir()) / 2**20
    click.echo(f"{output}: {size:.1f} MB, CD-L1 x 1000 on made-up shapes {best:.2f}, {minutes:.0f} minutes")


if __name__ == "__main__":
    main()
