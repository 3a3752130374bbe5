"""LiteRT files: the same answers, builtin operators only, metadata, and clear refusals."""

import os
import subprocess
import sys
import tempfile

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("litert_quantizer")
if keras.config.backend() != "tensorflow":
    pytest.skip("export is TensorFlow's", allow_module_level=True)

import export_models
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from export_models import POINTS

import keras_wcd
from keras_wcd import export
from keras_wcd.export.tflite import QUANTIZATIONS
from keras_wcd.losses.hyper import HyperCD


@pytest.fixture(scope="module")
def model():
    return export_models.little()


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """A file of the little model for each quantization."""
    folder = tmp_path_factory.mktemp("tflite")
    calibration = export_models.clouds(20, seed=1)
    return {q: export.to_tflite(model, folder / f"{q}.tflite", q, calibration, POINTS) for q in QUANTIZATIONS}


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_answers_as_the_model_does(files, model, quantization):
    report = export.verify(model, files[quantization], export_models.clouds(4))
    assert report.clouds == 4
    assert report.largest_distance <= report.tolerance


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_takes_and_gives_float32_clouds(files, quantization):
    interpreter = Interpreter(model_path=str(files[quantization]))
    (points,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (points["dtype"], tuple(points["shape"])) == (np.float32, (1, POINTS, 3))
    assert (answer["dtype"], tuple(answer["shape"])) == (np.float32, (1, 64, 3))
    assert interpreter.get_signature_list()["serving_default"]["inputs"] == ["points"]


def test_quantization_shrinks_the_weights(files):
    size = {quantization: path.stat().st_size for quantization, path in files.items()}
    assert size["float16"] < 0.6 * size[None]
    assert max(size["dynamic"], size["int8"]) < 0.4 * size[None]
    assert size["dynamic4"] < size["dynamic"]


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_lists_the_operators_of_the_file_as_the_interpreter_does(files, quantization):
    path = files[quantization]
    interpreter = Interpreter(
        model_path=str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    expected = {op["op_name"] for op in interpreter._get_ops_details()}
    assert set(export.operators(path)) == expected
    assert ("QUANTIZE" in expected) == (quantization == "int8")


def test_carries_its_metadata(files):
    for quantization, path in files.items():
        record = export.runtime.read_metadata(path)
        assert record["quantization"] == quantization
        assert (record["points_in"], record["points_out"]) == (POINTS, 64)
        assert record["version"] == keras_wcd.__version__
        assert (record["backbone"], record["name"], record["loss"]) == ("Functional", "little", None)
        assert record["normalization"]["rule"] == "partial"
        assert record["frame"]["diagonal"] == 1


def test_normalization_is_that_of_the_networks(files):
    from keras_wcd import frames

    assert export.runtime.read_metadata(files[None])["normalization"]["seen"] == frames.SEEN


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("mse", "mse"), (HyperCD(alpha=5.0), {"class": "HyperCD", "alpha": 5.0}), ([None, "mse"], [None, "mse"])],
)
def test_names_a_compiled_loss(tmp_path, loss, expected):
    model = export_models.little()
    model.compile(loss=loss)
    found = export.runtime.read_metadata(export.to_tflite(model, tmp_path / "m.tflite", num_points=POINTS))["loss"]
    if isinstance(expected, dict):
        found = {"class": found["class"], "alpha": found["config"]["alpha"]}
    assert found == expected


@pytest.mark.parametrize("quantization", [None, "float16", "dynamic"])
def test_a_loop_of_farthest_points_and_a_neighbor_search_are_builtin(tmp_path, quantization):
    model = export_models.Grouping()
    path = export.to_tflite(model, tmp_path / "m.tflite", quantization, num_points=POINTS)
    assert {"WHILE", "GATHER", "TOPK_V2", "GELU"} <= set(export.operators(path))
    assert export.verify(model, path, export_models.clouds(2)).largest_distance < 1e-3


@pytest.mark.parametrize("calibration", [None, []])
def test_int8_asks_for_calibration(model, tmp_path, calibration):
    with pytest.raises(ValueError, match="calibration must hold clouds"):
        export.to_tflite(model, tmp_path / "m.tflite", "int8", calibration, POINTS)


