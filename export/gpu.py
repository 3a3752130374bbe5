"""What LiteRT's GPU delegate takes, and whether a file holds anything else.

The list is that of the delegate's own check (ml_drift, read in its source of 2026); it was not run on a GPU here.
"""

from collections.abc import Iterator

from ai_edge_litert import schema_py_generated as schema

from keras_wcd.export.opcodes import used

OPERATORS = frozenset({
    *("ABS", "ADD", "ARG_MAX", "ATAN2", "AVERAGE_POOL_2D", "BATCH_MATMUL", "BITCAST", "BITWISE_XOR", "CAST", "CEIL"),
    *("CONCATENATION", "CONV_2D", "COS", "CUMSUM", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "DEQUANTIZE", "DIV"),
    *("DYNAMIC_UPDATE_SLICE", "ELU", "EMBEDDING_LOOKUP", "EQUAL", "EXP", "FLOOR", "FLOOR_DIV", "FLOOR_MOD"),
    *("FULLY_CONNECTED", "GATHER", "GELU", "GREATER", "GREATER_EQUAL", "HARD_SWISH", "LEAKY_RELU", "LESS"),
    *("LESS_EQUAL", "LOG", "LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN"),
    *("MINIMUM", "MIRROR_PAD", "MUL", "NEG", "NOT_EQUAL", "ONE_HOT", "PACK", "PAD", "PADV2", "POW", "PRELU"),
    *("QUANTIZE", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "RELU", "RELU6"),
    *("RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2", "RIGHT_SHIFT", "ROUND"),
    *("RSQRT", "SELECT", "SELECT_V2", "SIGN", "SIN", "SLICE", "SOFTMAX", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V"),
    *("SQRT", "SQUARE", "SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TILE", "TOPK_V2", "TRANSPOSE"),
    *("TRANSPOSE_CONV", "UNPACK"),
})  # fmt: skip
"""Operators that the delegate takes."""
DIMENSIONS = 4
"""Axes of the largest tensor that it takes."""


def refused(content: bytes) -> list[str]:
    """What in a model's bytes the delegate does not take, each thing once, sorted: operators, and uses of such.

    Beside the list, an index of GATHER must be a vector of int32, k of TOPK_V2 a constant, and a tensor may have four
    axes of known length at most.
    """
    return sorted(set(_refused(schema.Model.GetRootAs(content))))


def _refused(model: schema.Model) -> Iterator[str]:
    for graph, op, name in used(model):
        if name not in OPERATORS:
            yield name
            continue
        inputs = [graph.Tensors(i) for i in op.InputsAsNumpy() if i >= 0]
        outputs = [graph.Tensors(i) for i in op.OutputsAsNumpy()]
        if any(tensor.ShapeLength() > DIMENSIONS for tensor in (*inputs, *outputs)):
            yield f"{name} of more than {DIMENSIONS} axes"
        if any(tensor.ShapeSignatureLength() and (tensor.ShapeSignatureAsNumpy() < 0).any() for tensor in outputs):
            yield f"{name} of unknown size"
        if name == "GATHER" and (inputs[1].ShapeLength() != 1 or inputs[1].Type() != schema.TensorType.INT32):
            yield "GATHER by other than a vector of int32"
        if name == "TOPK_V2" and not model.Buffers(inputs[1].Buffer()).DataLength():
            yield "TOPK_V2 of a k that is not constant"
