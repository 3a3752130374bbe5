"""Where an export may be written."""

import os
from pathlib import Path

from keras_wcd.files import writable

FILES = {".tflite": "LiteRT", ".onnx": "ONNX"}
"""Formats that are one file, by the ending of its name."""


def file_target(path: str | os.PathLike, suffix: str = ".tflite") -> Path:
    """`path` for a file to write, of the format that `suffix` stands for.

    Raises:
        ValueError: where it is not called so, its folder is missing, or it is a folder itself.
        PermissionError: where its folder takes no new file.
    """
    path = Path(path)
    if path.suffix.lower() != suffix and not path.is_dir():
        article = "an" if suffix == ".onnx" else "a"
        raise ValueError(f"{path}: {article} {FILES[suffix]} file is called {suffix}; to_saved_model writes a folder")
    return writable(path)


def folder_target(path: str | os.PathLike) -> Path:
    """`path` for a SavedModel folder to write.

    Raises:
        ValueError: where it would overwrite anything else, is called as files are (`chair.pb`; `chair.2` is a
            folder's name), or lies in a folder that is missing.
        PermissionError: where the folder it lies in takes no new file.
    """
    path = Path(path)
    if path.exists() and not is_saved_model(path):
        raise ValueError(f"{path}: exists and is not a SavedModel folder; choose another name or remove it")
    if path.suffix[1:2].isalpha() and not path.exists():
        kind = FILES.get(path.suffix.lower())
        wrong = f"is the name of a file of {kind}" if kind else f"{path.suffix} is no format of export"
        raise ValueError(f"{path}: {wrong}; give a .tflite or .onnx file, or a folder for a SavedModel")
    # One that is there is replaced as a whole, beside its place.
    return writable(path.parent, folder=True) / path.name if path.exists() else writable(path)


def is_saved_model(path: str | os.PathLike) -> bool:
    """True for a folder that holds a SavedModel."""
    return (Path(path) / "saved_model.pb").is_file()
