"""Reads the tensors of a PyTorch `.pth` file as NumPy arrays, running none of its code, without PyTorch.

The file is a pickle of dictionaries and of references to runs of memory, the storages, which lie beside it in a zip
archive or, as before PyTorch 1.6, behind it.
"""

import io
import math
import os
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from keras_wcd.models.weights.pickled import Machine, Name, Refused, checked_key

MAGIC = 0x1950A86A20F9469CFC6C
"""First object of a file written before PyTorch 1.6."""
BFLOAT16 = "bfloat16"
DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "BFloat16Storage": BFLOAT16,
}
STORAGES = {f"{module}.{name}": kind for module in ("torch", "torch.storage") for name, kind in DTYPES.items()}
MAX_AXES = 32
MAX_SIZE = 2**40
"""Of an axis, and of the axes of a tensor without values."""


@dataclass(eq=False)
class Storage:
    """A typed run of memory of the file, and the array that it is read into.

    Attributes:
        kind: A value of `DTYPES`.
        values: Flat; float32 where the file has bfloat16.
        filled: Whether it has been read.
    """

    kind: str
    values: np.ndarray
    filled: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return len(self.values) * _itemsize(self.kind)

    def fill(self, data: bytes) -> None:
        """Put in what the file has.

        Raises:
            Refused: where it has too little.
        """
        if len(data) < self.nbytes:
            raise Refused(f"has {len(data)} bytes where {len(self.values)} values of {self.kind} belong")
        if self.kind == BFLOAT16:
            self.values[:] = (np.frombuffer(data, "<u2", len(self.values)).astype("<u4") << 16).view("<f4")
        else:
            self.values[:] = np.frombuffer(data, self.kind, len(self.values))
        self.filled = True


class Storages:
    """The storages that a file refers to, no more than it has bytes for."""

    def __init__(self, size: int):
        self.left = size
        self.by_key: dict[str, Storage] = {}

    def reference(self, reference: Any) -> Storage:
        """A storage, named by its type, key and number of values.

        Raises:
            Refused: for another reference, or one that contradicts an earlier one.
        """
        known = type(reference) is tuple and 5 <= len(reference) <= 6 and reference[0] == "storage"
        if not known or type(reference[1]) is not Name or reference[1].text not in STORAGES:
            raise Refused("holds an unknown reference")
        kind, key, numel = STORAGES[reference[1].text], reference[2], reference[4]
        if len(reference) > 5 and reference[5] is not None:
            raise Refused("holds a view of a storage, which only PyTorch before 0.4 wrote")
        if type(key) not in (str, int) or type(numel) is not int or numel < 0:
            raise Refused("holds a storage without a name or a length")
        storage = self.by_key.get(str(key))
        if storage is None:
            self.left -= numel * _itemsize(kind)
            if self.left < 0:
                raise Refused("is too short for the values that it names, or is cut short")
            storage = Storage(kind, np.zeros(numel, "<f4" if kind == BFLOAT16 else kind))
            self.by_key[str(key)] = storage
        if storage.kind != kind or len(storage.values) != numel:
            raise Refused(f"names the storage {str(key)[:80]!r} twice, with different types or lengths")
        return storage


