"""A model as a LiteRT file of builtin operators only."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import keras

from keras_wcd.export.clouds import each_cloud
from keras_wcd.export.gpu import refused
from keras_wcd.export.graph import serving_function
from keras_wcd.export.halved import halved
from keras_wcd.export.metadata import describe, embed
from keras_wcd.export.opcodes import foreign
from keras_wcd.export.proof import proof
from keras_wcd.export.quantized import AFTERWARDS, quantized, quantizer
from keras_wcd.export.quiet import quiet
from keras_wcd.export.savedmodel import write_archive
from keras_wcd.export.targets import file_target
from keras_wcd.files import replacing

QUANTIZATIONS = (None, "float16", "dynamic", "dynamic4", "int8")
TARGETS = {"cpu": QUANTIZATIONS, "gpu": (None, "float16")}
"""What a file is written for, and the quantizations that run there."""


def to_tflite(
    model: keras.Model,
    path: str | os.PathLike,
    quantization: str | None = None,
    calibration: Iterable | None = None,
    num_points: int = 2048,
    target: str = "cpu",
) -> Path:
    """Write `model` as a `.tflite` file that maps `(1, num_points, 3)` to the last cloud, in float32.

    Args:
        model: Any model from one cloud to a cloud or to a tuple of clouds, coarse to fine.
        path: File to write.
        quantization: `"float16"` halves the weights; `"dynamic"` stores them in 8 bits and computes in 8 bits where
            LiteRT can; `"dynamic4"` stores them in 4 bits, but for those of layers that read or write coordinates;
            `"int8"` is as `"dynamic"`, and also fixes the range of the activations of dense layers and convolutions
            that lie between features alone. Input and output are float32 always. The last two need the extra
            `quantize`.
        calibration: For `"int8"`, finitely many clouds `(N, 3)` or `(B, N, 3)`, in the frame of the model's
            input, of any N; one to two hundred typical ones will do.
        num_points: Points of the cloud that the file takes.
        target: `"gpu"` writes the library's operations without loops, and so that LiteRT's GPU delegate takes every
            operator; clouds then hold no rows of padding. Only None and `"float16"` are quantizations for it.

    Returns:
        The path.

    Raises:
        ValueError: where an argument is not of this kind, or the model needs an operator that is not builtin or that
            the target does not take.
        ImportError: where the quantization needs a package that is not installed.
    """
    if quantization not in QUANTIZATIONS:
        raise ValueError(f"quantization must be one of {QUANTIZATIONS}, got {quantization!r}")
    if target not in TARGETS:
        raise ValueError(f"target must be one of {tuple(TARGETS)}, got {target!r}")
    if quantization not in TARGETS[target]:
        raise ValueError(f"quantization for target {target!r} must be one of {TARGETS[target]}, got {quantization!r}")
    path = file_target(path)
    if quantization in AFTERWARDS:
        quantizer()
    clouds = list(each_cloud(calibration, "calibration", num_points)) if quantization == "int8" else None
    serve = serving_function(model, num_points, batch=1, accelerator=target == "gpu")
    with tempfile.TemporaryDirectory() as folder:
        write_archive(model, {"serve": serve}, Path(folder) / "model")
        content = _convert(Path(folder) / "model", dynamic=quantization == "dynamic")
    others = foreign(content)
    if others:
        raise _not_builtin(others)
    others = refused(content) if target == "gpu" else []
    if others:
        raise ValueError(
            f"the model needs what LiteRT's GPU delegate does not take: {', '.join(others)}; export it for the CPU"
        )
    if quantization == "float16":
        content = halved(content)
    elif quantization in AFTERWARDS:
        content = quantized(content, quantization, clouds)
    points_out = serve.get_concrete_function().output_shapes[1]
    record = describe(model, num_points, points_out, quantization)
    content = embed(content, record | {"target": target, "proof": proof(model, num_points, quantization)})
    with replacing(path) as new:
        new.write_bytes(content)
    return path


def _convert(folder: Path, *, dynamic: bool) -> bytes:
    """The bytes of a SavedModel as a LiteRT model of float32, of weights in 8 bits where it is `dynamic`."""
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    with quiet():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if dynamic:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        try:
            return converter.convert()
        except ConverterError as error:
            names = {found.operator.name for found in error.errors if found.operator.name}
            if names:
                raise _not_builtin(names) from error
            raise ValueError(f"LiteRT cannot convert the model: {error}") from error


def _not_builtin(names: Iterable[str]) -> ValueError:
    return ValueError(
        f"the model needs operators that LiteRT does not have builtin: {', '.join(sorted(names))}; "
        "express them by others"
    )