def test_calibration_takes_clouds_of_any_size_in_any_grouping(model, tmp_path):
    batch = export_models.clouds(3)
    for calibration in (batch[0], batch, [batch, batch[0, :10]], (cloud for cloud in batch)):
        export.to_tflite(model, tmp_path / "m.tflite", "int8", calibration, POINTS)
    with pytest.raises(ValueError, match="calibration, cloud 2.*finite"):
        export.to_tflite(model, tmp_path / "m.tflite", "int8", [batch[0], batch[1] * np.nan], POINTS)


def test_names_an_operator_that_is_not_builtin(tmp_path):
    with pytest.raises(ValueError, match="not have builtin: tf.MaxPool3D"):
        export.to_tflite(export_models.Pooling3D(), tmp_path / "m.tflite", num_points=POINTS)
    assert not list(tmp_path.iterdir())


def test_names_a_call_to_the_host(tmp_path):
    with pytest.raises(ValueError, match="PyFunc"):
        export.to_tflite(export_models.OnTheHost(), tmp_path / "m.tflite", num_points=8)


def test_refuses_a_model_whose_answer_is_no_cloud(tmp_path):
    cloud = keras.Input((POINTS, 3))
    model = keras.Model(cloud, keras.layers.Flatten()(cloud), name="flat")
    with pytest.raises(ValueError, match=r"model 'flat' must return a cloud.*shape \(1, 288\)"):
        export.to_tflite(model, tmp_path / "m.tflite", num_points=POINTS)


def test_refuses_a_model_of_half_precision(tmp_path):
    cloud = keras.Input((POINTS, 3))
    model = keras.Model(cloud, keras.layers.Dense(3, dtype="mixed_float16")(cloud))
    with pytest.raises(ValueError, match="computes in float16.*float32 policy"):
        export.to_tflite(model, tmp_path / "m.tflite", num_points=POINTS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantization": "int4"}, "quantization must be one of .*'int4'"),
        ({"num_points": 7}, f"num_points is 7, but model 'little' takes {POINTS}"),
        ({"num_points": 0}, "num_points must be a positive integer, got 0"),
        ({"path": "nowhere/m.tflite"}, "folder that does not exist: 'nowhere'"),
        ({"path": "."}, "is a folder"),
        ({"path": "m.onnx"}, "m.onnx: a LiteRT file is called .tflite"),
        ({"path": "-"}, "a LiteRT file is called .tflite"),
        ({"model": "weights.h5"}, "model must be a keras.Model, got str"),
    ],
)
def test_refuses_wrong_arguments(model, tmp_path, arguments, message):
    given = {"model": model, "path": tmp_path / "m.tflite", "num_points": POINTS, **arguments}
    with pytest.raises(ValueError, match=message):
        export.to_tflite(**given)
    assert not list(tmp_path.iterdir())


def test_a_failed_export_leaves_the_old_file(tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"old")
    with pytest.raises(ValueError, match="MaxPool3D"):
        export.to_tflite(export_models.Pooling3D(), tmp_path / "m.tflite", num_points=POINTS)
    assert (tmp_path / "m.tflite").read_bytes() == b"old"


def test_converts_in_silence_and_leaves_no_temporary_files(model, tmp_path, capfd, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    export.to_tflite(model, tmp_path / "m.tflite", num_points=POINTS)
    assert not list((tmp_path / "temporary").iterdir())
    assert capfd.readouterr() == ("", "")


def test_another_backend_is_told_to_use_tensorflow(tmp_path):
    pytest.importorskip("jax")
    program = (
        "import keras, keras_wcd.export as export\n"
        "cloud = keras.Input((8, 3))\n"
        f"export.to_tflite(keras.Model(cloud, cloud), {str(tmp_path / 'm.tflite')!r}, num_points=8)"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "set KERAS_BACKEND=tensorflow" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("content", [b"", b"no model", bytes(4) + b"TFL3", b"\xff" * 4 + b"TFL3" + bytes(100)])
def test_operators_of_a_damaged_file_are_refused(tmp_path, content):
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(ValueError, match="m.tflite.* is not a LiteRT model"):
        export.operators(tmp_path / "m.tflite")


def test_operators_of_a_missing_file_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        export.operators(tmp_path / "m.tflite")
