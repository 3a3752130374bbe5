"""What every pass of a run took, beside its figures: steps, learning rate, gradient, time, memory."""

import csv
import math
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

import keras

from keras_wcd.export.timing import peak_memory
from keras_wcd.files import replacing
from keras_wcd.training.loop import Position
from keras_wcd.training.optimizers import inner, number
from keras_wcd.training.run_files import read_table


class RecordEpochs(keras.callbacks.Callback):
    """Writes a row a pass: what the clock says must not stand in the log, which is the same for every run.

    Columns are `epoch`; `step`, steps since the beginning; `learning_rate`; `weight_NAME` of every stage;
    `gradient_norm`, the mean over the steps that this process made in the pass, before clipping; `training_seconds`
    and `validation_seconds` of this process; `ended`, seconds since 1970; `peak_memory_mb` of the process, and
    `device_memory_mb` of its fullest GPU. Where something is not known the cell is empty.

    Args:
        path: The file. Rows of passes that are not over, by `position`, are dropped where a run goes on.
        network: The network itself, whose stages are weighed.
        stages: Names of its stages.
        position: Where the run is.
    """

    def __init__(self, path: pathlib.Path, network: keras.Model, stages: Sequence[str], position: Position):
        super().__init__()
        self.path, self.network, self.stages, self.position = path, network, tuple(stages), position

    def on_train_begin(self, logs: Any = None):
        self._rows = [row for row in read_table(self.path) if row["epoch"] < self.position.epoch]

    def on_epoch_begin(self, epoch, logs: Any = None):
        self._began, self._validation, self._norms = time.monotonic(), [0.0, 0.0], []

    def on_train_batch_end(self, batch, logs: Any = None):
        norm = getattr(inner(self.model.optimizer), "gradient_norm", None)
        # In mixed precision some are infinite, and the step is left out.
        if norm is not None and math.isfinite(norm := number(norm)):
            self._norms.append(norm)

    def on_test_begin(self, logs: Any = None):
        self._validation[0] = time.monotonic()

    def on_test_end(self, logs: Any = None):
        self._validation[1] = time.monotonic()

    def on_epoch_end(self, epoch, logs: Any = None):
        validation = self._validation[1] - self._validation[0]
        rate = keras.ops.convert_to_numpy(inner(self.model.optimizer).learning_rate)
        weights = zip(self.stages, self.network.stage_weights, strict=True)
        device = _device_memory()
        self._rows.append(
            {
                "epoch": epoch,
                "step": self.position.step,
                # Seven digits are those of float32.
                "learning_rate": float(f"{float(rate):.7g}"),
                **{f"weight_{name}": weight for name, weight in weights},
                "gradient_norm": sum(self._norms) / len(self._norms) if self._norms else None,
                "training_seconds": round(time.monotonic() - self._began - validation, 3),
                "validation_seconds": round(validation, 3),
                "ended": round(time.time(), 3),
                "peak_memory_mb": None if sys.platform == "win32" else round(peak_memory() / 2**20),
                "device_memory_mb": None if device is None else round(device / 2**20),
            }
        )
        with replacing(self.path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self._rows[-1]), restval="", extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)


def _device_memory() -> int | None:
    """The most bytes that were in use on a GPU so far, on the fullest; None without one."""
    if keras.config.backend() != "tensorflow":
        return None
    import tensorflow as tf

    found = [tf.config.experimental.get_memory_info(gpu.name)["peak"] for gpu in tf.config.list_logical_devices("GPU")]
    return max(found, default=None)
