"""A model as an ONNX file of standard operators only, and such a file opened."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_wcd.export.graph import serving_function
from keras_wcd.export.metadata import describe
from keras_wcd.export.proof import proof
from keras_wcd.export.quiet import quiet
from keras_wcd.export.runtime import METADATA
from keras_wcd.export.savedmodel import naming
from keras_wcd.export.targets import file_target
from keras_wcd.files import replacing
from keras_wcd.ops import device_only

if TYPE_CHECKING:
    from types import ModuleType

    import tensorflow as tf

OPSET = 17
"""Version of ONNX's operators, of 2022: what runtimes take that are some years old."""
STANDARD = ""
"""Name of the domain of ONNX's own operators."""


def to_onnx(model: keras.Model, path: str | os.PathLike, num_points: int = 2048) -> Path:
    """Write `model` as an `.onnx` file that maps `points` `(1, num_points, 3)` to `cloud`, the last one, in float32.

    The shapes are fixed, the batch is 1, and every operator is one of ONNX's own, loops included. The record of a
    `.tflite` file stands in the file's `metadata_props`, under `keras_wcd`.

    Args:
        model: Any model from one cloud to a cloud or to a tuple of clouds, coarse to fine.
        path: File to write.
        num_points: Points of the cloud that the file takes.

    Returns:
        The path.

    Raises:
        ValueError: where an argument is not of this kind, or the model needs an operator that ONNX does not have.
        ImportError: where the extra `onnx` is not installed.
    """
    path = file_target(path, ".onnx")
    onnx = _needed("onnx")
    serve = serving_function(model, num_points, batch=1)
    graph = _converted(serve)
    others = sorted(set(_foreign(graph, onnx)))
    if others:
        raise ValueError(
            f"the model needs operators that ONNX does not have: {', '.join(others)}; express them by others"
        )
    points_out = serve.get_concrete_function().output_shapes[1]
    record = describe(model, num_points, points_out, None) | {"proof": proof(model, num_points, None)}
    onnx.helper.set_model_props(graph, {METADATA: json.dumps(record, default=str)})
    onnx.checker.check_model(graph)
    with replacing(path) as new:
        new.write_bytes(graph.SerializeToString())
    return path


def open_onnx(path: str | os.PathLike) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """An `.onnx` file as a function from clouds `(1, N, 3)` to clouds `(1, M, 3)`, and its N.

    Raises:
        ValueError: where there is no such file, it is damaged, or it takes anything else.
        ImportError: where the extra `onnx` is not installed.
    """
    if not Path(path).is_file():
        raise ValueError(f"no such file: {os.fspath(path)!r}")
    runtime = _needed("onnxruntime")
    options = runtime.SessionOptions()
    # Warnings of the runtime about the machine say nothing about the file.
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(Path(path).read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # The runtime's exceptions have no common class but this.
        line = str(error).strip().splitlines()[0]
        raise ValueError(f"{os.fspath(path)!r} is not an ONNX model, or it is damaged: {line}") from error
    shapes = [tuple(given.shape) for given in session.get_inputs()]
    if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][0] != 1 or shapes[0][2] != 3:
        raise ValueError(f"{os.fspath(path)!r} must take one cloud (1, N, 3), but its inputs have shapes {shapes}")
    name, points_in = session.get_inputs()[0].name, shapes[0][1]
    return lambda points: session.run(None, {name: points})[0], points_in


def _needed(package: str) -> "ModuleType":
    """A package of the extra."""
    import importlib

    try:
        importlib.import_module("tf2onnx" if package == "onnx" else package)
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f"ONNX files need {error.name}: pip install 'keras-wcd[onnx]'") from None


def _converted(serve: "tf.types.experimental.GenericFunction") -> Any:
    """The ONNX model of a traced function of `points`; an operator that ONNX does not have keeps its name."""
    import tf2onnx

    handlers = {"Erfc": (_erfc, [])}
    with device_only(), quiet():
        graph, _ = tf2onnx.convert.from_function(
            naming(serve), serve.input_signature, opset=OPSET, custom_op_handlers=handlers
        )
    used = {node.domain for node in _nodes(graph.graph)} | {STANDARD}
    kept = [opset for opset in graph.opset_import if opset.domain in used]
    del graph.opset_import[:]
    graph.opset_import.extend(kept)
    return graph


def _erfc(context: Any, node: Any, *_: Any) -> None:
    """1 - erf(x), for which ONNX has no operator and the converter no rule; the exact GELU needs it."""
    one = context.make_const(f"{node.name}_one", np.float32(1)).output[0]
    shapes, dtypes, output, source = node.output_shapes, node.output_dtypes, node.output[0], node.input[0]
    context.remove_node(node.name)
    erf = context.make_node("Erf", [source], shapes=shapes, dtypes=dtypes).output[0]
    context.make_node("Sub", [one, erf], outputs=[output], name=node.name, shapes=shapes, dtypes=dtypes)


def _foreign(model: Any, onnx: "ModuleType") -> Iterator[str]:
    """Names of operators that are not ONNX's own."""
    for node in _nodes(model.graph):
        if node.domain != STANDARD or not onnx.defs.has(node.op_type, OPSET, STANDARD):
            yield node.op_type


def _nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a graph, and of those inside of its loops and branches."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*attribute.graphs, attribute.g):
                yield from _nodes(inner)
