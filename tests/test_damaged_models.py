"""Damaged files of networks: a value or one clear error, within bounded memory; longer: benchmarks/fuzz.py."""

import struct
import subprocess
import sys
import time

import keras
import pytest
from fuzzing import memory_limit
from model_files import KINDS, tflites

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


@pytest.mark.parametrize("field", range(8))
def test_a_model_that_lacks_a_part_does_not_end_the_process(tmp_path, field):
    # LiteRT follows a part that is not there to nowhere; in a process of its own, for that would end this one.
    data = bytearray(tflites()[0])
    (root,) = struct.unpack_from("<I", data)
    table = root - struct.unpack_from("<i", data, root)[0]
    if 4 + 2 * field >= struct.unpack_from("<H", data, table)[0]:
        pytest.skip("no such part in this file")
    struct.pack_into("<H", data, table + 4 + 2 * field, 0)
    (tmp_path / "a.tflite").write_bytes(data)
    code = (
        "import sys\nfrom keras_wcd.export import runtime\ntry:\n    runtime.read_metadata(sys.argv[1])\n"
        "except ValueError as error:\n    assert sys.argv[1] in str(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.tflite")], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-300:]


def test_a_model_without_a_graph_is_refused_by_name(tmp_path):
    from keras_wcd.export import runtime

    path = tmp_path / "a.tflite"
    for content in (b"", b"TFL3", bytes(100), b"\xff" * 100):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="a.tflite.*damaged"):
            runtime.read_metadata(path)
