"""Reads the tensors of a PyTorch `.pth` file as NumPy arrays, running none of its code, without PyTorch.

A `.pth` file is a pickle, which may name any function to be called. The unpickler here knows the few names that
a checkpoint of tensors and numbers needs, each mapped to code of this file, and refuses every other.
"""

import math
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import numpy as np

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


class Refused(pickle.UnpicklingError):
    """The file names something that a checkpoint of tensors does not need."""


class Storage(NamedTuple):
    """A typed run of memory in the file."""

    dtype: str
    key: str


class TensorReference(NamedTuple):
    """A tensor before the memory it views is read."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Dictionary(dict):
    """An OrderedDict's stand-in, which drops the attributes that PyTorch pickles with it."""

    def __setstate__(self, state: Any) -> None:
        """Nothing: the entries are all that counts."""


class NumpyType:
    """`numpy.dtype`'s stand-in, for numbers that were saved beside the tensors."""

    def __init__(self, name: Any, *_: Any):
        self.dtype = np.dtype(str(name))
        if self.dtype.hasobject:
            raise Refused(f"holds a NumPy value of dtype {name!r}")

    def __setstate__(self, state: Any) -> None:
        """Byte order: the only part of the state of a number's dtype."""
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Unpickler(pickle.Unpickler):
    """Unpickles dictionaries, lists, numbers, strings and references to tensors, and nothing else."""

    def __init__(self, file: BinaryIO):
        super().__init__(file, encoding="latin1")
        self.numel: dict[Storage, int] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What the few allowed names stand for."""
        if module in ("torch", "torch.storage") and name in DTYPES:
            return DTYPES[name]
        if f"{module}.{name}" in self.allowed():
            return self.allowed()[f"{module}.{name}"]
        raise Refused(f"names {module}.{name}, which a file of weights does not need")

    def allowed(self) -> dict[str, Callable]:
        """Names a checkpoint may use; bound methods and classes whose state nothing here can change."""
        return {
            "collections.OrderedDict": Dictionary,
            "collections.Counter": Dictionary,
            "torch.Size": self.size,
            "torch._utils._rebuild_tensor": self.tensor,
            "torch._utils._rebuild_tensor_v2": self.tensor,
            "torch._utils._rebuild_parameter": self.parameter,
            "numpy.dtype": NumpyType,
            "numpy.core.multiarray.scalar": self.scalar,
            "numpy._core.multiarray.scalar": self.scalar,
            "_codecs.encode": self.encode,
        }

    def persistent_load(self, reference: tuple) -> Storage:
        """A storage, named by its type and key."""
        if len(reference) < 5 or reference[0] != "storage" or reference[1] not in DTYPES.values():
            raise Refused(f"holds an unknown reference {str(reference)[:80]}")
        if len(reference) > 5 and reference[5] is not None:
            raise Refused("holds a view of a storage, which only PyTorch before 0.4 wrote")
        storage = Storage(reference[1], str(reference[2]))
        self.numel[storage] = int(reference[4])
        return storage

    def tensor(self, storage: Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> TensorReference:
        """A tensor's place in its storage, checked against the storage's length."""
        numbers = (offset, *shape, *strides)
        if len(shape) != len(strides) or not all(isinstance(n, int) and n >= 0 for n in numbers):
            raise Refused(f"holds a tensor of shape {shape} with strides {strides}")
        count = math.prod(shape)
        last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        if count and (last >= self.numel[storage] or count > self.numel[storage]):
            raise Refused(f"holds a tensor of shape {shape} larger than its storage")
        return TensorReference(storage, offset, tuple(shape), tuple(strides))

    def parameter(self, data: TensorReference, *_: Any) -> TensorReference:
        """A parameter is its tensor."""
        return data

    def size(self, shape: tuple) -> tuple:
        """A `torch.Size` is a tuple."""
        return tuple(shape)

    def scalar(self, kind: NumpyType, data: bytes) -> Any:
        """A NumPy number."""
        return np.frombuffer(data, kind.dtype)[0].item()

    def encode(self, text: str, _: str) -> bytes:
        """Bytes that were pickled as text."""
        return text.encode("latin1")


def load(path: str | os.PathLike) -> Any:
    """The content of a `.pth` file, tensors as NumPy arrays; both the zip and the older format.

    bfloat16 becomes float32. Dictionaries keep their order.

    Raises:
        ValueError: naming the file, where it is missing, no such file, cut short, compressed or refused.
    """
    try:
        with open(path, "rb") as file:
            if zipfile.is_zipfile(file):
                return _load_zip(file)
            file.seek(0)
            return _load_legacy(file)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    except Refused as error:
        raise ValueError(f"{path} is not read: it {error}; save its state dict alone (torch.save)") from error
    except (pickle.UnpicklingError, zipfile.BadZipFile, EOFError, struct.error) as error:
        raise ValueError(f"{path} is no PyTorch file of weights, or is cut short: {error}") from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError, MemoryError) as error:
        # What a pickle that is nonsense makes the unpickler stumble over.
        raise ValueError(f"{path} is no PyTorch file of weights: {error!r}") from error


def _load_zip(file: BinaryIO) -> Any:
    with zipfile.ZipFile(file) as archive:
        entries = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        if "data.pkl" not in entries:
            raise Refused("is a zip archive without data.pkl")
        if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
            raise Refused("is compressed, which PyTorch never does")
        if "byteorder" in entries and archive.read(entries["byteorder"]) != b"little":
            raise Refused("is of a big-endian machine")
        with archive.open(entries["data.pkl"]) as pickled:
            unpickler = _Unpickler(pickled)
            content = unpickler.load()
        memory = {s: _typed(archive.read(entries[f"data/{s.key}"]), s, n) for s, n in unpickler.numel.items()}
    return _resolve(content, memory)


def _load_legacy(file: BinaryIO) -> Any:
    if _Unpickler(file).load() != MAGIC:
        raise Refused("does not begin as a PyTorch file does")
    _Unpickler(file).load()  # the protocol's version
    _Unpickler(file).load()  # the machine's sizes and byte order, little-endian wherever PyTorch runs
    unpickler = _Unpickler(file)
    content = unpickler.load()
    by_key = {storage.key: (storage, numel) for storage, numel in unpickler.numel.items()}
    memory = {}
    for key in _Unpickler(file).load():
        storage, numel = by_key[key]
        (written,) = struct.unpack("<q", file.read(8))
        if written != numel:
            raise Refused(f"says {numel} and {written} values of one storage")
        memory[storage] = _typed(file.read(numel * _itemsize(storage)), storage, numel)
    return _resolve(content, memory)


def _itemsize(storage: Storage) -> int:
    return 2 if storage.dtype == BFLOAT16 else np.dtype(storage.dtype).itemsize


def _typed(data: bytes, storage: Storage, numel: int) -> np.ndarray:
    if len(data) < numel * _itemsize(storage):
        raise Refused(f"has {len(data)} bytes where {numel} values of {storage.dtype} belong")
    if storage.dtype == BFLOAT16:
        return (np.frombuffer(data, "<u2", numel).astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, storage.dtype, numel)


def _resolve(content: Any, memory: dict[Storage, np.ndarray]) -> Any:
    """`content` with its references replaced by arrays of their own."""
    if isinstance(content, TensorReference):
        flat = memory[content.storage][content.offset :]
        strides = tuple(stride * flat.itemsize for stride in content.strides)
        return np.lib.stride_tricks.as_strided(flat, content.shape, strides).copy()
    if isinstance(content, dict):
        return {key: _resolve(value, memory) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_resolve(value, memory) for value in content)
    return content
