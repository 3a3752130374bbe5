"""Damaged files of networks: a value or one clear error, within bounded memory; longer: benchmarks/fuzz.py."""

import time

import keras
import pytest
from fuzzing import memory_limit
from model_files import KINDS

if keras.config.backend() != "tensorflow":
    pytest.skip("files of networks are read alike on every backend", allow_module_level=True)

EXAMPLES = {".pth": 400, ".tflite": 300, ".keras": 60, ".preset-config": 60, ".preset-weights": 30}
MEMORY = 2**30
"""Bytes; the files have some thousand, and TensorFlow takes what it likes for its threads."""
LONGEST = 40
"""Seconds for one."""


def test_every_kind_is_tried():
    assert set(EXAMPLES) == set(KINDS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", KINDS)
def test_a_damaged_file_is_a_value_or_one_clear_error(tmp_path, ending):
    kind, path, read = KINDS[ending], tmp_path / f"c{ending}", set()
    for content in kind.seeds():
        kind.put(path, content)
        assert kind.try_to_read(path)
    with memory_limit(MEMORY):
        for number in range(EXAMPLES[ending]):
            kind.put(path, kind.damaged(number))
            start = time.monotonic()
            read.add(kind.try_to_read(path))
            assert time.monotonic() - start < LONGEST, number
    assert False in read
