"""A whole run in one file: weights, optimizer, state of the draws, place in the data, figures so far."""

import dataclasses
import json
import os
import pathlib
from typing import Any

import keras
import numpy as np

from keras_wcd.data.io.npy import read_arrays
from keras_wcd.files import json_of, replacing
from keras_wcd.training.devices import Devices
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
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


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
    arrays = [given[id(v)] if id(v) in given else np.asarray(keras.ops.convert_to_numpy(v)) for v in variables]
    state = {
        "format": FORMAT,
        "variables": len(variables),
        "position": dataclasses.asdict(position),
    }
    arrays = [array.astype(_stored(v), copy=False) for array, v in zip(arrays, variables, strict=True)]
    named: dict[str, Any] = {f"v{number:05d}": array for number, array in enumerate(arrays)}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, state=np.frombuffer(json.dumps(state).encode(), np.uint8), **named)
        file.flush()
        os.fsync(file.fileno())


def load_checkpoint(path: str | os.PathLike, model: keras.Model, devices: Devices | None = None) -> Position:
    """Put the values of a checkpoint into a model, compiled as it was, and answer how far it had come.

    Args:
        path: The file; where there is none, the run is at its beginning.
        model: The model, compiled, its optimizers built.
        devices: Whose chief reads the file for all; None takes one device.

    Raises:
        ValueError: for a file that is damaged, or that holds another network.
    """
    devices = Devices() if devices is None else devices
    variables = variables_of(model)
    path, state, arrays = pathlib.Path(path), None, []
    if devices.chief and path.exists():
        state, arrays = _read(path)
        kinds = [(tuple(v.shape), np.dtype(_stored(v))) for v in variables]
        if [(array.shape, array.dtype) for array in arrays] != kinds:
            raise ValueError(
                f"{path}: holds {len(arrays)} variables of another network or optimizer than this one with {len(kinds)}"
            )
    state = devices.state_of_chief(state)
    if state is None:
        return Position()
    for number, variable in enumerate(variables):
        array = arrays[number] if arrays else np.zeros(variable.shape, _stored(variable))
        variable.assign(devices.of_chief(array))
    return Position(**state["position"])


def _stored(variable: keras.Variable) -> str:
    """The type in which a variable is written: NumPy's files know no bfloat16, and in float32 it is the same number."""
    dtype = keras.backend.standardize_dtype(variable.dtype)
    return "float32" if dtype == "bfloat16" else dtype


def _read(path: pathlib.Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    try:
        arrays = read_arrays(path)
        state = json_of(arrays["state"].tobytes())
        if state["format"] != FORMAT:
            raise ValueError(f"format {state['format']}, {FORMAT} is known")
        _check(Position(**state["position"]))
        return state, [arrays[f"v{number:05d}"] for number in range(state["variables"])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).removeprefix(f"{path}: ")[:200]
        raise ValueError(f"{path}: no checkpoint of this version, or a damaged one ({reason})") from error


def _check(position: Position) -> None:
    """Raise where the values of a position are of other types, as in a damaged file."""
    counts = (position.epoch, position.batch, position.step, position.pairs)
    sound = all(type(count) is int and count >= 0 for count in counts)
    if not sound or (position.sums and not position.pairs):
        raise ValueError(f"its position is no place in a run: {counts}")
    if not all(isinstance(value, int | float) for row in (position.sums, *position.history) for value in row.values()):
        raise ValueError("its figures are no numbers")
