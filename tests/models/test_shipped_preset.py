"""The preset that ships: small, whole, and better than what needs no training."""

import keras
import numpy as np
import pytest
from shared import DATA

from keras_wcd.data import Shapes8
from keras_wcd.models import CompletionModel, MirrorNet
from keras_wcd.models.presets import PRESETS, locate

REAL = DATA / "real8_val.npz"


@pytest.fixture(scope="module")
def model():
    return CompletionModel.from_preset("default")


def cd_l1(x, y):
    from scipy.spatial import KDTree

    return 500 * (KDTree(y).query(x)[0].mean() + KDTree(x).query(y)[0].mean())


@pytest.mark.parametrize("name", PRESETS)
def test_takes_at_most_five_megabytes(name):
    assert sum(path.stat().st_size for path in locate(name).iterdir()) <= 5e6


def test_is_a_mirror_net_in_its_default_size_for_shapes_of_diagonal_one(model):
    assert isinstance(model, MirrorNet)
    assert model.get_config() == {**MirrorNet().get_config(), "name": model.name, "frame": "box"}


def test_beats_the_mirror_image_on_made_up_shapes(model, tmp_path):
    partial, complete = Shapes8(1, 1, 24, cache_dir=tmp_path).arrays("test")
    mirrored = np.concatenate([partial[:, ::2], partial[:, ::2] * np.float32([1, 1, -1])], axis=1)
    found = model.predict(partial, verbose=0)
    scores = [np.mean([cd_l1(*pair) for pair in zip(complete, clouds, strict=True)]) for clouds in (found, mirrored)]
    assert scores[0] < 0.75 * scores[1]


@pytest.mark.skipif(not REAL.exists(), reason="needs the real shapes in ../shared/data")
def test_is_below_twenty_on_real_shapes(model):
    stored = np.load(REAL)
    partial = stored["partial"][:, 0].astype("float32")
    found = model.predict(partial, verbose=0)
    rng = np.random.default_rng(0)
    truth = [points[rng.permutation(len(points))[:2048]].astype("float32") for points in stored["complete"]]
    assert np.mean([cd_l1(*pair) for pair in zip(truth, found, strict=True)]) < 20


def test_completes_a_scan_in_its_own_place_and_units(model):
    rng = np.random.default_rng(0)
    scan = rng.uniform(-1, 1, (500, 3)) * [300, 100, 200] + [5e5, 4e6, 100]
    completed = model.complete(scan)
    assert completed.shape == (2048, 3)
    assert completed.dtype == np.float64
    assert np.all(np.abs(completed.mean(axis=0) - [5e5, 4e6, 100]) < 100)


def test_exports_to_litert_with_the_same_answer(model, tmp_path):
    if keras.config.backend() != "tensorflow":
        pytest.skip("export is TensorFlow's")
    from keras_wcd.export import to_tflite, verify

    path = to_tflite(model, tmp_path / "default.tflite")
    verify(model, path, Shapes8(1, 1, 2, cache_dir=tmp_path).arrays("test")[0])
