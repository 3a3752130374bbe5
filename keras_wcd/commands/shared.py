"""What the commands share: the framework loaded quietly, rows of tables, values from the command line."""

import json
import os
import pathlib

import click


def load_framework() -> None:
    """Import TensorFlow without the lines that its C++ side writes on the way."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from keras_wcd.export.quiet import quiet

    with quiet():
        import keras
        import tensorflow  # noqa: F401

        keras.backend.backend()


def example(line: str) -> dict:
    """The example that stands under a command's help."""
    return {"epilog": f"Example: {line}", "context_settings": {"show_default": True}}


def entry(table: dict, name: str, option: str):
    """A row of a table, or a usage error that lists the rows."""
    if name not in table:
        raise click.UsageError(f"{option}: there is no {name!r}; known are {', '.join(sorted(table))}")
    return table[name]


def number(text: str) -> float:
    """A number, or a usage error."""
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"--distance-scale must be a number, median or fit, got {text!r}") from None


def numbers(path: str):
    """An array from an .npy file, never unpickled."""
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not an .npy file of numbers ({error})") from error


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


def named_loss(name: str):
    """A loss by name, by name and arguments in JSON, or the best of a distillation."""
    from keras_wcd import losses

    if name.endswith(".json"):
        from keras_wcd.distill import DistillationResult

        return DistillationResult.from_json(pathlib.Path(name)).loss()
    if not name.startswith("{"):
        return losses.get(name)
    try:
        return losses.get(json.loads(name))
    except (json.JSONDecodeError, TypeError) as error:
        raise click.UsageError(
            f'--loss wants {{"name": "hyper_cd", "alpha": 1000}} or a name, got {name} ({error})'
        ) from None
