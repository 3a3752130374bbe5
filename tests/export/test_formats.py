"""Two layers of a user's own model, written in every format and proved in each."""

import keras
import pytest

pytest.importorskip("tensorflow")
if keras.config.backend() != "tensorflow":
    pytest.skip("export is TensorFlow's", allow_module_level=True)
pytest.importorskip("litert_quantizer")
pytest.importorskip("tf2onnx")
pytest.importorskip("onnxruntime")

import export_models
from export_models import POINTS

from keras_wcd import export
from keras_wcd.export.tflite import QUANTIZATIONS

FORMATS = [
    *(pytest.param(f"{q}.tflite", q, id=f"tflite-{q}") for q in QUANTIZATIONS),
    pytest.param("m.onnx", None, id="onnx"),
    pytest.param("m", None, id="saved_model"),
]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    layers = [keras.Input((POINTS, 3)), keras.layers.Dense(32, "relu"), keras.layers.Dense(3)]
    return keras.Sequential(layers, name="mine")


@pytest.mark.parametrize(("name", "quantization"), FORMATS)
def test_a_model_of_two_layers_is_written_and_proved(model, tmp_path, name, quantization):
    calibration = export_models.clouds(5, seed=1)
    if name.endswith(".tflite"):
        path = export.to_tflite(model, tmp_path / name, quantization, calibration, POINTS)
    else:
        path = (export.to_onnx if name.endswith(".onnx") else export.to_saved_model)(model, tmp_path / name, POINTS)
    report = export.verify(model, path, export_models.clouds(4), truth=export_models.clouds(4))
    assert report.clouds == 4
    # All of it is coordinates, which no format rounds to more than 8 bits of a layer's weights.
    assert report.largest_distance < (1e-5 if quantization is None else 5e-3)
    assert [found.name for found in tmp_path.iterdir()] == [name]
