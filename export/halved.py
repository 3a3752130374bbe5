"""Weights in float16, put into a LiteRT file of float32 after its conversion.

TensorFlow's converter halves single numbers too, and with them bounds such as 3e38 and sums such as x + 1e-10: they
become 65504 and 0, and answers that are no numbers. Here constants of fewer than `FEWEST` numbers stay as they are.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_wcd.export.packing import constant, packed, unpacked

FEWEST = 256
"""Numbers of the smallest constant that is halved."""
LARGEST = float(np.finfo(np.float16).max)
VERSION = 3
"""Of the operator `DEQUANTIZE`, the first that takes float16."""


def halved(content: bytes) -> bytes:
    """The bytes of a LiteRT model whose weights are float16, and made float32 again where it is loaded."""
    model = unpacked(content)
    graph = model.subgraphs[0]
    constants = ((i, constant(model, tensor)) for i, tensor in enumerate(graph.tensors))
    large = [(i, values) for i, values in constants if values is not None and _worth(values)]
    if not large:
        return content
    code = schema.BuiltinOperator.DEQUANTIZE
    model.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, version=VERSION))
    index, operators, buffers = len(model.operatorCodes) - 1, [], {}
    for i, values in large:
        tensor = graph.tensors[i]
        if tensor.buffer not in buffers:
            buffers[tensor.buffer] = len(model.buffers)
            model.buffers.append(schema.BufferT(data=values.astype(np.float16).view(np.uint8)))
        half = schema.TensorT(shape=tensor.shape, type=schema.TensorType.FLOAT16, buffer=buffers[tensor.buffer])
        half.name = tensor.name + b"_half"
        inputs, outputs = np.array([len(graph.tensors)], np.int32), np.array([i], np.int32)
        operators.append(schema.OperatorT(opcodeIndex=index, inputs=inputs, outputs=outputs))
        graph.tensors.append(half)
        tensor.buffer = 0
    graph.operators = [*operators, *graph.operators]
    used = {tensor.buffer for g in model.subgraphs for tensor in g.tensors}
    for old in buffers.keys() - used:
        model.buffers[old].data = None
    return packed(model)


def _worth(values: np.ndarray) -> bool:
    """Whether a constant has many numbers, and all of them have a half."""
    return values.size >= FEWEST and bool(np.abs(values).max() <= LARGEST)
