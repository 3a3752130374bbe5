"""Where an export may be written."""

import os
from pathlib import Path

from keras_wcd.files import writable


def file_target(path: str | os.PathLike) -> Path:
    """`path` for a LiteRT file to write.

    Raises:
        ValueError: where it is not called `.tflite`, its folder is missing, or it is a folder itself.
        PermissionError: where its folder takes no new file.
    """
    path = Path(path)
    if path.suffix.lower() != ".tflite" and not path.is_dir():
        raise ValueError(f"{path}: a LiteRT file is called .tflite; to_saved_model writes a folder")
    return writable(path)


def folder_target(path: str | os.PathLike) -> Path:
    """`path` for a SavedModel folder to write.

    Raises:
        ValueError: where it would overwrite anything else, is called as files are (`chair.onnx`; `chair.2` is a
            folder's name), or lies in a folder that is missing.
        PermissionError: where the folder it lies in takes no new file.
    """
    path = Path(path)
    if path.exists() and not is_saved_model(path):
        raise ValueError(f"{path}: exists and is not a SavedModel folder; choose another name or remove it")
    if path.suffix[1:2].isalpha() and not path.exists():
        raise ValueError(
            f"{path}: {path.suffix} is no format of export; give a .tflite file, or a folder for a SavedModel"
        )
    # One that is there is replaced as a whole, beside its place.
    return writable(path.parent, folder=True) / path.name if path.exists() else writable(path)


def is_saved_model(path: str | os.PathLike) -> bool:
    """True for a folder that holds a SavedModel."""
    return (Path(path) / "saved_model.pb").is_file()
