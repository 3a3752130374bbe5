"""A model as a SavedModel folder, for TensorFlow Serving and as the way to LiteRT."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_wcd.export.graph import batch_size, serving_function
from keras_wcd.export.quiet import quiet
from keras_wcd.export.targets import folder_target
from keras_wcd.files import replacing
from keras_wcd.ops import device_only
from keras_wcd.saving import without_optimizer

if TYPE_CHECKING:
    import tensorflow as tf


def to_saved_model(model: keras.Model, path: str | os.PathLike, num_points: int = 2048) -> Path:
    """Write `model` as a SavedModel that maps `points` to `cloud`, the last one; TensorFlow alone loads it.

    Its signatures are `serving_default`, also called `serve`, of `(B, num_points, 3)` with any B (that of the model,
    where it is bound to one), and `single`, of `(1, num_points, 3)` with no shape left open. Nothing in the folder
    calls the host.

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
        batch = batch_size(model)
        endpoints = {"serve": serving_function(model, num_points, batch)}
        if batch in (None, 1):
            endpoints["single"] = serving_function(model, num_points, 1)
        write_archive(model, {name: naming(serve) for name, serve in endpoints.items()}, new)
    return path


def naming(serve: "tf.types.experimental.GenericFunction") -> "tf.types.experimental.GenericFunction":
    """The same function with its answer called `cloud`."""
    import tensorflow as tf

    signature = serve.input_signature
    return tf.function(lambda points: {"cloud": serve(points)}, input_signature=signature, autograph=False)


def write_archive(model: keras.Model, endpoints: dict[str, Callable], folder: Path) -> None:
    """Write a SavedModel that serves traced functions of `model`, the first also by default."""
    archive = keras.export.ExportArchive()
    with without_optimizer(model), device_only(), quiet():
        archive.track(model)
        for name, serve in endpoints.items():
            archive.add_endpoint(name, serve)
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
