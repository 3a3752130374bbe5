"""Presets: a network with its weights in a folder of two files."""

import json
import os
from pathlib import Path

import keras

from keras_wcd.files import replacing
from keras_wcd.heaps import check_heaps
from keras_wcd.names import suggestion
from keras_wcd.saving import without_optimizer

PRESETS = {"default": "preset-default"}
"""Presets that ship in the package: name -> folder beside this file."""
CONFIG, WEIGHTS = "config.json", "model.weights.h5"


def save(model: keras.Model, path: str | os.PathLike) -> None:
    """Write `model` to the folder `path`, whole or not at all.

    Raises:
        ValueError: where `path` exists and is not a preset.
    """
    path = Path(path)
    if path.exists() and not (path / CONFIG).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise ValueError(f"{path} exists and is not a preset; give a new folder")
    config = {
        "registered_name": keras.saving.get_registered_name(type(model)),
        "config": model.get_config(),
        "keras_version": keras.version(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as new:
        new.mkdir()
        (new / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        with without_optimizer(model):
            model.save_weights(new / WEIGHTS)


def load(preset: str | os.PathLike, cls: type[keras.Model]) -> keras.Model:
    """The network of a preset, an instance of `cls`.

    Raises:
        ValueError: for an unknown name, a folder that is not a preset, or another network's preset, damaged weights.
    """
    path = locate(preset)
    try:
        saved = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        name, config = saved["registered_name"], saved["config"]
        found = keras.saving.get_registered_object(name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path / CONFIG} cannot be read as a preset's config: {_line(error)}") from error
    if not (isinstance(found, type) and issubclass(found, cls)):
        raise ValueError(
            f"{path} holds {str(name)[:80]}, which is no {cls.__name__}; load it with CompletionModel.from_preset"
        )
    if not (path / WEIGHTS).is_file():
        raise ValueError(f"{path} has no {WEIGHTS}")
    try:
        model = found.from_config(config)
    except Exception as error:
        # Sizes that do not fit each other, or no machine, fail anywhere in Keras and its backend.
        raise ValueError(f"{path / CONFIG}: no config of {found.__name__}: {_line(error)}") from error
    try:
        check_heaps(path / WEIGHTS)
        model.load_weights(path / WEIGHTS)
    except Exception as error:
        # What lies in a damaged file may fail anywhere in Keras and h5py.
        raise ValueError(f"{path / WEIGHTS}: damaged, or not the weights of this config: {_line(error)}") from error
    return model


def _line(error: Exception) -> str:
    """The first line of a message, or the kind of an error that has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def locate(preset: str | os.PathLike) -> Path:
    """The folder of a preset by name or path."""
    if isinstance(preset, str) and preset in PRESETS:
        return Path(__file__).parent / PRESETS[preset]
    path = Path(preset)
    if not path.is_dir():
        names = ", ".join(sorted(PRESETS)) or "none"
        near = suggestion(path, PRESETS).partition("known are")[0]
        raise ValueError(
            f"{str(preset)!r} is neither the name of a preset (available: {names}) nor a folder written by "
            f"save_to_preset{'; ' * bool(near)}{near.strip()}"
        )
    return path
