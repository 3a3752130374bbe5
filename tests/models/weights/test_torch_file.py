"""Reading `.pth` files without running what they hold."""

import collections
import contextlib
import io
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch_files
from torch_files import archive, reference, state_of, tensor

from keras_wcd.models.weights import convert, torch_file


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


NAMED = ("torch._utils\n_rebuild_tensor_v2", "numpy\ndtype", "torch\nSize", "collections\nOrderedDict")


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize(
    "state", [b"}U\x08__call__K\x01s", b"}U\x04sizeK\x02s}U\x04sizeK\x02s\x86"], ids=["dict", "slots"]
)
def test_state_that_a_file_sets_changes_nothing_of_the_reader(tmp_path, name, state):
    # BUILD would set attributes of what the names stand for.
    before = {key: dict(vars(value)) for key, value in vars(torch_file).items() if hasattr(value, "__dict__")}
    archive(tmp_path / "a.pth", b"\x80\x02c" + name.encode() + b"\n" + state + b"b.", {})
    with pytest.raises(ValueError, match=r"a\.pth is not read: it sets attributes"):
        torch_file.load(tmp_path / "a.pth")
    assert before == {key: dict(vars(torch_file)[key].__dict__) for key in before}


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


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_checkpoint_keeps_its_dictionaries_its_numbers_and_its_shared_storages(tmp_path, legacy):
    rng = np.random.default_rng(0)
    weight, flat = rng.normal(size=(4, 6)).astype("f4"), rng.normal(size=30)
    state = collections.OrderedDict(
        {
            "module.a.weight": torch_files.Tensor(weight),
            "module.a.turned": torch_files.Tensor(flat, (5, 4), (1, 6), 2),
            "module.b.weight": torch_files.Tensor(flat, (6,), (1,), 24),
            "module.n": torch_files.Tensor(np.array(7)),
            "module.empty": torch_files.Tensor(np.zeros((0, 3), "f2")),
        }
    )
    state._metadata = {"": {"version": 1}}
    saved = {"epoch": 3, "optimizer": {"state": {0: {"step": 5}}, "betas": (0.9, 0.999)}, "base_model": state}
    found = torch_file.load(torch_files.save(tmp_path / "a.pth", saved, legacy=legacy))
    assert found["epoch"] == 3
    assert found["optimizer"] == saved["optimizer"]
    assert list(found["base_model"]) == list(state)
    arrays = list(found["base_model"].values())
    turned = np.array([[flat[2 + i + 6 * j] for j in range(4)] for i in range(5)])
    for array, expected in zip(arrays, (weight, turned, flat[24:], np.array(7), np.zeros((0, 3), "f2")), strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_many_views_of_a_storage_take_its_memory_once(tmp_path, legacy):
    values = np.arange(2**18, dtype="f4")
    saved = {f"x{i}": torch_files.Tensor(values) for i in range(300)}
    saved["part"] = torch_files.Tensor(values, (9,), (2,), 5)
    path = torch_files.save(tmp_path / "a.pth", saved, legacy=legacy)
    tracemalloc.start()
    found = torch_file.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * path.stat().st_size
    assert len(found) == 301
    np.testing.assert_array_equal(found["x299"], values)
    assert np.shares_memory(found["x0"], found["x299"])
    np.testing.assert_array_equal(found["part"], values[5:23:2])


CLAIMS = {
    "an entry under every type": b"".join(reference(kind, "0", 12) for kind in ("Float", "Int")),
    "an entry of two lengths": reference("Float", "0", 12) + reference("Float", "0", 2),
    "storages of more bytes than the file": b"".join(reference("Byte", str(i), 400) for i in range(9)),
    "a storage without end": reference("Double", "0", 2**31 - 1),
    "a storage of negative length": reference("Double", "0", -1),
}


@pytest.mark.parametrize("source", CLAIMS.values(), ids=CLAIMS)
def test_storages_take_no_more_than_the_file_has(tmp_path, source):
    archive(tmp_path / "a.pth", b"\x80\x02]" + source + b".", {"0": bytes(400)})
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"a\.pth"):
        torch_file.load(tmp_path / "a.pth")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_tensor_that_is_checked_against_a_longer_storage_is_refused(tmp_path):
    # The storage's length is said anew after the tensor.
    source = state_of(tensor("0", 12, 0, (12,), (1,)))[:-2] + reference("Float", "0", 2) + b"0s."
    archive(tmp_path / "a.pth", source, {"0": bytes(48)})
    with pytest.raises(ValueError, match="twice, with different types or lengths"):
        torch_file.load(tmp_path / "a.pth")


