"""The network that ships and the file made of it complete every scan alike."""

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow")
if keras.config.backend() != "tensorflow":
    pytest.skip("export is TensorFlow's", allow_module_level=True)

from scipy.spatial import KDTree
from shared import DATA

from keras_wcd import export
from keras_wcd.export import runtime
from keras_wcd.models import CompletionModel

SIZES = [1, 2, 3, 7, 300, 1500, 2047, 2048, 2049, 5000, 16384, 16385, 40_000]
TOLERANCE = 1e-6
"""Of the diagonal: what float32 leaves of the same arithmetic in another order."""
CHOSEN_OTHERWISE = 16
"""Points of 2048 that may be others: the network keeps farthest points of a cloud and its mirror image, whose distances
are nearly equal in pairs, and a rounding decides between them (8 at most on 116 real views, none on three in four)."""


@pytest.fixture(scope="module")
def model():
    return CompletionModel.from_preset("default")


@pytest.fixture(scope="module")
def completer(model, tmp_path_factory):
    path = export.to_tflite(model, tmp_path_factory.mktemp("shipped") / "default.tflite")
    return runtime.Completer(path, threads=2)


def box(rng, size):
    """Points on three sides of a box, as a scanner sees it."""
    points = rng.uniform(size=(size, 3))
    points[np.arange(size), rng.integers(0, 3, size)] = 1
    return points * [4, 1.5, 2]


def assert_one_completion(found, expected, scan):
    assert found.dtype == expected.dtype == (np.float32 if scan.dtype == np.float32 else np.float64)
    diagonal = np.linalg.norm(np.ptp(scan, axis=0)) or 1
    # Coordinates far away have steps of their own.
    steps = 4 * np.spacing(np.abs(expected).max())
    distance = np.linalg.norm(found.astype(np.float64) - expected, axis=1)
    assert (distance > TOLERANCE * diagonal + steps).sum() <= CHOSEN_OTHERWISE
    assert np.median(distance) <= 1e-7 * diagonal + steps
    there, back = KDTree(found).query(expected)[0], KDTree(expected).query(found)[0]
    # CD-L1 x 1000 in the unit frame, where a network differs from the truth by 17.
    assert 500 * (there.mean() + back.mean()) <= 0.05 * diagonal + 1000 * steps


@pytest.mark.parametrize(("dtype", "far"), [("float32", 0), ("float64", 5.4e6), ("int64", 5.4e9)])
@pytest.mark.parametrize("size", SIZES)
def test_one_scan_has_one_completion(model, completer, size, dtype, far):
    unit = 1000 if dtype == "int64" else 1
    scan = (unit * box(np.random.default_rng(size), size) + far).astype(dtype)
    for normalize in ("partial", "bbox"):
        assert_one_completion(completer(scan, normalize=normalize), model.complete(scan, normalize), scan)


@pytest.mark.skipif(not (DATA / "real8_val.npz").is_file(), reason="needs the real views in ../shared/data")
def test_real_views_have_one_completion(model, completer):
    with np.load(DATA / "real8_val.npz") as stored:
        views = stored["partial"][:, 0]
    for scan in views:
        scan = 3 * scan.astype(np.float64) + [4e5, 5.4e6, 100]
        assert_one_completion(completer(scan), model.complete(scan), scan)
