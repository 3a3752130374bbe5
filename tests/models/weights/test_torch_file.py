"""Reading `.pth` files without running what they hold."""

import collections
import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from keras_wcd.models.weights import torch_file


class Evil:
    def __reduce__(self):
        return os.system, ("touch owned",)


class EvilEval:
    def __reduce__(self):
        return eval, ("1 + 1",)


class Reference:
    def __init__(self, *parts):
        self.parts = parts


class Writer(pickle.Pickler):
    """Writes references as PyTorch does, so that files can be made where it is not installed."""

    def persistent_id(self, value):
        return value.parts if isinstance(value, Reference) else None


def pickled(value):
    buffer = io.BytesIO()
    Writer(buffer, 2).dump(value)
    return buffer.getvalue()


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


@pytest.fixture
def values():
    return np.arange(12, dtype="float32")


def test_reads_a_file_written_by_hand(tmp_path, values):
    path = archive(tmp_path / "a.pth", state_of(tensor("0", 12, 2, (2, 3), (1, 3))), {"0": values.tobytes()})
    found = torch_file.load(path)["x"]
    np.testing.assert_array_equal(found, np.array([[2, 5, 8], [3, 6, 9]]))
    found[0] = 0  # an array of its own


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_reads_what_pytorch_writes(tmp_path, legacy):
    torch = pytest.importorskip("torch")
    rng = torch.Generator().manual_seed(0)
    base = torch.randn(4, 6, generator=rng)
    state = collections.OrderedDict(
        plain=base,
        transposed=base.T,
        sliced=base[1:3, ::2],
        parameter=torch.nn.Parameter(torch.randn(3, generator=rng)),
        scalar=torch.tensor(7),
        double=torch.randn(2, dtype=torch.float64, generator=rng),
        half=torch.randn(5, generator=rng).half(),
        brain=torch.randn(5, generator=rng).bfloat16(),
        mask=torch.tensor([True, False]),
        empty=torch.zeros(0, 3),
    )
    state._metadata = {"": {"version": 1}}
    saved = {
        "epoch": 3,
        "best": np.float64(0.25),
        "lr": [1e-3, None, "cosine"],
        "size": base.shape,
        "milestones": collections.Counter([50, 100]),
        "base_model": state,
    }
    torch.save(saved, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    found = torch_file.load(tmp_path / "a.pth")
    assert found["epoch"] == 3
    assert found["best"] == 0.25
    assert found["lr"] == [1e-3, None, "cosine"]
    assert tuple(found["size"]) == (4, 6)
    assert list(found["base_model"]) == list(state)
    for name, expected in state.items():
        array = found["base_model"][name]
        expected = expected.detach()
        expected = (expected.float() if expected.dtype == torch.bfloat16 else expected).numpy()
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("evil", [Evil(), EvilEval(), {"state_dict": [1, Evil()]}], ids=["system", "eval", "nested"])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_refuses_a_file_that_calls_a_function_and_does_not_call_it(tmp_path, monkeypatch, evil, legacy):
    monkeypatch.chdir(tmp_path)
    if legacy:
        parts = [torch_file.MAGIC, 1001, {"little_endian": True}, evil]
        (tmp_path / "a.pth").write_bytes(b"".join(pickle.dumps(part, 2) for part in parts))
    else:
        archive(tmp_path / "a.pth", pickle.dumps(evil, 2), {})
    with pytest.raises(ValueError, match=r"a\.pth is not read: it names .*(system|eval)"):
        torch_file.load(tmp_path / "a.pth")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "name",
    ["builtins\ngetattr", "os\nsystem", "torch\nload", "torch._utils\n__builtins__", "numpy\nload", "torch.hub\nload"],
)
def test_refuses_every_other_name(tmp_path, name):
    archive(tmp_path / "a.pth", b"\x80\x02c" + name.encode() + b"\n.", {})
    with pytest.raises(ValueError, match="which a file of weights does not need"):
        torch_file.load(tmp_path / "a.pth")


def test_state_that_a_file_sets_changes_nothing_of_the_reader(tmp_path):
    # BUILD with a (dict, slots) pair would set attributes of what the names stand for.
    for name in ("collections\nOrderedDict", "torch._utils\n_rebuild_tensor_v2", "numpy\ndtype", "torch\nSize"):
        before = dict(vars(torch_file.Dictionary)), dict(vars(torch_file._Unpickler)), dict(vars(torch_file.NumpyType))
        source = b"\x80\x02c" + name.encode() + b"\n}(U\x08__call__K\x01U\x04sizeK\x02u}(U\x04sizeK\x02u\x86b."
        archive(tmp_path / "a.pth", source, {})
        with pytest.raises(ValueError, match="PyTorch file|is not read"):
            torch_file.load(tmp_path / "a.pth")
        after = dict(vars(torch_file.Dictionary)), dict(vars(torch_file._Unpickler)), dict(vars(torch_file.NumpyType))
        assert before == after


@pytest.mark.parametrize(
    ("numel", "offset", "shape", "strides"),
    [
        (12, 0, (13,), (1,)),
        (12, 6, (7,), (1,)),
        (12, 0, (3, 3), (6, 1)),
        (12, -1, (3,), (1,)),
        (12, 0, (3,), (-1,)),
        (12, 0, (10_000, 10_000), (0, 0)),
        (1000, 0, (1000,), (1,)),
    ],
)
def test_refuses_tensors_that_reach_beyond_their_storage(tmp_path, values, numel, offset, shape, strides):
    source = state_of(tensor("0", numel, offset, shape, strides))
    archive(tmp_path / "a.pth", source, {"0": values.tobytes()})
    with pytest.raises(ValueError, match=r"a\.pth"):
        torch_file.load(tmp_path / "a.pth")


def test_refuses_a_compressed_archive(tmp_path, values):
    source = state_of(tensor("0", 12, 0, (12,), (1,)))
    archive(tmp_path / "a.pth", source, {"0": values.tobytes()}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="compressed"):
        torch_file.load(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\x80\x02.", b"PK\x03\x04" + bytes(40), pickle.dumps([1, 2]), b"\x80\x02}q\x00.", bytes(1000)],
)
def test_other_files_are_named(tmp_path, data):
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.pth"):
        torch_file.load(tmp_path / "a.pth")


def test_a_file_cut_short_at_any_place_is_named(tmp_path):
    torch = pytest.importorskip("torch")
    for legacy in (False, True):
        torch.save({"x": torch.arange(64.0)}, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
        whole = (tmp_path / "a.pth").read_bytes()
        for length in range(0, len(whole) - 1, 37):
            (tmp_path / "b.pth").write_bytes(whole[:length])
            with pytest.raises(ValueError, match=r"b\.pth"):
                torch_file.load(tmp_path / "b.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.pth cannot be read"):
        torch_file.load(tmp_path / "none.pth")
