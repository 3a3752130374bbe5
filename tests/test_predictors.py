"""Every kind of model opened as one thing, for single scans and for batches, and what is said where it cannot be."""

import contextlib
import zipfile

import keras
import numpy as np
import pytest
from backends import tensorflow_only

from keras_wcd import completing, frames, predictors
from keras_wcd.models import PCN, presets
from keras_wcd.predictors import Predictor, as_predictor, find_model, load_model, model_digest, open_model

SMALL = {"num_coarse": 16, "grid_size": 2, "latent": 16, "encoder": (8, 8, 16), "hidden": 16, "folding": 8}
KINDS = ["model.keras", "preset", "model.tflite", "saved"]


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return PCN(**SMALL, num_input=128)


@pytest.fixture(scope="module")
def here(network, tmp_path_factory):
    """One network in every form in which it can be opened."""
    folder = tmp_path_factory.mktemp("models")
    network.save(folder / "model.keras")
    network.save_to_preset(folder / "preset")
    if keras.config.backend() == "tensorflow":
        from keras_wcd.export import to_saved_model, to_tflite

        to_tflite(network, folder / "model.tflite", num_points=128)
        to_saved_model(network, folder / "saved", num_points=128)
    return folder


@pytest.fixture
def scan():
    return np.random.default_rng(0).normal(size=(500, 3)) * [2, 1, 0.5] + [4e6, 5e5, 30]


