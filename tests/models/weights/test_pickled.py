"""Pickles that would take exponential time, endless memory, or more than they are given."""

import contextlib
import pickle
import struct
import tracemalloc

import pytest
from torch_files import archive, seconds, state_of, tensor

from keras_wcd.models.weights import pickled, torch_file

DEEP = 200


def nested(kind, depth=DEEP):
    """A pickle of lists or tuples, each of which holds the one inside it twice."""
    if kind == "list":
        return b"]q\x000" + b"]h\x00ah\x00aq\x000" * depth + b"h\x00"
    return b")q\x00" + b"h\x00\x86q\x00" * depth


@pytest.mark.parametrize("kind", ["list", "tuple"])
def test_values_that_are_shared_on_every_level_are_read_once(tmp_path, kind):
    archive(tmp_path / "a.pth", state_of(nested(kind)), {})
    with seconds(1):
        value = torch_file.load(tmp_path / "a.pth")["x"]
    for _ in range(DEEP):
        assert len(value) == 2
        assert value[0] is value[1]
        value = value[0]
    assert len(value) == 0


REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
PLACES = {
    "a key": b"\x80\x02}" + nested("tuple") + b"K\x01s.",
    "a member of a set": b"\x80\x04\x8f(" + nested("tuple") + b"\x90.",
    "a member of a frozen set": b"\x80\x04(" + nested("tuple") + b"\x91.",
    "a key of an OrderedDict": b"\x80\x02ccollections\nOrderedDict\n]" + nested("tuple") + b"K\x01\x86a\x85R.",
    "a shape": b"\x80\x02"
    + REBUILD
    + tensor("0", 12, 0, (), ())[len(REBUILD) :].split(b"tQ")[0]
    + b"tQK\x00"
    + nested("tuple")
    + b")tR.",
    "a reference": b"\x80\x02" + nested("tuple") + b"Q.",
    "a part of a reference": b"\x80\x02(U\x07storage" + nested("tuple") + b"K\x00U\x03cpuK\x01tQ.",
    "a dtype": b"\x80\x02cnumpy\ndtype\n" + nested("tuple") + b"\x85R.",
    "a number of a dtype": b"\x80\x02cnumpy.core.multiarray\nscalar\n" + nested("tuple") + b"h\x00\x86R.",
    "a size": b"\x80\x02ctorch\nSize\n" + nested("tuple") + b"R.",
    "a function": b"\x80\x02" + nested("tuple") + b")R.",
    "a state": b"\x80\x02" + nested("tuple") + nested("list") + b"b.",
    "a module": b"\x80\x04" + nested("tuple") + b"h\x00\x93.",
    "a text": b"\x80\x02c_codecs\nencode\n" + nested("tuple") + b"h\x00\x86R.",
}
"""Where a tuple of shared tuples would be hashed, compared or written out, in exponential time."""


@pytest.mark.parametrize("data", PLACES.values(), ids=PLACES)
def test_shared_tuples_are_neither_compared_nor_written_out(tmp_path, data):
    archive(tmp_path / "a.pth", data, {"0": bytes(48)})
    with seconds(1), pytest.raises(ValueError, match=r"a\.pth") as caught:
        torch_file.load(tmp_path / "a.pth")
    assert len(str(caught.value)) < len(str(tmp_path)) + 300


def test_a_file_is_not_read_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(pickled, "MAX_STEPS", 1000)
    archive(tmp_path / "a.pth", b"\x80\x02" + b"]" * 990 + b".", {})
    assert torch_file.load(tmp_path / "a.pth") == []
    archive(tmp_path / "a.pth", b"\x80\x02" + b"]" * 1000 + b".", {})
    with pytest.raises(ValueError, match="more than 1000 steps"):
        torch_file.load(tmp_path / "a.pth")


def test_whole_numbers_of_one_hash_do_not_make_a_dictionary_slow(tmp_path):
    keys = [pickle.dumps(i * (2**61 - 1), 2)[2:-1] for i in range(1, 20_000)]
    archive(tmp_path / "a.pth", b"\x80\x02}(" + b"".join(key + b"N" for key in keys) + b"u.", {})
    with seconds(2), pytest.raises(ValueError, match="names an entry of a dictionary by a int"):
        torch_file.load(tmp_path / "a.pth")


LENGTHS = {
    "text": b"\x8d" + struct.pack("<Q", 2**62) + b"a",
    "bytes": b"\x8e" + struct.pack("<Q", 2**40) + b"a",
    "a number": b"\x8b" + struct.pack("<i", 2**31 - 1) + b"a",
    "a place in the memo": b"Nr" + struct.pack("<I", 2**32 - 1),
    "digits": b"L" + b"9" * 2**20 + b"L\n",
}


@pytest.mark.parametrize("source", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_lengths_that_are_written_are_not_believed(tmp_path, source, legacy):
    path, tail = tmp_path / "a.pth", source + b"0."
    if legacy:
        parts = [torch_file.MAGIC, 1001, {"little_endian": True}]
        path.write_bytes(b"".join(pickle.dumps(part, 2) for part in parts) + b"\x80\x02]" + tail + b"\x80\x02].")
    else:
        archive(path, b"\x80\x02]" + tail, {})
    tracemalloc.start()
    with seconds(2), contextlib.suppress(ValueError):
        torch_file.load(path)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
