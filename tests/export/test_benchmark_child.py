"""The child of `benchmark` imports what its parent does."""

import sys

import export_models
from backends import tensorflow_only

pytestmark = tensorflow_only


def test_a_checkout_in_the_working_folder_is_not_imported(tmp_path, monkeypatch):
    from keras_wcd.export import benchmark, to_tflite

    path = to_tflite(export_models.little(), tmp_path / "model.tflite", num_points=export_models.POINTS)
    (tmp_path / "keras_wcd").mkdir()
    (tmp_path / "keras_wcd" / "__init__.py").write_text("raise ImportError('not this one')")
    monkeypatch.chdir(tmp_path)
    assert "" not in sys.path
    assert benchmark(path, runs=1).latency_median > 0
