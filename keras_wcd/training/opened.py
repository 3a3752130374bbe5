"""What a training run computes on, by its name."""

import keras

from keras_wcd.names import find
from keras_wcd.training.devices import DataParallel, Devices


def open_devices(distribute: str | Devices | None, parts: int = 1) -> Devices:
    """What a run computes on, by its name: None, "mirrored", "multiworker" or "data_parallel".

    Args:
        distribute: The name, or what was opened before.
        parts: Parts of a batch that are computed one after the other.

    Raises:
        ValueError: for another name, or without the address of this worker.
        RuntimeError: for a backend that it is not of, or for workers opened after TensorFlow was used.
    """
    if isinstance(distribute, Devices):
        return distribute
    if distribute is None and (parts == 1 or keras.config.backend() != "tensorflow"):
        return Devices()
    if distribute == "data_parallel":
        return DataParallel()
    # TensorFlow is not loaded where another framework trains.
    from keras_wcd.training import replicas

    if distribute is None:
        return replicas.one_device()
    kinds = {"mirrored": replicas.Mirrored, "multiworker": replicas.MultiWorker, "data_parallel": DataParallel}
    return find(kinds, distribute, "distribute")()
