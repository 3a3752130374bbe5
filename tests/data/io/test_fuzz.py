"""Damaged files of every format: a cloud or one clear error, within bounded memory; longer: benchmarks/fuzz.py."""

import os
from datetime import timedelta

import pytest
from fuzzing import EXTENSIONS, inputs, memory_limit, seeds, try_to_read
from hypothesis import HealthCheck, Phase, given, settings

from keras_wcd.data.io.formats import MESH_READERS, READERS

EXAMPLES = 300
MEMORY = 2**29
"""Bytes; the files have a few thousand."""


def test_every_format_is_fuzzed():
    assert set(EXTENSIONS) == set(READERS) | set(MESH_READERS)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_damaged_file_is_a_cloud_or_one_clear_error(tmp_path_factory, extension):
    path = tmp_path_factory.mktemp("fuzz") / f"c{extension}"
    read = []
    if not seeds(extension):
        pytest.skip(f"nothing is installed that writes {extension} files")
    for content in seeds(extension):
        path.write_bytes(content)
        assert try_to_read(path)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=timedelta(seconds=20),
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(extension))
    def run(content):
        path.write_bytes(content)
        read.append(try_to_read(path))

    with memory_limit(MEMORY):
        run()
    assert len(read) >= EXAMPLES
    assert len(set(read)) == 2
    assert os.listdir(path.parent) == [path.name]