def overlapping(path):
    """An archive whose entries are all the bytes of one."""
    archive(path, state_of(reference("Byte", "0", 4096)), {str(i): bytes(4096) for i in range(2)})
    content = bytearray(path.read_bytes())
    for place in range(content.index(b"PK\x01\x02"), len(content)):
        if content[place : place + 4] == b"PK\x01\x02":
            content[place + 20 : place + 28] = struct.pack("<II", 8000, 8000)
    path.write_bytes(content)


def flagged(path, where, value):
    """An archive that says of its entries that they are encrypted, or packed in a way nobody knows."""
    archive(path, state_of(reference("Byte", "0", 40)), {"0": bytes(40)})
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 2), (b"PK\x03\x04", 0)):
        place = content.find(mark)
        while place >= 0:
            content[place + where + offset : place + where + offset + 2] = struct.pack("<H", value)
            place = content.find(mark, place + 4)
    path.write_bytes(content)


ARCHIVES = {
    "overlapping": overlapping,
    "encrypted": lambda path: flagged(path, 6, 1),
    "of another version": lambda path: flagged(path, 4, 99),
    "packed by an unknown method": lambda path: flagged(path, 8, 77),
    "patched": lambda path: flagged(path, 6, 0x20),
    "without a storage": lambda path: archive(path, state_of(reference("Byte", "5", 40)), {"0": bytes(40)}),
}


@pytest.mark.parametrize("make", ARCHIVES.values(), ids=ARCHIVES)
def test_archives_that_zipfile_stumbles_over_are_named(tmp_path, make):
    make(tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth"):
        torch_file.load(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("shape", "strides"),
    [
        ((2**31 - 1, 2**31 - 1, 0), (1, 1, 1)),
        ((1,) * 99, (1,) * 99),
        ((2**31 - 1,) * 9, (0,) * 9),
        ((0, 2**31 - 1), (0, 0)),
    ],
)
def test_shapes_that_no_array_has_are_refused_or_empty(tmp_path, shape, strides):
    archive(tmp_path / "a.pth", state_of(tensor("0", 12, 0, shape, strides)), {"0": bytes(48)})
    found = np.zeros(0)
    with contextlib.suppress(ValueError):
        found = torch_file.load(tmp_path / "a.pth")["x"]
    assert found.size == 0


def test_a_dictionary_that_holds_itself_ends(tmp_path):
    # d["model"] = d
    path = archive(tmp_path / "a.pth", b"\x80\x02}q\x00U\x05modelh\x00s.", {})
    found = torch_file.load(path)
    assert found["model"] is found
    with pytest.raises(ValueError, match="no state dict"):
        convert.unwrap(found)


def test_numbers_beside_the_tensors_are_read(tmp_path):
    saved = {"best": np.float64(0.25), "steps": np.int32(-7), "flag": np.bool_(True), "big": np.dtype(">f4").type(1.5)}
    saved["milestones"] = collections.Counter([50, 100])
    archive(tmp_path / "a.pth", pickle.dumps(saved, 2), {})
    found = torch_file.load(tmp_path / "a.pth")
    assert found == {**saved, "milestones": {50: 1, 100: 1}}