@tensorflow_only
@pytest.mark.parametrize("kind", KINDS)
def test_completes_a_scan_as_the_network_does(here, network, scan, kind):
    predictor = as_predictor(here / kind)
    assert isinstance(predictor, Predictor)
    assert predictor.num_points == 128
    expected = network.complete(scan)
    for found in (predictor.complete(scan), open_model(here / kind)(scan, "partial"), open_model(network)(scan, None)):
        assert (found.shape, found.dtype) == (expected.shape, np.float64)
    np.testing.assert_allclose(predictor.complete(scan), expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(predictor.complete(scan, "bbox"), network.complete(scan, "bbox"), rtol=0, atol=1e-4)


@tensorflow_only
@pytest.mark.parametrize("kind", KINDS)
def test_completes_a_batch_in_the_networks_frame(here, network, kind):
    rng = np.random.default_rng(1)
    scans = [rng.uniform(-0.3, 0.3, (size, 3)) for size in (5, 128, 400)]
    found = as_predictor(here / kind, 2).predict_each(scans)
    for scan, cloud in zip(scans, found, strict=True):
        # What is measured is what `complete` gives.
        np.testing.assert_allclose(cloud, network.complete(scan, None), rtol=0, atol=1e-5)


def test_the_measured_points_may_come_first(network):
    scans = [np.random.default_rng(1).uniform(-0.3, 0.3, (50, 3))]
    (found,) = as_predictor(network, keep_partial=True).predict_each(scans)
    np.testing.assert_array_equal(found[:50], scans[0])
    assert len(found) == 50 + 64


def test_a_function_of_batches_is_a_predictor_and_completes_scans(scan):
    def double(scans):
        return [scans[:, :7], 2 * scans]

    predictor = as_predictor(double)
    assert (predictor.name, predictor.num_points) == ("double", predictors.PROTOCOL_POINTS)
    frame = frames.frame_of(scan)
    expected = frame.invert(2 * frames.resample(frame.apply(scan), 2048))
    np.testing.assert_array_equal(predictor.complete(scan), expected)
    assert as_predictor(predictor) is predictor


def test_a_keras_model_of_another_library_is_a_predictor(scan):
    inputs = keras.Input((64, 3))
    predictor = as_predictor(keras.Model(inputs, keras.layers.Identity()(inputs)))
    assert predictor.num_points == 64
    assert np.linalg.norm(predictor.complete(scan)[:, None] - scan[None], axis=-1).min(axis=1).max() < 1e-6


def test_a_function_of_one_scan_is_open_already():
    def function(points, normalize):
        return points

    assert open_model(function) is function


@pytest.mark.parametrize("model", [3, ["model.keras"], {}])
def test_anything_else_is_refused(model):
    with pytest.raises(ValueError, match="model must be a keras.Model, a function or the path of a model, got"):
        as_predictor(model)


def test_an_answer_of_another_shape_is_named():
    with pytest.raises(ValueError, match=r"clouds \(2, M, 3\), got shape \(2, 5, 2\)"):
        as_predictor(lambda scans: scans[:, :, :2]).predict(np.zeros((2, 5, 3), np.float32))


def test_the_shipped_preset_comes_before_the_demos_model(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "PRESETS", {})
    monkeypatch.setattr(predictors, "DEMO_MODEL", tmp_path / "model.keras")
    with pytest.raises(FileNotFoundError, match="there is no model"):
        find_model()
    (tmp_path / "model.keras").touch()
    assert find_model() == tmp_path / "model.keras"
    monkeypatch.setattr(presets, "PRESETS", {"default": "weights"})
    assert find_model() == find_model("default") == presets.locate("default")


@pytest.mark.parametrize("name", ["defualt", "Default", "defaults"])
def test_a_name_beside_a_presets_is_asked_about(name):
    with pytest.raises(
        FileNotFoundError, match=f"{name}: there is no model of this name; did you mean default.? known"
    ):
        find_model(name)
    with pytest.raises(ValueError, match="did you mean default"):
        presets.locate(name)


def test_a_missing_path_is_no_name():
    with pytest.raises(FileNotFoundError, match=r"no\.keras: there is no model; check the path"):
        find_model("no.keras")


@pytest.mark.parametrize("damage", ["text", "empty", "half", "bytes", "other archive", "no weights"])
def test_a_damaged_keras_file_is_not_called_missing(here, tmp_path, damage):
    content = (here / "model.keras").read_bytes()
    path = tmp_path / "m.keras"
    flipped = bytearray(content)
    flipped[2000:9000] = bytes(255 - b for b in content[2000:9000])
    path.write_bytes(
        {"text": b"no such thing", "empty": b"", "half": content[: len(content) // 2]}.get(damage, flipped)
    )
    if damage in ("other archive", "no weights"):
        with zipfile.ZipFile(here / "model.keras") as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist() if damage == "no weights" else ():
                if not name.endswith(".h5"):
                    new.writestr(name, old.read(name))
    for opened in (load_model, as_predictor, open_model):
        with pytest.raises(ValueError, match=r"m\.keras: not a model that Keras can read.*damaged") as caught:
            opened(path)
        assert "not found" not in str(caught.value).lower()


@pytest.mark.parametrize("offset", range(0, 20))
def test_a_keras_file_damaged_anywhere_is_a_value_error_or_loads(here, tmp_path, offset):
    content = bytearray((here / "model.keras").read_bytes())
    start = offset * len(content) // 20
    content[start : start + 40] = bytes(40)
    (tmp_path / "m.keras").write_bytes(content)
    with contextlib.suppress(ValueError):
        load_model(tmp_path / "m.keras")


@tensorflow_only
def test_other_damaged_models_are_named(here, tmp_path):
    (tmp_path / "m.tflite").write_bytes((here / "model.tflite").read_bytes()[:900])
    with pytest.raises(ValueError, match=r"m\.tflite.*damaged"):
        open_model(tmp_path / "m.tflite")
    (tmp_path / "preset").mkdir()
    for name in ("config.json", "model.weights.h5"):
        (tmp_path / "preset" / name).write_bytes((here / "preset" / name).read_bytes())
    (tmp_path / "preset" / "model.weights.h5").write_bytes(b"weights")
    with pytest.raises(ValueError, match=r"model\.weights\.h5: damaged"):
        open_model(tmp_path / "preset")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(ValueError, match="saved: not a SavedModel of to_saved_model, or damaged"):
        open_model(tmp_path / "saved")
    with pytest.raises(ValueError, match="is a SavedModel, which Keras cannot load"):
        load_model(tmp_path / "saved")
    with pytest.raises(ValueError, match="is a folder, and no preset"):
        load_model(tmp_path)


def test_a_network_that_takes_no_clouds_is_named(tmp_path):
    inputs = keras.Input((10,))
    keras.Model(inputs, keras.layers.Dense(3)(inputs)).save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=r"m\.keras: holds a Functional for inputs \(None, 10\)"):
        load_model(tmp_path / "m.keras")


def test_a_model_has_one_digest_however_it_was_opened(here, network):
    path = here / "model.keras"
    assert model_digest(path) == model_digest(str(path)) == model_digest(open_model(path))
    assert model_digest(network) == model_digest(network.complete)
    other = PCN(**SMALL, num_input=128)
    assert len({model_digest(m) for m in (path, here / "preset", network, other, None, find_model)}) == 6


@pytest.mark.parametrize("name", completing._HOMES)
def test_the_former_module_resolves_its_names_with_a_warning(name):
    with pytest.warns(FutureWarning, match="keras_wcd.completing goes with the next release; import"):
        assert getattr(completing, name) is not None
    assert name in dir(completing)


def test_the_former_module_has_every_name_that_was_documented():
    documented = {"complete_file", "complete_folder", "complete_points", "open_model", "find_model", "load_model"}
    assert documented <= set(completing._HOMES)
    with pytest.raises(AttributeError, match="has no attribute 'complete_all'"):
        completing.complete_all  # noqa: B018
