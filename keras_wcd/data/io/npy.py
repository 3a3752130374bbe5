"""Clouds in NumPy's npy and npz files, read without unpickling and without trusting a header."""

import io
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_wcd.data.io.cloud import Cloud, as_colors, as_normals
from keras_wcd.data.io.limits import FormatError, check_justified

KEYS = ("points", "xyz", "complete", "partial")
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_npy(path: Path) -> Cloud:
    """The array of an npy file."""
    with open(path, "rb") as file:
        return Cloud(_read(file, path.stat().st_size))


def read_npz(path: Path, dataset: str | None = None) -> Cloud:
    """The array named `dataset`, or points, xyz, complete or partial, or the only one, of an npz archive.

    Arrays `colors` and `normals` with as many rows belong to it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            points = _member(archive, entries[_choose(list(entries), dataset)])
            beside = {}
            for name, convert in (("colors", as_colors), ("normals", as_normals)):
                if name in entries and name != dataset:
                    values = _member(archive, entries[name])
                    beside[name] = convert(values) if len(values) == len(points) else None
            return Cloud(points, **beside)
    except FormatError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise FormatError(f"truncated or corrupt archive ({error})") from None


def write_npy(file: BinaryIO, cloud: Cloud, encoding: str) -> None:
    """Write the points alone."""
    np.save(file, cloud.points, allow_pickle=False)


def write_npz(file: BinaryIO, cloud: Cloud, encoding: str) -> None:
    """Write a compressed archive of `points`, and of `colors` and `normals` where there are any."""
    arrays = {"points": cloud.points, "colors": cloud.colors, "normals": cloud.normals}
    np.savez_compressed(file, **{name: values for name, values in arrays.items() if values is not None})


def _choose(names: list[str], dataset: str | None) -> str:
    if dataset is not None:
        if dataset not in names:
            raise FormatError(f"it has no array {dataset!r}; it holds {', '.join(sorted(names)[:20]) or 'none'}")
        return dataset
    known = [key for key in KEYS if key in names]
    others = [name for name in names if name not in ("colors", "normals")]
    if not known and len(others) != 1:
        raise FormatError(f"it holds the arrays {sorted(names)[:20]}; name the one to read 'points'")
    return (known or others)[0]


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    if info.compress_type not in _METHODS:
        raise FormatError("it is compressed by another method than NumPy's; save it with numpy.savez_compressed")
    check_justified(info.file_size, info.compress_size, f"the array {info.filename!r}")
    with archive.open(info) as file:
        return _read(file, info.file_size)


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
    if shape[0] < 0:
        raise FormatError(f"its header promises {shape[0]} points")
    nbytes = shape[0] * 3 * dtype.itemsize
    if nbytes > size:
        raise FormatError(f"its header promises {shape[0]} points ({nbytes} bytes), the file has {size} bytes")
    data = io.BytesIO(file.read(nbytes)).getbuffer()
    if len(data) != nbytes:
        raise FormatError(f"truncated: {shape[0]} points promised, {len(data)} of {nbytes} bytes follow")
    array = np.frombuffer(data, dtype)
    return array.reshape(3, -1).T if fortran else array.reshape(-1, 3)
