"""4-bit weights and 8-bit activations, put into a LiteRT file of float32 after its conversion.

TensorFlow's converter has no 4-bit weights, and its calibrator ends the process on loops. The LiteRT quantizer rewrites
a finished file instead, layer by layer, by the name of what a layer puts out.
"""

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from keras_wcd.export.coordinates import layers, layers_apart_from_coordinates
from keras_wcd.export.packing import constant, packed, unpacked
from keras_wcd.export.quiet import quiet

if TYPE_CHECKING:
    from types import ModuleType

AFTERWARDS = ("dynamic4", "int8")
"""The quantizations that are done here."""
CALIBRATED = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")
"""Layers whose activations `"int8"` fixes. Products of two activations, as in attention, take longer in 8 bits with the
conversions around them than in float32."""


def quantizer() -> "ModuleType":
    """The LiteRT quantizer.

    Raises:
        ImportError: where it is not installed.
    """
    try:
        import litert_quantizer
    except ImportError:
        raise ImportError(
            f"quantization {' and '.join(map(repr, AFTERWARDS))} need the LiteRT quantizer: "
            "pip install 'keras-wcd[quantize]'"
        ) from None
    return litert_quantizer


def quantized(content: bytes, quantization: str, clouds: list[np.ndarray] | None) -> bytes:
    """The bytes of a LiteRT model of float32, quantized.

    `"dynamic4"` stores weights in 4 bits, those of layers that read or write coordinates in 8. `"int8"` stores weights
    in 8 bits and fixes the range of the activations of all dense layers and convolutions but those.

    Args:
        content: The model's bytes.
        quantization: One of `AFTERWARDS`.
        clouds: For `"int8"`, clouds `(1, N, 3)` on which the ranges are measured.
    """
    content, model = _named(content)
    names = [tensor.name.decode() for tensor in model.subgraphs[0].tensors]
    apart = layers_apart_from_coordinates(model)
    if quantization == "dynamic4":
        fine = [names[i] for op, i in layers(model) if (op, i) not in apart]
        return _rewritten(content, _recipe(4) + [row for name in fine for row in _recipe(8, name)], None)
    outputs = {i for op, i in apart if op in CALIBRATED}
    chosen = [op for op in model.subgraphs[0].operators if outputs.intersection(op.outputs)]
    ranges = _ranges(content, {int(i) for op in chosen for i in (op.inputs[0], op.outputs[0])}, clouds or [])
    rows = [_static(names[op.outputs[0]]) for op in chosen if _fits(model, op, ranges)]
    found = {names[i]: {"min": np.array([low]), "max": np.array([high])} for i, (low, high) in ranges.items()}
    return _rewritten(content, _recipe(8) + rows, found if rows else None)


def _fits(model: schema.ModelT, op: schema.OperatorT, ranges: dict[int, tuple[float, float]]) -> bool:
    """Whether a layer's 8-bit output can be had from its 8-bit input: LiteRT scales by numbers from 2^-32 to 2^8.

    A layer that is dead on every cloud, as behind an activation that is never positive, has no range to scale to.
    """
    low, high = np.transpose([ranges[int(i)] for i in (op.inputs[0], op.outputs[0])])
    there, back = np.maximum(high, 0) - np.minimum(low, 0)
    weights = constant(model, model.subgraphs[0].tensors[op.inputs[1]])
    if weights is None or not np.isfinite([there, back]).all():
        return False
    return bool(2**-30 * back < np.abs(weights).max() / 127 * there < 2**7 * back)


def _named(content: bytes) -> tuple[bytes, schema.ModelT]:
    """The model with a name of its own for each tensor, which is how the quantizer tells them apart."""
    model = unpacked(content)
    taken = set()
    for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
        name = (tensor.name or b"").decode() or "tensor"
        tensor.name = next(n for n in _numbered(name) if n not in taken)
        taken.add(tensor.name)
        tensor.name = tensor.name.encode()
    return packed(model), model


def _numbered(name: str):
    yield name
    number = 1
    while True:
        yield f"{name}_{number}"
        number += 1


def _ranges(content: bytes, tensors: set[int], clouds: list[np.ndarray]) -> dict[int, tuple[float, float]]:
    """Least and largest value of tensors of the main graph over all clouds.

    The quantizer measures too, but stops at the tensors of loops, which hold nothing outside of them, and lets early
    clouds fade.
    """
    found = dict.fromkeys(tensors, (np.inf, -np.inf))
    with quiet():
        interpreter = Interpreter(model_content=content, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
        for cloud in clouds:
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], cloud)
            interpreter.invoke()
            for i, (low, high) in found.items():
                values = interpreter.get_tensor(i)
                found[i] = (min(low, float(values.min())), max(high, float(values.max())))
    return found


def _recipe(bits: int, name: str | None = None) -> list[dict[str, Any]]:
    """Weights in so many bits; activations are rounded to 8 bits cloud by cloud where a layer computes in integers."""
    return [_row(name, {"weight_tensor_config": _weights(bits)})]


def _static(name: str) -> dict[str, Any]:
    """Weights in 8 bits, activations in 8 bits of a range that is fixed."""
    activations = {"num_bits": 8, "symmetric": False, "granularity": "TENSORWISE", "dtype": "INT"}
    return _row(name, {"activation_tensor_config": activations, "weight_tensor_config": _weights(8)})


def _weights(bits: int) -> dict[str, Any]:
    return {"num_bits": bits, "symmetric": True, "granularity": "CHANNELWISE", "dtype": "INT"}


def _row(name: str | None, tensors: dict[str, Any]) -> dict[str, Any]:
    return {
        # The quantizer looks for a pattern in the names of an operator's outputs, each followed by a semicolon.
        "regex": ".*" if name is None else f"^{re.escape(name)};$",
        "operation": "*",
        "algorithm_key": "min_max_uniform_quantize",
        "op_config": {**tensors, "compute_precision": "INTEGER", "explicit_dequantize": False},
    }


def _rewritten(content: bytes, recipe: list[dict[str, Any]], ranges: dict[str, Any] | None) -> bytes:
    with quiet():
        result = (
            quantizer()
            .Quantizer(bytearray(content), recipe)
            .quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
        )
    return packed(unpacked(bytes(result.quantized_model)))
