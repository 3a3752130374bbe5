"""The operators of a LiteRT file, read from its flatbuffer."""

import os
from collections.abc import Iterator
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from keras_wcd.export.runtime import open_model

_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


def operators(path: str | os.PathLike) -> list[str]:
    """Names of the operators that a `.tflite` file uses, in every subgraph, sorted, each once.

    A builtin operator has its name in the format's schema, such as `FULLY_CONNECTED`; any other the name it was
    given, such as `FlexMaxPool3D`.

    Raises:
        ValueError: where there is no such file, or it is no LiteRT model.
    """
    open_model(path)
    return sorted(set(_names(Path(path).read_bytes())))


def foreign(content: bytes) -> list[str]:
    """Names of the operators of a model's bytes that are not builtin, Flex or custom."""
    return sorted(set(_names(content)) - set(_NAMES.values()))


def used(model: schema.Model) -> Iterator[tuple[schema.SubGraph, schema.Operator, str]]:
    """Every operator of every subgraph of a model, with its subgraph and its name."""
    names = [_operator_name(model.OperatorCodes(i)) for i in range(model.OperatorCodesLength())]
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for op in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            yield graph, op, names[op.OpcodeIndex()]


def _names(content: bytes) -> Iterator[str]:
    return (name for _, _, name in used(schema.Model.GetRootAs(content)))


def _operator_name(code: schema.OperatorCode) -> str:
    if code.CustomCode() is not None:
        return code.CustomCode().decode()
    # Codes below 127 stand in the older one-byte field as well; the larger of both is meant.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    return _NAMES.get(number, f"operator {number}")
