"""Damaged files of networks: a value or one clear error, within bounded memory; longer: benchmarks/fuzz.py."""

from datetime import timedelta

import keras
import pytest
from fuzzing import memory_limit
from hypothesis import HealthCheck, Phase, given, settings
from model_files import KINDS, inputs, try_to_read

if keras.config.backend() != "tensorflow":
    pytest.skip("files of networks are read alike on every backend", allow_module_level=True)

EXAMPLES = {".pth": 400, ".tflite": 300, ".keras": 60, ".preset-config": 60, ".preset-weights": 30}
MEMORY = 2**30
"""Bytes; the files have some thousand, and TensorFlow takes what it likes for its threads."""


def test_every_kind_is_tried():
    assert set(EXAMPLES) == set(KINDS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", KINDS)
def test_a_damaged_file_is_a_value_or_one_clear_error(tmp_path, ending):
    kind, path, read = KINDS[ending], tmp_path / f"c{ending}", []
    for content in kind.seeds():
        kind.put(path, content)
        assert try_to_read(kind, path)

    @settings(
        max_examples=EXAMPLES[ending],
        derandomize=True,
        database=None,
        deadline=timedelta(seconds=40),
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(kind))
    def run(content):
        kind.put(path, content)
        read.append(try_to_read(kind, path))

    with memory_limit(MEMORY):
        run()
    assert len(read) >= EXAMPLES[ending]
    assert False in read
