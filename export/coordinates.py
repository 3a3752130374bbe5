"""Where the graph of a LiteRT file holds coordinates: its clouds, and what is made of nothing else.

Eight bits over a cloud of diagonal 1 are steps of 1/256, as large as the error of a good completion, so quantization
must know which layers read or write coordinates and leave those alone.
"""

from collections.abc import Iterator

from ai_edge_litert import schema_py_generated as schema

from keras_wcd.export.packing import constant

FLOAT32 = schema.TensorType.FLOAT32
LAYERS = {"FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_3D", "TRANSPOSE_CONV", "BATCH_MATMUL"}
"""Operators that make new features of what they read."""
KEEPING = {
    *("ADD", "SUB", "MUL", "DIV", "NEG", "TANH", "SUM", "L2_NORMALIZATION", "SELECT_V2"),
    *("RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "SLICE", "STRIDED_SLICE", "CONCATENATION", "SPLIT", "PACK"),
    *("UNPACK", "TILE", "BROADCAST_TO", "GATHER", "GATHER_ND"),
}
"""Operators whose inputs are coordinates where their output is: they move and lay out."""
_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


def layers_apart_from_coordinates(model: schema.ModelT) -> list[tuple[str, int]]:
    """Layers of the main graph that neither read nor write coordinates, as operator's name and index of its output."""
    graph = model.subgraphs[0]
    reads, writes = _forward(model), _backward(model)
    found = []
    for op in graph.operators:
        name, inputs, outputs = operator_name(model, op), _moving(model, op.inputs), _moving(model, op.outputs)
        if name in LAYERS and not reads.intersection(inputs) and not writes.intersection(outputs):
            found += [(name, outputs[0])] if outputs else []
    return found


def layers(model: schema.ModelT) -> Iterator[tuple[str, int]]:
    """All layers of the main graph, in the same form."""
    for op in model.subgraphs[0].operators:
        if operator_name(model, op) in LAYERS:
            yield operator_name(model, op), int(op.outputs[0])


def operator_name(model: schema.ModelT, op: schema.OperatorT) -> str:
    """Name of a builtin operator, such as `FULLY_CONNECTED`; empty for any other."""
    code = model.operatorCodes[op.opcodeIndex]
    # Codes below 127 stand in the older one-byte field as well; the larger of both is meant.
    return _NAMES.get(max(code.builtinCode, code.deprecatedBuiltinCode), "")


def _forward(model: schema.ModelT) -> set[int]:
    """Tensors that are coordinates, computed from nothing but coordinates, or joined with some."""
    held = _clouds(model)
    for op in model.subgraphs[0].operators:
        inputs = _moving(model, op.inputs)
        name = operator_name(model, op)
        some = any if name == "CONCATENATION" else all
        if inputs and name not in LAYERS and some(i in held for i in inputs):
            held.update(_moving(model, op.outputs))
    return held


def _backward(model: schema.ModelT) -> set[int]:
    """Tensors that become coordinates by being moved and laid out alone."""
    held = _clouds(model)
    for op in reversed(model.subgraphs[0].operators):
        if operator_name(model, op) in KEEPING and held.intersection(_moving(model, op.outputs)):
            held.update(_moving(model, op.inputs))
    return held


def _clouds(model: schema.ModelT) -> set[int]:
    """Inputs and outputs of the main graph, and tensors whose last axis has three places."""
    graph = model.subgraphs[0]
    every = _moving(model, range(len(graph.tensors)))
    ends = {int(i) for i in (*graph.inputs, *graph.outputs)}
    return ends | {i for i in every if _last(graph.tensors[i]) == 3}


def _moving(model: schema.ModelT, indices) -> list[int]:
    """Those of some tensors of the main graph that hold floats which are not constant."""
    graph = model.subgraphs[0]
    given = [int(i) for i in (() if indices is None else indices) if i >= 0]
    return [i for i in given if graph.tensors[i].type == FLOAT32 and constant(model, graph.tensors[i]) is None]


def _last(tensor: schema.TensorT) -> int:
    return int(tensor.shape[-1]) if tensor.shape is not None and len(tensor.shape) else 0