def tensor(storage: Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> np.ndarray:
    """A view of a storage, inside its bounds; tensors that share memory in PyTorch share it here.

    Raises:
        Refused: where it lies elsewhere, or repeats values more often than the storage is long.
    """
    if type(storage) is not Storage or type(shape) is not tuple or type(strides) is not tuple:
        raise Refused("holds a tensor without a storage or a shape")
    numbers = (offset, *shape, *strides)
    whole = all(type(n) is int and 0 <= n < MAX_SIZE for n in numbers)
    if len(shape) > MAX_AXES or len(shape) != len(strides) or not whole:
        raise Refused("holds a tensor of no shape that can be")
    count, numel = math.prod(shape), len(storage.values)
    if not count and math.prod(n or 1 for n in shape) < MAX_SIZE:
        return np.zeros(shape, storage.values.dtype)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if not count or last >= numel or count > numel:
        raise Refused(f"holds a tensor of shape {shape} larger than its storage")
    size = storage.values.itemsize
    return np.ndarray(shape, storage.values.dtype, storage.values, offset * size, [n * size for n in strides])


def parameter(data: np.ndarray, *_: Any) -> np.ndarray:
    """A parameter is its tensor."""
    return data


class NumpyType:
    """`numpy.dtype`'s stand-in, for numbers that were saved beside the tensors."""

    def __init__(self, name: Any, *_: Any):
        if type(name) is not str or not re.fullmatch(r"[<>|=]?[biufcSU]\d{1,4}", name):
            raise Refused("holds a NumPy value that is no number")
        self.dtype = np.dtype(name)

    def build(self, state: Any) -> None:
        """Byte order: the only part of the state of a number's dtype."""
        if type(state) is tuple and len(state) > 1 and state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


def scalar(kind: NumpyType, data: bytes) -> Any:
    """A NumPy number."""
    return np.frombuffer(data, kind.dtype, 1)[0].item()


def encode(text: str, _: str) -> bytes:
    """Bytes that were pickled as text."""
    return text.encode("latin1")


def dictionary(entries: Any = ()) -> dict:
    """An OrderedDict or a Counter, from nothing, from pairs or from a dictionary."""
    pairs = entries.items() if type(entries) is dict else entries
    return {checked_key(key): value for key, value in pairs}


def size(shape: tuple | list) -> tuple:
    """A `torch.Size` is a tuple."""
    return tuple(shape)


NAMES: dict[str, Callable | None] = {
    **dict.fromkeys(STORAGES),
    "collections.OrderedDict": dictionary,
    "collections.Counter": dictionary,
    "torch.Size": size,
    "torch._utils._rebuild_tensor": tensor,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_parameter": parameter,
    "numpy.dtype": NumpyType,
    "numpy.core.multiarray.scalar": scalar,
    "numpy._core.multiarray.scalar": scalar,
    "_codecs.encode": encode,
}
"""All that a checkpoint of tensors and numbers needs, each name mapped to code of this file."""


def load(path: str | os.PathLike) -> Any:
    """The content of a `.pth` file, tensors as NumPy arrays; both the zip and the older format.

    bfloat16 becomes float32. Dictionaries keep their order. Tensors that share memory share it here too, so that
    all of them take no more memory than the file (twice that for bfloat16), beside what its plain values take.

    Raises:
        ValueError: naming the file, where it is missing, no such file, cut short, compressed or refused.
    """
    try:
        with open(path, "rb") as file:
            length = os.fstat(file.fileno()).st_size
            if zipfile.is_zipfile(file):
                return _load_zip(file, length)
            file.seek(0)
            return _load_legacy(file, length)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    except Refused as error:
        raise ValueError(f"{path} is not read: it {error}; save its state dict alone (torch.save)") from error
    except (zipfile.BadZipFile, EOFError, struct.error, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} is no PyTorch file of weights, or is cut short: {str(error)[:200]}") from error
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        # What a pickle that is nonsense makes the machine stumble over.
        raise ValueError(f"{path} is no PyTorch file of weights: {type(error).__name__}, {str(error)[:200]}") from error


def _load_zip(file: BinaryIO, length: int) -> Any:
    with zipfile.ZipFile(file) as archive:
        entries = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        if "data.pkl" not in entries:
            raise Refused("is a zip archive without data.pkl")
        if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
            raise Refused("is compressed, which PyTorch never does")
        if sum(info.file_size for info in entries.values()) > length:
            raise Refused("has entries that lie over each other")
        if "byteorder" in entries and archive.read(entries["byteorder"]) != b"little":
            raise Refused("is of a big-endian machine")
        storages = Storages(length)
        pickled = archive.read(entries["data.pkl"])
        content = Machine(io.BytesIO(pickled), len(pickled), NAMES, storages.reference).load()
        for key, storage in storages.by_key.items():
            storage.fill(_entry(archive, entries, f"data/{key}"))
    return content


def _entry(archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], name: str) -> bytes:
    if name not in entries:
        raise Refused(f"has no entry {name[:80]}, or is cut short")
    return archive.read(entries[name])


def _load_legacy(file: BinaryIO, length: int) -> Any:
    if Machine(file, length, {}).load() != MAGIC:
        raise Refused("does not begin as a PyTorch file does")
    Machine(file, length, {}).load()  # the protocol's version
    Machine(file, length, {}).load()  # the machine's sizes and byte order, little-endian wherever PyTorch runs
    storages = Storages(length)
    content = Machine(file, length, NAMES, storages.reference).load()
    keys = Machine(file, length, {}).load()
    if type(keys) is not list:
        raise Refused("does not list its storages")
    for key in keys:
        storage = storages.by_key[str(checked_key(key))]
        (written,) = struct.unpack("<q", file.read(8))
        if storage.filled or written != len(storage.values):
            raise Refused("says two lengths of one storage, or lists it twice")
        storage.fill(file.read(storage.nbytes))
    if not all(storage.filled for storage in storages.by_key.values()):
        raise Refused("lacks a storage, or is cut short")
    return content


def _itemsize(kind: str) -> int:
    return 2 if kind == BFLOAT16 else np.dtype(kind).itemsize
