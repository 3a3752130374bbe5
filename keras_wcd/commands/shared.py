"""What the commands share: the framework loaded quietly, rows of tables, values from the command line."""

import json
import os
import pathlib
from typing import TypedDict

import click


def load_framework() -> None:
    """Import Keras and its backend without the lines that TensorFlow's C++ side writes on the way."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from keras_wcd.export.quiet import quiet

    with quiet():
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow  # noqa: F401


class Help(TypedDict):
    """The arguments of a command that bear on its help."""

    epilog: str
    context_settings: dict[str, bool]


def example(line: str) -> Help:
    """The example that stands under a command's help."""
    return {"epilog": f"Example: {line}", "context_settings": {"show_default": True}}


cluster = click.option(
    "--cluster", metavar="ADDRESS", help="Dask scheduler (tcp://host:8786, or its .json file) whose workers do it."
)
"""The option of commands whose tasks may go to other machines."""


def entry(table: dict, name: str, option: str):
    """A row of a table, or a usage error with the nearest name and all rows."""
    from keras_wcd.names import find

    try:
        return find(table, name, option.lstrip("-"))
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from None


def number(text: str) -> float:
    """A number, or a usage error."""
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"--distance-scale must be a number, median or fit, got {text!r}") from None


def numbers(path: str):
    """An array from an .npy file, never unpickled."""
    import numpy as np

    from keras_wcd.data.io.npy import read_array

    found = read_array(path)
    if not np.issubdtype(found.dtype, np.number):
        raise ValueError(f"{path}: not an .npy file of numbers")
    return found


def settings(pairs: tuple[str, ...]) -> dict:
    """Arguments from `name=value` pairs, the values in JSON."""
    arguments = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            arguments[name] = json.loads(value)
        except json.JSONDecodeError:
            raise click.UsageError(f"--set wants NAME=VALUE with a JSON value, got {pair!r}") from None
    return arguments


def named_loss(name: str, option: str = "--loss", **arguments: float):
    """A loss by name, by name and arguments in JSON, or the best of a distillation.

    Args:
        name: What the user gave.
        option: The option it was given to, for errors.
        **arguments: Arguments that further options gave for a loss by name.

    Raises:
        UsageError: for what is no name and no JSON of one, and for arguments that the loss has not.
    """
    from keras_wcd import losses

    if name.endswith(".json"):
        from keras_wcd.distill import DistillationResult

        if arguments:
            raise click.UsageError(f"{option}: {name} holds its parameters; leave out --{' --'.join(arguments)}")
        return DistillationResult.from_json(pathlib.Path(name)).loss()
    if not name.startswith("{"):
        return losses.get({"name": name, **arguments})
    try:
        return losses.get({**json.loads(name), **arguments})
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise click.UsageError(
            f'{option} wants {{"name": "hyper_cd", "alpha": 1000}} or a name, got {name} ({reason})'
        ) from None
