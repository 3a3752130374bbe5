"""SavedModel folders: what they answer, and what they refuse to overwrite."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow")
if keras.config.backend() != "tensorflow":
    pytest.skip("export is TensorFlow's", allow_module_level=True)

import export_models
import tensorflow as tf

from keras_wcd import export


def test_serves_the_last_cloud_for_any_batch(tmp_path):
    model, x = export_models.little(), export_models.clouds(3)
    export.to_saved_model(model, tmp_path / "model", num_points=export_models.POINTS)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    found = loaded.signatures["serving_default"](points=tf.constant(x))
    assert len(found) == 1
    np.testing.assert_allclose(next(iter(found.values())), model.predict(x, verbose=0)[-1], atol=1e-6)


def test_leaves_nothing_beside_the_folder(tmp_path):
    export.to_saved_model(export_models.little(), tmp_path / "model", num_points=export_models.POINTS)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_replaces_an_older_saved_model(tmp_path):
    for points in (32, export_models.POINTS):
        export.to_saved_model(export_models.little(points), tmp_path / "model", num_points=points)
    assert export.verify(export_models.little(), tmp_path / "model", export_models.clouds(1), tolerance=10).clouds == 1


def test_refuses_to_overwrite_any_other_folder(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years")
    with pytest.raises(ValueError, match="not a SavedModel folder"):
        export.to_saved_model(export_models.little(), tmp_path / "thesis", num_points=export_models.POINTS)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years"


def test_holds_no_call_to_the_host(tmp_path):
    model = export_models.Grouping()
    path = export.to_saved_model(model, tmp_path / "model", num_points=export_models.POINTS)
    assert b"PyFunc" not in (path / "saved_model.pb").read_bytes()
    assert export.verify(model, path, export_models.clouds(2)).largest_distance < 1e-6


def test_names_the_host_call_that_cannot_be_exported(tmp_path):
    with pytest.raises(ValueError, match="PyFunc"):
        export.to_saved_model(export_models.OnTheHost(), tmp_path / "model", num_points=8)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("m.onnx", "is the name of a file of ONNX"),
        ("m.tflite", "is the name of a file of LiteRT"),
        *((name, r"\.\w+ is no format of export") for name in ("m.keras", "m.pb", "chair.v2")),
    ],
)
def test_a_name_of_a_file_is_no_folder(tmp_path, name, wrong):
    with pytest.raises(ValueError, match=rf"{name}: {wrong}; give a .tflite or .onnx file, or a folder"):
        export.to_saved_model(export_models.little(), tmp_path / name, num_points=export_models.POINTS)
    assert not list(tmp_path.iterdir())


def test_a_version_is_a_name_of_a_folder(tmp_path):
    export.to_saved_model(export_models.little(), tmp_path / "chair.2", num_points=export_models.POINTS)
    assert (tmp_path / "chair.2" / "saved_model.pb").is_file()


def test_a_folder_that_takes_no_file_is_named_before_any_work(tmp_path, monkeypatch):
    def refused(dir):
        raise OSError(30, os.strerror(30), dir)

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    for write, name in ((export.to_saved_model, "m"), (export.to_tflite, "m.tflite")):
        with pytest.raises(PermissionError, match="takes no new file"):
            write(None, tmp_path / name)


def test_a_folder_opens_as_a_function_of_batches(tmp_path):
    from keras_wcd.export.savedmodel import open_saved_model

    model, x = export_models.little(), export_models.clouds(3)
    function, points = open_saved_model(
        export.to_saved_model(model, tmp_path / "model", num_points=export_models.POINTS)
    )
    assert points == export_models.POINTS
    np.testing.assert_allclose(function(x), model.predict(x, verbose=0)[-1], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "m.pb"], ".pb is no format of export; give a .tflite or .onnx file, or a folder"),
        (["-o", "m.onnx", "--quantization", "int8", "--calibration", "s"], "goes with a .tflite file"),
        (["-o", "m.tflite", "--quantization", "int8"], "--calibration FOLDER and --quantization int8 go together"),
        (["-o", "m.tflite", "--calibration", "s"], "--calibration FOLDER and --quantization int8 go together"),
        (["-o", "-"], "standard output"),
        (["-o", "none/m.tflite"], "folder that does not exist"),
        (["-o", "folder", "--quantization", "float16"], "goes with a .tflite file"),
        (["-o", "m.tflite"], "no.keras: there is no model"),
    ],
)
def test_a_mistake_in_the_shell_is_one_line_and_writes_nothing(tmp_path, monkeypatch, arguments, message):
    from click.testing import CliRunner

    from keras_wcd.cli import main

    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["export", "no.keras", *arguments])
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


SERVER = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "keras_wcd" not in repr(finder)]
import numpy as np
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
points = np.load(sys.argv[2])
answers = {name: loaded.signatures[name](points=points)["cloud"] for name in ("serve", "serving_default")}
answers["single"] = tf.concat([loaded.signatures["single"](points=cloud[None])["cloud"] for cloud in points], 0)
assert "keras_wcd" not in sys.modules
np.savez(sys.argv[3], **{name: answer.numpy() for name, answer in answers.items()})
"""
"""What a server of another program does, which may not even find this library."""


