"""A run's figures and pictures as TensorBoard reads them."""

import pathlib
import struct
import time
from typing import Any

import keras

from keras_wcd.training.loop import Position
from keras_wcd.training.run_files import picture_name, read_table
from keras_wcd.training.run_folder import EPOCHS, PICTURES, TENSORBOARD

GROUPS = {"learning_rate": "schedule", "gradient_norm": "gradient"}
"""Columns of `epochs.csv` that are drawn, with the group they stand in; weights of the stages are drawn, too."""


class WriteEvents(keras.callbacks.Callback):
    """Writes one file of events: after every pass its figures and, where they were drawn, its pictures.

    A run that goes on writes all passes that are over anew, from the log and `epochs.csv`, and removes the file of the
    process before: no step is drawn twice, whatever that process had written. TensorBoard itself is not needed, which
    `tf.summary.scalar` would be; the records are TensorFlow's own.

    Args:
        folder: The run's folder.
        position: Where the run is.
    """

    def __init__(self, folder: pathlib.Path, position: Position):
        super().__init__()
        self.folder, self.position = folder, position

    def on_train_begin(self, logs: Any = None):
        import tensorflow as tf

        place = self.folder / TENSORBOARD
        place.mkdir(exist_ok=True)
        old = list(place.glob("events.out.tfevents.*"))
        self._writer = tf.io.TFRecordWriter(str(place / f"events.out.tfevents.{time.time_ns()}"))
        event, session = tf.compat.v1.Event, tf.compat.v1.SessionLog
        self._write(event(wall_time=time.time(), file_version="brain.Event:2"))
        # One that is looking on forgets what it has read of the file before.
        self._write(event(wall_time=time.time(), step=0, session_log=session(status=session.START)))
        rows = {row["epoch"]: row for row in read_table(self.folder / EPOCHS)}
        for figures in self.position.history:
            self._epoch(figures, rows.get(figures["epoch"], {}))
        self._writer.flush()
        for path in old:
            path.unlink()

    def on_epoch_end(self, epoch, logs: Any = None):
        rows = read_table(self.folder / EPOCHS)
        self._epoch(self.position.history[-1], rows[-1] if rows else {})
        self._writer.flush()

    def on_train_end(self, logs: Any = None):
        self._writer.close()

    def _epoch(self, figures: dict[str, float], row: dict[str, Any]) -> None:
        import tensorflow as tf

        number = int(figures["epoch"]) + 1
        values = [
            tf.compat.v1.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(figures, row).items()
        ]
        png = self.folder / PICTURES / picture_name(number)
        if png.is_file():
            content = png.read_bytes()
            # Where PNG has them.
            width, height = struct.unpack(">II", content[16:24])
            image = tf.compat.v1.Summary.Image(width=width, height=height, encoded_image_string=content)
            values.append(tf.compat.v1.Summary.Value(tag="validation scans", image=image))
        step = row.get("step") or number * (self.params["steps"] or 1)
        summary = tf.compat.v1.Summary(value=values)
        self._write(tf.compat.v1.Event(wall_time=row.get("ended") or time.time(), step=int(step), summary=summary))

    def _write(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())


def scalars(figures: dict[str, float], row: dict[str, Any]) -> dict[str, float]:
    """The figures of a pass by tag: those of training, of validation, of the schedules, of the gradient."""
    found = {}
    for name, value in figures.items():
        if name != "epoch":
            validation = name.startswith("val_")
            found[f"validation/{name.removeprefix('val_')}" if validation else f"training/{name}"] = value
    for name, value in row.items():
        group = "schedule" if name.startswith("weight_") else GROUPS.get(name)
        if group and value is not None:
            found[f"{group}/{name}"] = value
    return found
