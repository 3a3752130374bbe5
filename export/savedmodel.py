"""A model as a SavedModel folder, for TensorFlow Serving and as the way to LiteRT."""

import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from keras_wcd.export.graph import batch_size, serving_function
from keras_wcd.export.quiet import quiet
from keras_wcd.export.targets import folder_target
from keras_wcd.files import replacing
from keras_wcd.ops import device_only
from keras_wcd.saving import without_optimizer


def to_saved_model(model: keras.Model, path: str | os.PathLike, num_points: int = 2048) -> Path:
    """Write `model` as a SavedModel whose serving signature maps `points` `(B, num_points, 3)` to the last cloud.

    B is free unless the model is bound to a number of clouds. Nothing in the folder calls the host.

    Args:
        model: Any model from one cloud to a cloud or to a tuple of clouds, coarse to fine.
        path: Folder to write; one that holds a SavedModel is replaced.
        num_points: Points of the clouds that the folder takes.

    Returns:
        The path.

    Raises:
        ValueError: where the model is not of this kind, or `path` cannot be written without loss.
    """
    path = folder_target(path)
    with replacing(path) as new:
        write_archive(model, serving_function(model, num_points, batch_size(model)), new)
    return path


def write_archive(model: keras.Model, serve: Callable, folder: Path) -> None:
    """Write a SavedModel that serves the traced function `serve` of `model`."""
    archive = keras.export.ExportArchive()
    with without_optimizer(model), device_only(), quiet():
        archive.track(model)
        archive.add_endpoint("serve", serve)
        archive.write_out(str(folder), verbose=False)


def open_saved_model(path: str | os.PathLike) -> tuple[Callable, int]:
    """A SavedModel folder as a function from clouds `(B, N, 3)` to clouds `(B, M, 3)`, and its N.

    Raises:
        ValueError: where the folder is damaged, or serves anything else.
    """
    import tensorflow as tf

    try:
        with quiet():
            loaded = tf.saved_model.load(os.fspath(path))
        ((name, signature),) = loaded.signatures["serving_default"].structured_input_signature[1].items()
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        line = str(error).strip().splitlines()[0]
        raise ValueError(f"{path}: not a SavedModel of to_saved_model, or damaged: {line}") from error
    if signature.shape.rank != 3 or signature.shape[1] is None or signature.shape[2] != 3:
        raise ValueError(f"{path}: serves inputs of shape {signature.shape}; clouds (B, N, 3) are needed")

    def exported(points: np.ndarray) -> np.ndarray:
        # The loaded object owns the variables: naming it here keeps it alive.
        (answer,) = loaded.signatures["serving_default"](**{name: tf.constant(points)}).values()
        return answer.numpy()

    return exported, signature.shape[1]
