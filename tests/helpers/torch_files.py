"""Writes `.pth` files as PyTorch does, in both of its formats, where it is not installed."""

import collections
import contextlib
import io
import pickle
import struct
import sys
import time
import types
import zipfile

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {"f8": "Double", "f4": "Float", "f2": "Half", "i8": "Long", "i4": "Int", "u1": "Byte", "b1": "Bool"}


class Tensor:
    """A view of a flat array, as `torch.Tensor` is one of a storage."""

    def __init__(self, values, shape=None, strides=None, offset=0):
        self.values, self.offset = values if values.ndim == 1 else values.reshape(-1), offset
        self.shape = values.shape if shape is None else shape
        self.strides = contiguous(self.shape) if strides is None else strides


def contiguous(shape):
    """Strides in values."""
    return tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))


@contextlib.contextmanager
def stand_ins():
    """Modules by the names that PyTorch pickles, for as long as the pickle is written."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2():
        pass

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    for name in STORAGES.values():
        setattr(torch, f"{name}Storage", type(f"{name}Storage", (), {"__module__": "torch"}))
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        yield torch, utils
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class Pickler(pickle.Pickler):
    """PyTorch's: tensors by a function of storages, storages by reference."""

    def __init__(self, file, torch, utils, legacy):
        super().__init__(file, 2)
        self.torch, self.utils, self.legacy, self.storages = torch, utils, legacy, {}

    def persistent_id(self, value):
        if not isinstance(value, np.ndarray):
            return None
        known = {id(array): key for key, array in self.storages.items()}
        key = known.get(id(value), str(len(self.storages)))
        self.storages[key] = value
        kind = getattr(self.torch, f"{STORAGES[value.dtype.str[1:]]}Storage")
        return ("storage", kind, key, "cpu", value.size, *((None,) if self.legacy else ()))

    def reducer_override(self, value):
        if not isinstance(value, Tensor):
            return NotImplemented
        arguments = (value.values, value.offset, tuple(value.shape), tuple(value.strides), False)
        return self.utils._rebuild_tensor_v2, (*arguments, collections.OrderedDict())


def save(path, content, *, legacy=False):
    """`torch.save` of dictionaries and lists of `Tensor`."""
    stream = io.BytesIO()
    with stand_ins() as (torch, utils):
        pickler = Pickler(stream, torch, utils, legacy)
        pickler.dump(content)
    if legacy:
        header = (MAGIC, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}})
        parts = [pickle.dumps(part, 2) for part in header] + [stream.getvalue()]
        parts.append(pickle.dumps(list(pickler.storages), 2))
        parts += [struct.pack("<q", array.size) + array.tobytes() for array in pickler.storages.values()]
        path.write_bytes(b"".join(parts))
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        archive.writestr("archive/byteorder", "little")
        for key, array in pickler.storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())
    return path


def tensor(key, numel, offset, shape, strides):
    """Source of a pickle that rebuilds one float32 tensor: GLOBAL, arguments, REDUCE, by hand."""
    storage = pickle.GLOBAL + b"torch\nFloatStorage\n"
    reference = b"(" + b"U\x07storage" + storage + b"U" + bytes([len(key)]) + key.encode() + b"U\x03cpu"
    reference += b"J" + struct.pack("<i", numel) + b"tQ"

    def numbers(values):
        return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"

    ordered = b"ccollections\nOrderedDict\n)R"
    arguments = b"(" + reference + b"J" + struct.pack("<i", offset) + numbers(shape) + numbers(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"\x89" + ordered + b"tR"


def archive(path, data, storages, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", data)
        for key, values in storages.items():
            file.writestr(f"archive/data/{key}", values)
    return path


def state_of(source):
    """A pickled dict with one entry, x."""
    return b"\x80\x02}U\x01x" + source + b"s."


def reference(kind, key, numel):
    """Source of a reference to a storage."""
    head = b"(U\x07storagectorch\n" + kind.encode() + b"Storage\nU" + bytes([len(key)]) + key.encode()
    return head + b"U\x03cpuJ" + struct.pack("<i", numel) + b"tQ"


@contextlib.contextmanager
def seconds(limit):
    """No more than that many of the processor."""
    began = time.process_time()
    yield
    assert time.process_time() - began < limit
