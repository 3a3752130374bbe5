"""Damaged files of every format: a cloud or one clear error, within bounded memory; longer: benchmarks/fuzz.py."""

import os
import time

import pytest
from fuzzing import KINDS, memory_limit

from keras_wcd.data.io.formats import MESH_READERS, READERS

EXAMPLES = 300
MEMORY = 2**29
"""Bytes; the files have a few thousand."""
LONGEST = 20
"""Seconds for one."""


def test_every_format_is_fuzzed():
    assert set(KINDS) == set(READERS) | set(MESH_READERS)


@pytest.mark.parametrize("extension", KINDS)
def test_a_damaged_file_is_a_cloud_or_one_clear_error(tmp_path, extension):
    kind, path, read = KINDS[extension], tmp_path / f"c{extension}", set()
    if not kind.seeds():
        pytest.skip(f"nothing is installed that writes {extension} files")
    for content in kind.seeds():
        path.write_bytes(content)
        assert kind.try_to_read(path)
    with memory_limit(MEMORY):
        for number in range(EXAMPLES):
            path.write_bytes(kind.damaged(number))
            start = time.monotonic()
            read.add(kind.try_to_read(path))
            assert time.monotonic() - start < LONGEST, number
    assert read == {True, False}
    assert os.listdir(tmp_path) == [path.name]


def test_the_damage_of_a_number_is_always_the_same():
    kind = KINDS[".ply"]
    assert [kind.damaged(k) for k in range(20)] == [kind.damaged(k) for k in range(20)]
    assert len({kind.damaged(k) for k in range(200)}) > 190
