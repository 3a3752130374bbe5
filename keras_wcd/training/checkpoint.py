"""A whole run in one file: weights, optimizer, state of the draws, place in the data, figures so far."""

import dataclasses
import json
import os
import pathlib
import zipfile
from typing import Any

import keras
import numpy as np

from keras_wcd.files import replacing
from keras_wcd.training.loop import Position

FORMAT = 1


def variables_of(model: keras.Model) -> list[keras.Variable]:
    """All that a step changes: weights, state of random draws, and the variables of every optimizer; no figures."""
    optimizers = [model.optimizer, getattr(model, "discriminator_optimizer", None)]
    measured = {id(variable) for variable in model.metrics_variables}
    found = {id(v): v for v in model.variables if id(v) not in measured}
    found |= {id(v): v for optimizer in optimizers if optimizer is not None for v in optimizer.variables}
    return list(found.values())


def values_of(variables: list[keras.Variable]) -> list[np.ndarray]:
    """Copies of the values of variables."""
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]


def save_checkpoint(
    path: str | os.PathLike, model: keras.Model, position: Position, values: dict[int, np.ndarray] | None = None
) -> None:
    """Write a run beside `path`, then rename it: the file there is whole at every moment, the old one or the new.

    Args:
        path: An `.npz` file.
        model: The model, compiled, its optimizers built.
        position: How far it has come.
        values: By the `id` of variables other values than they have now.
    """
    given = values or {}
    variables = variables_of(model)
    arrays = [given[id(v)] if id(v) in given else np.asarray(keras.ops.convert_to_numpy(v.value)) for v in variables]
    state = {
        "format": FORMAT,
        "variables": len(variables),
        "position": dataclasses.asdict(position),
    }
    # NumPy's files know no bfloat16; in float32 it is the same number.
    arrays = [array if array.dtype.isbuiltin == 1 else array.astype("float32") for array in arrays]
    named: dict[str, Any] = {f"v{number:05d}": array for number, array in enumerate(arrays)}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, state=np.frombuffer(json.dumps(state).encode(), np.uint8), **named)
        file.flush()
        os.fsync(file.fileno())


def load_checkpoint(path: str | os.PathLike, model: keras.Model) -> Position:
    """Put the values of a checkpoint into a model, compiled as it was, and answer how far it had come.

    Raises:
        ValueError: for a file that is damaged, or that holds another network.
    """
    state, arrays = _read(pathlib.Path(path))
    variables = variables_of(model)
    shapes = [tuple(v.shape) for v in variables]
    if [array.shape for array in arrays] != shapes:
        raise ValueError(
            f"{path}: holds {len(arrays)} variables of another network or optimizer than this one with {len(shapes)}"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return Position(**state["position"])


def _read(path: pathlib.Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            state = json.loads(file["state"].tobytes())
            if state["format"] != FORMAT:
                raise ValueError(f"format {state['format']}, {FORMAT} is known")
            return state, [file[f"v{number:05d}"] for number in range(state["variables"])]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: no checkpoint of this version, or a damaged one ({error})") from error
