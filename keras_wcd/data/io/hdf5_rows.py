"""Single clouds out of HDF5 files: a row is read at a time, and no header makes more than a cloud's memory be taken.

h5py comes with Keras. Links to other files are not followed.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_wcd.heaps import check_heaps

MAX_POINTS = 2**22
"""Largest cloud that is read."""
MAX_CHUNK = 2**24
"""Largest piece, in bytes, in which a compressed array may be stored."""


def open_file(path: Path) -> Any:
    """An `h5py.File` for reading.

    Raises:
        ValueError: naming the file, where it is missing or not HDF5.
    """
    import h5py

    try:
        check_heaps(path)
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable HDF5 file ({error})") from None


def array(file: Any, path: Path, key: str, shape: tuple[int | None, ...]) -> Any:
    """The array `key` of an open file, nothing of it read yet.

    Args:
        file: Of `open_file`.
        path: Its name, for errors.
        key: Name of the array.
        shape: Its shape; None stands for any length of at least 1.

    Raises:
        ValueError: naming the file, where there is no such array of numbers in the file itself.
    """
    import h5py

    if not isinstance(file.get(key, getlink=True), h5py.HardLink) or not isinstance(file[key], h5py.Dataset):
        raise ValueError(f"{path}: it holds no array {key!r}; it holds {sorted(file)[:10]}")
    found = file[key]
    if found.is_virtual or found.external:
        raise ValueError(f"{path}: the array {key!r} lies in another file; copy it into this one")
    fits = len(found.shape or ()) == len(shape) and all(
        size == wanted if wanted else size >= 1 for size, wanted in zip(found.shape, shape, strict=True)
    )
    if not fits or found.dtype.kind not in "fiu":
        wanted = tuple("any" if size is None else size for size in shape)
        raise ValueError(f"{path}: {key!r} must be numbers of shape {wanted}, got {found.dtype} {found.shape}")
    if found.chunks and int(np.prod(found.chunks, dtype=object)) * found.dtype.itemsize > MAX_CHUNK:
        raise ValueError(f"{path}: {key!r} is stored in pieces above {MAX_CHUNK} bytes; store it in smaller ones")
    return found


def cloud(found: Any, path: Path, row: int) -> np.ndarray:
    """A row of an array `(B, N, 3)`: its finite points `(N, 3)`, float32.

    Raises:
        ValueError: naming the file, where it is damaged, the cloud too large or without a finite point.
    """
    if found.shape[-2] > MAX_POINTS:
        raise ValueError(f"{path}: a cloud of {found.shape[-2]} points; {MAX_POINTS} at most are read")
    try:
        points = np.asarray(found[row], np.float32)
    except OSError as error:
        raise ValueError(f"{path}: truncated or corrupt ({error})") from None
    finite = np.isfinite(points).all(axis=1)
    if not finite.any():
        raise ValueError(f"{path}: row {row} holds no finite point")
    return np.ascontiguousarray(points if finite.all() else points[finite])


class Rows:
    """Arrays of one file that stays open, and is opened again in a process that was forked."""

    def __init__(self, path: Path, shapes: dict[str, tuple[int | None, ...]]):
        self.path, self.shapes = path, shapes
        self._process, self._arrays = None, {}

    def __getitem__(self, key: str) -> Any:
        if self._process != os.getpid():
            file = open_file(self.path)
            arrays = {key: array(file, self.path, key, shape) for key, shape in self.shapes.items()}
            self._arrays, self._process = arrays, os.getpid()
        return self._arrays[key]

    def __getstate__(self) -> dict:
        return {"path": self.path, "shapes": self.shapes, "_process": None, "_arrays": {}}
