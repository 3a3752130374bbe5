"""Clouds and other arrays in NumPy's npy and npz files, read without unpickling and without trusting a header."""

import io
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

import numpy as np

from keras_wcd.data.io.arrays import Shape, Which, check, cloud_of, read_archive
from keras_wcd.data.io.cloud import Cloud
from keras_wcd.data.io.limits import FormatError, check_justified

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_CORRUPT = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)
_CORRUPT += (struct.error, OverflowError, TypeError, LookupError)
"""What a damaged archive or header may bring about in Python's and NumPy's readers."""


class _Header(NamedTuple):
    """What stands before the numbers."""

    shape: Shape
    fortran: bool


def read_npy(path: Path, which: Which) -> Cloud:
    """The array of an npy file: `(N, 3)` and wider, a row of `(B, N, 3)`, or fields called x, y, z."""
    if which.dataset is not None:
        raise FormatError(f"dataset names an array of npz and h5 files; an npy file holds one, got {which.dataset!r}")
    with open(path, "rb") as file:
        header = _read_header(file)
        row = check(header.shape, which.index, "its array")
        cloud = cloud_of(_read(file, header, path.stat().st_size, row))
    return cloud.noted(array=f"{header.shape}" if row is None else f"{header.shape}, row {row}")


def read_npz(path: Path, which: Which) -> Cloud:
    """The array of an npz archive that `arrays.choose` chooses, with the arrays of colors and normals beside it."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            shapes = {
                name: shape for name, info in entries.items() if (shape := _shape(archive, info, which)) is not None
            }
            return read_archive(shapes, which, lambda name, row: _member(archive, entries[name], row))
    except FormatError:
        raise
    except _CORRUPT as error:
        raise FormatError(f"truncated or corrupt archive ({error})") from None


def read_array(path: str | os.PathLike) -> np.ndarray:
    """The array of an npy file, whatever its shape.

    Raises:
        ValueError: naming the file, where it is none, damaged, or holds objects.
    """
    try:
        with open(path, "rb") as file:
            return _read(file, _read_header(file), os.stat(path).st_size, None)
    except _CORRUPT as error:
        raise ValueError(f"{path}: not an .npy file of numbers ({str(error)[:200]})") from None


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """All arrays of an npz archive by name, whatever their shapes.

    Raises:
        ValueError: naming the file, where it is none, damaged, or holds objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename.removesuffix(".npy"): _member(archive, info, None) for info in archive.infolist()}
    except _CORRUPT as error:
        raise ValueError(f"{path}: not an .npz file of numbers ({str(error)[:200]})") from None


def write_npy(file: BinaryIO, cloud: Cloud, encoding: str) -> None:
    """Write the points alone."""
    np.save(file, cloud.points, allow_pickle=False)


def write_npz(file: BinaryIO, cloud: Cloud, encoding: str) -> None:
    """Write a compressed archive of `points`, and of `colors` and `normals` where there are any."""
    arrays = {"points": cloud.points, "colors": cloud.colors, "normals": cloud.normals}
    np.savez_compressed(file, **{name: values for name, values in arrays.items() if values is not None})


def _shape(archive: zipfile.ZipFile, info: zipfile.ZipInfo, which: Which) -> Shape | None:
    """The shape of a member; None where it is no array and not the one asked for."""
    try:
        _check_method(info)
        with archive.open(info) as file:
            return _read_header(file).shape
    except FormatError:
        alone = len(archive.infolist()) == 1
        if alone or info.filename.removesuffix(".npy") == which.dataset:
            raise
        return None


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, row: int | None) -> np.ndarray:
    _check_method(info)
    check_justified(info.file_size, info.compress_size, f"the array {info.filename!r}")
    with archive.open(info) as file:
        return _read(file, _read_header(file), info.file_size, row)


def _check_method(info: zipfile.ZipInfo) -> None:
    if info.compress_type not in _METHODS:
        raise FormatError("it is compressed by another method than NumPy's; save it with numpy.savez_compressed")


def _read_header(file: IO[bytes]) -> _Header:
    try:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise FormatError(f"npy version {version} is not supported")
        shape, fortran, dtype = _HEADERS[version](file)
    except FormatError:
        raise
    except Exception as error:  # The header is a Python expression, which fails to parse in many ways.
        raise FormatError(f"truncated or corrupt npy header ({str(error)[:100]!r})") from None
    if any(length < 0 for length in shape):
        raise FormatError(f"its header promises an array of shape {shape}")
    return _Header(Shape(shape, dtype), fortran)


def _read(file: IO[bytes], header: _Header, size: int, row: int | None) -> np.ndarray:
    """The array behind a header that agrees with the `size` of its file, in bytes; a row of it where that is given."""
    (shape, dtype), fortran = header
    nbytes = math.prod(shape) * dtype.itemsize
    promised = shape[0] if shape else 1
    if nbytes > size:
        raise FormatError(f"its header promises {promised} points ({nbytes} bytes), the file has {size} bytes")
    if row is not None and not fortran:
        shape, nbytes = shape[1:], nbytes // shape[0]
        file.seek(row * nbytes, io.SEEK_CUR)
        row = None
    data = io.BytesIO(file.read(nbytes)).getbuffer()
    if len(data) != nbytes:
        raise FormatError(f"truncated: {promised} points promised, {len(data)} of {nbytes} bytes follow")
    array = np.frombuffer(data, dtype).reshape(shape[::-1] if fortran else shape)
    array = array.T if fortran else array
    return array if row is None else array[row]