def test_is_served_by_tensorflow_alone(tmp_path):
    model, x = export_models.Grouping(), export_models.clouds(3)
    path = export.to_saved_model(model, tmp_path / "model", num_points=export_models.POINTS)
    np.save(tmp_path / "points.npy", x)
    files = [str(tmp_path / name) for name in ("points.npy", "answers.npz")]
    command = [sys.executable, "-c", SERVER, str(path), *files]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    found = np.load(files[1])
    assert sorted(found) == ["serve", "serving_default", "single"]
    for name in found:
        np.testing.assert_allclose(found[name], model(x)[-1], atol=1e-6)


def test_signatures_leave_the_batch_open_and_fix_it(tmp_path):
    path = export.to_saved_model(export_models.Grouping(), tmp_path / "model", num_points=export_models.POINTS)
    signatures = tf.saved_model.load(str(path)).signatures
    shapes = {name: signatures[name].structured_input_signature[1]["points"].shape.as_list() for name in signatures}
    assert shapes == {
        "serve": [None, 96, 3],
        "serving_default": [None, 96, 3],
        "single": [1, 96, 3],
    }
    assert signatures["single"].structured_outputs["cloud"].shape.as_list() == [1, 32, 3]


def test_a_model_bound_to_several_clouds_has_no_signature_of_one(tmp_path):
    cloud = keras.Input((export_models.POINTS, 3), batch_size=2)
    path = export.to_saved_model(keras.Model(cloud, 2 * cloud), tmp_path / "model", num_points=export_models.POINTS)
    signatures = tf.saved_model.load(str(path)).signatures
    assert sorted(signatures) == ["serve", "serving_default"]
    x = export_models.clouds(2)
    np.testing.assert_array_equal(signatures["serve"](points=tf.constant(x))["cloud"], 2 * x)


@pytest.mark.parametrize("name", ["model", "model.tflite"])
def test_a_trained_model_is_written_whatever_was_done_to_its_optimizer(tmp_path, name):
    model, x = export_models.little(), export_models.clouds(2)
    optimizer = keras.optimizers.Adam()
    optimizer.learning_rate = keras.optimizers.schedules.CosineDecay(1e-3, 10)
    model.compile(optimizer, loss=["mse", "mse"])
    model.fit(x, [x[:, :16], x[:, :64]], verbose=0)
    write = export.to_tflite if name.endswith(".tflite") else export.to_saved_model
    path = write(model, tmp_path / name, num_points=export_models.POINTS)
    assert model.optimizer is optimizer
    assert export.verify(model, path, x).largest_distance < 1e-5
    model.fit(x, [x[:, :16], x[:, :64]], verbose=0)
