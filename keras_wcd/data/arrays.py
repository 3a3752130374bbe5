"""Clouds in NumPy's npy and npz files, read without unpickling and without trusting a header."""

import io
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_wcd.data.files import FormatError

MAX_BYTES = 2**31
"""Largest array taken out of a compressed archive."""
KEYS = ("points", "xyz", "complete", "partial")
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(path: Path) -> np.ndarray:
    """The array of an npy file."""
    with open(path, "rb") as file:
        return _read(file, path.stat().st_size)


def read_npz(path: Path) -> np.ndarray:
    """The array named points, xyz, complete or partial of an npz archive, or its only one."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            names = [key for key in KEYS if key in entries] or list(entries)
            if names[:1] != [key for key in KEYS if key in entries][:1] and len(entries) != 1:
                raise FormatError(f"it holds the arrays {sorted(entries)}; name the one to read 'points'")
            info = entries[names[0]]
            if info.file_size > MAX_BYTES:
                raise FormatError(f"the array {names[0]!r} takes {info.file_size} bytes, {MAX_BYTES} at most")
            with archive.open(info) as file:
                return _read(file, info.file_size)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, IndexError) as error:
        raise FormatError(f"truncated or corrupt archive ({error})") from None


def write_npy(file: BinaryIO, points: np.ndarray, encoding: str) -> None:
    """Write the array alone."""
    np.save(file, points, allow_pickle=False)


def write_npz(file: BinaryIO, points: np.ndarray, encoding: str) -> None:
    """Write a compressed archive with the one array `points`."""
    np.savez_compressed(file, points=points)


def _read(file: BinaryIO, size: int) -> np.ndarray:
    """An array of numbers whose header agrees with the `size` of its file, in bytes."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise FormatError(f"npy version {version} is not supported")
        shape, fortran, dtype = _HEADERS[version](file)
    except FormatError:
        raise
    except Exception as error:  # The header is a Python expression, which fails to parse in many ways.
        raise FormatError(f"truncated or corrupt npy header ({str(error)[:100]!r})") from None
    if dtype.hasobject:
        raise FormatError("it holds pickled Python objects, which are never loaded; save an array of floats")
    if dtype.kind not in "fiu":
        raise FormatError(f"it holds dtype {dtype}; coordinates must be numbers")
    if len(shape) != 2 or shape[1] != 3:
        hint = "; transpose it" if len(shape) == 2 and shape[0] == 3 else ""
        hint = hint or ("; keep its first three columns" if len(shape) == 2 and shape[1] > 3 else "")
        raise FormatError(f"it holds an array of shape {shape}, a cloud has shape (N, 3){hint}")
    nbytes = shape[0] * 3 * dtype.itemsize
    if nbytes > size:
        raise FormatError(f"its header promises {shape[0]} points ({nbytes} bytes), the file has {size} bytes")
    data = io.BytesIO(file.read(nbytes)).getbuffer()
    if len(data) != nbytes:
        raise FormatError(f"truncated: {shape[0]} points promised, {len(data)} of {nbytes} bytes follow")
    array = np.frombuffer(data, dtype)
    return array.reshape(3, -1).T if fortran else array.reshape(-1, 3)
