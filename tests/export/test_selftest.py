"""A file proves itself: its checksum, and the network's own answer to a cloud that a rule draws."""

import base64
import hashlib
import json
import math
import subprocess
import sys

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow")
if keras.config.backend() != "tensorflow":
    pytest.skip("export is TensorFlow's", allow_module_level=True)

import export_models
from ai_edge_litert import schema_py_generated as schema
from export_models import POINTS

from keras_wcd import export
from keras_wcd.export import metadata, proof, runtime
from keras_wcd.export.tflite import QUANTIZATIONS

FLIPS = 40


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    return export_models.little()


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    folder, calibration = tmp_path_factory.mktemp("selftest"), export_models.clouds(20, seed=1)
    return {
        q: export.to_tflite(model, folder / f"{q}.tflite", q, calibration if q == "int8" else None, POINTS)
        for q in QUANTIZATIONS
    }


def as_earlier_versions_wrote(path, target):
    """The file with the record that earlier versions wrote: neither checksum nor proof."""
    record = {k: v for k, v in runtime.read_metadata(path).items() if k not in ("proof", "sha256")} | {"format": 1}
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    for entry in model.metadata:
        if entry.name == b"keras_wcd":
            model.buffers[entry.buffer].data = np.frombuffer(json.dumps(record).encode(), np.uint8)
    import flatbuffers

    builder = flatbuffers.Builder(2**16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    target.write_bytes(bytes(builder.Output()))
    return target


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_every_file_passes_its_own_test(files, quantization):
    assert "checksum and answer are right" in runtime.selftest(files[quantization])


def test_the_stored_answer_is_that_of_the_network(files, model):
    for quantization, path in files.items():
        held = runtime.read_metadata(path)["proof"]
        rows = np.frombuffer(base64.b64decode(held["rows"]), "<f4").reshape(-1, 3)
        expected = keras.ops.convert_to_numpy(model(runtime.drawn_cloud(POINTS)[None], training=False)[-1])[0]
        np.testing.assert_allclose(rows, expected, atol=1e-6)
        assert held["diagonal"] == pytest.approx(math.dist(expected.min(0), expected.max(0)))
        assert held["tolerance"] == proof.TOLERANCES[quantization] * max(1, held["diagonal"])


def test_the_checksum_is_that_of_all_other_bytes(files):
    content = files[None].read_bytes()
    written = runtime.read_metadata(files[None])["sha256"]
    place = content.index(written.encode())
    blank = content[:place] + b"0" * 64 + content[place + 64 :]
    assert hashlib.sha256(blank).hexdigest() == written


def test_a_flipped_bit_anywhere_is_caught(files, tmp_path):
    content, rng = files[None].read_bytes(), np.random.default_rng(0)
    for place in rng.integers(8, len(content), FLIPS):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        (tmp_path / "m.tflite").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"m\.tflite"):
            runtime.selftest(tmp_path / "m.tflite")


def test_a_flipped_bit_of_a_weight_is_said_to_be_damage(files, tmp_path):
    content = files[None].read_bytes()
    model = schema.Model.GetRootAs(content)
    largest = max(range(model.BuffersLength()), key=lambda i: model.Buffers(i).DataLength())
    weights = model.Buffers(largest).DataAsNumpy().tobytes()
    damaged = bytearray(content)
    damaged[content.index(weights) + 1001] ^= 1
    (tmp_path / "m.tflite").write_bytes(damaged)
    runtime.complete(tmp_path / "m.tflite", export_models.clouds(1)[0])
    with pytest.raises(ValueError, match=r"m\.tflite' is damaged: its SHA-256"):
        runtime.selftest(tmp_path / "m.tflite")


BROKEN = {
    "zeros": lambda answer: np.zeros_like(answer),
    "one point": lambda answer: np.broadcast_to(answer[:1], answer.shape),
    "nothing finite": lambda answer: np.full_like(answer, np.nan),
    "another scale": lambda answer: 3 * answer,
    "moved": lambda answer: answer + np.float32(0.5),
    "half of it": lambda answer: np.concatenate([answer[: len(answer) // 2]] * 2),
}


@pytest.mark.parametrize(
    ("kind", "quantization"),
    # What eight bits do may look like the last.
    [(k, q) for k in BROKEN for q in QUANTIZATIONS if k != "half of it" or q in (None, "float16")],
)
def test_a_runtime_that_computes_wrongly_is_caught(files, monkeypatch, quantization, kind):
    right = runtime.Model.__call__
    monkeypatch.setattr(runtime.Model, "__call__", lambda self, points: BROKEN[kind](right(self, points)))
    with pytest.raises(ValueError, match="does not compute here what the network does"):
        runtime.selftest(files[quantization])


def test_verify_holds_a_file_to_it(files, model, tmp_path):
    record = runtime.read_metadata(files[None])
    record["proof"]["rows"] = base64.b64encode(np.ones((64, 3), "<f4").tobytes()).decode()
    plain = as_earlier_versions_wrote(files[None], tmp_path / "plain.tflite").read_bytes()
    (tmp_path / "m.tflite").write_bytes(metadata.embed(without_record(plain), record))
    with pytest.raises(ValueError, match="does not compute here what the network does"):
        export.verify(model, tmp_path / "m.tflite", export_models.clouds(1))


def without_record(content):
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    model.metadata = [entry for entry in model.metadata if entry.name != b"keras_wcd"]
    import flatbuffers

    builder = flatbuffers.Builder(2**16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_files_of_earlier_versions_run_and_say_that_they_have_none(files, model, tmp_path):
    old = as_earlier_versions_wrote(files[None], tmp_path / "old.tflite")
    scan = export_models.clouds(1)[0]
    np.testing.assert_array_equal(runtime.complete(old, scan), runtime.complete(files[None], scan))
    export.verify(model, old, scan)
    with pytest.raises(ValueError, match=r"old\.tflite' holds no self-test .*export it again"):
        runtime.selftest(old)


def test_the_drawn_cloud_is_defined_to_the_bit():
    x, expected = 1, []
    for i in range(50):
        row = []
        for axis in range(3):
            x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
            value = 1.0 if axis == i % 3 else math.floor(x / 256) / 16777216
            row.append((value - 0.5) * (0.75, 0.375, 0.25)[axis])
        expected.append(row)
    np.testing.assert_array_equal(runtime.drawn_cloud(50), np.array(expected, np.float32))
    assert runtime.drawn_cloud(2048)[:50].tobytes() == runtime.drawn_cloud(50).tobytes()


def test_a_network_that_selects_points_is_allowed_what_rounding_does(tmp_path):
    cloud = keras.Input((POINTS, 3))
    model = keras.Model(cloud, keras.layers.Lambda(lambda x: keras.ops.sin(1e5 * x))(cloud))
    held = proof.proof(model, POINTS, None)
    assert 0.1 < held["tolerance"] < 1


def test_an_answer_that_is_not_finite_is_not_exported(tmp_path):
    model = export_models.little()
    model.layers[-2].bias.assign(np.full(192, np.nan))
    with pytest.raises(ValueError, match="'little' answers .* not finite"):
        export.to_tflite(model, tmp_path / "m.tflite", num_points=POINTS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("kind", "code", "said"), [("whole", 0, "are right"), ("missing", 1, "no such file")])
def test_the_shell_says_so_in_one_line(files, tmp_path, kind, code, said):
    path = files[None] if kind == "whole" else tmp_path / "none.tflite"
    command = [sys.executable, runtime.__file__, "--selftest", str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    lines = (done.stderr if code else done.stdout).splitlines()
    assert len(lines) == 1
    assert said in lines[0]
