"""SavedModel folders: what they answer, and what they refuse to overwrite."""

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
