"""What docs/export.md shows of writing and loading runs as it stands there."""

import pathlib
import re

import keras
import pytest

pytest.importorskip("tensorflow")
if keras.config.backend() != "tensorflow":
    pytest.skip("export is TensorFlow's", allow_module_level=True)
pytest.importorskip("litert_quantizer")
pytest.importorskip("tf2onnx")
pytest.importorskip("onnxruntime")

import export_models

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "export.md").read_text()
WRITING = PAGE.partition("## What the file says")[0]


def test_the_blocks_about_writing_and_loading_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = export_models.clouds(2, 2048)
    names = {"model": export_models.little(2048), "partials": x, "complete": x, "points": x[:1], "batch": x}
    for code in re.findall(r"```python\n(.*?)```", WRITING, re.DOTALL):
        exec(compile(code, "export.md", "exec"), names)
    assert names["cloud"].shape == (1, 64, 3)
    assert names["clouds"].shape == (2, 64, 3)


def test_the_table_of_sizes_holds_every_quantization():
    from keras_wcd.export.tflite import QUANTIZATIONS

    for quantization in QUANTIZATIONS:
        assert f"| {'none' if quantization is None else f'`{chr(34)}{quantization}{chr(34)}`'} |" in WRITING
