"""MirrorNet, the network that ships."""

import keras
import numpy as np
import pytest

from keras_wcd.losses import LandauCD
from keras_wcd.models import CompletionModel, MirrorNet
from keras_wcd.models.mirrornet import Reflection

SMALL = {"num_input": 128, "num_queries": 16, "num_centers": 24, "num_keys": 8, "width": 16, "heads": 2}


@pytest.fixture
def scans():
    return np.random.default_rng(0).uniform(-0.4, 0.4, (3, 128, 3)).astype("float32")


def still(model):
    """The network with nothing moved: its last layers put out zero."""
    for name in ("move_2", "spread_2", "plane"):
        layer = model.get_layer(name)
        layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    return model


@pytest.mark.backend
@pytest.mark.parametrize("symmetric", [True, False])
def test_stages_are_seeds_and_four_times_as_many(scans, symmetric):
    coarse, fine = MirrorNet(**SMALL, symmetric=symmetric)(scans)
    assert coarse.shape == (3, 64, 3)
    assert fine.shape == (3, 256, 3)


def test_unmoved_it_holds_measured_points_and_their_mirror_images(scans):
    coarse, fine = (np.asarray(stage) for stage in still(MirrorNet(**SMALL))(scans))
    measured = {tuple(p) for p in np.round(scans[0], 5).tolist()}
    mirrored = {(x, y, -z) for x, y, z in measured}
    for stage, (begin, middle) in ((coarse, (16, 40)), (fine, (64, 160))):
        points = [tuple(p) for p in np.round(stage[0], 5).tolist()]
        assert set(points[begin:middle]) <= measured
        assert set(points[middle:]) <= mirrored


@pytest.mark.backend
def test_reflects_as_a_householder_matrix_does():
    rng = np.random.default_rng(1)
    points, plane = rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(2, 1, 3))
    expected = np.empty_like(points)
    for cloud, (a, b, c) in enumerate(plane[:, 0]):
        normal = np.array([a, b, 1]) / np.linalg.norm([a, b, 1])
        matrix = np.eye(3) - 2 * np.outer(normal, normal)
        foot = c * normal
        expected[cloud] = (points[cloud] - foot) @ matrix.T + foot
    actual = Reflection()([points.astype("float32"), plane.astype("float32")])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(actual), expected, atol=2e-6)


def test_learns_two_clouds_by_heart(scans):
    keras.utils.set_random_seed(0)
    truth = np.random.default_rng(2).uniform(-0.4, 0.4, (3, 256, 3)).astype("float32")
    model = MirrorNet(**SMALL)
    model.compile(keras.optimizers.Adam(3e-3), loss=LandauCD())
    losses = model.fit(scans, truth, epochs=60, batch_size=3, verbose=0).history["loss"]
    assert losses[-1] < 0.6 * losses[0]


def test_steps_in_mixed_precision(scans):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = MirrorNet(**SMALL)
        model.compile("adam", loss=LandauCD())
        assert np.isfinite(model.train_on_batch(scans, scans))
        assert all(keras.backend.standardize_dtype(stage.dtype) == "float32" for stage in model(scans))
    finally:
        keras.config.set_dtype_policy("float32")


def test_preset_holds_every_argument(scans, tmp_path):
    model = MirrorNet(**SMALL, symmetric=False, blocks=1)
    model.save_to_preset(tmp_path / "preset")
    again = CompletionModel.from_preset(tmp_path / "preset")
    assert again.get_config() == model.get_config()
    np.testing.assert_allclose(again.predict(scans, verbose=0), model.predict(scans, verbose=0), atol=1e-6)


def test_exports_to_litert(scans, tmp_path):
    from keras_wcd.export import to_tflite, verify

    model = MirrorNet(**SMALL)
    to_tflite(model, tmp_path / "model.tflite", num_points=128)
    verify(model, tmp_path / "model.tflite", scans)


@pytest.mark.parametrize(
    ("argument", "value"), [("width", 15), ("num_keys", 17), ("num_centers", 200), ("num_queries", 0)]
)
def test_refuses_sizes_that_do_not_fit(argument, value):
    with pytest.raises(ValueError, match=argument):
        MirrorNet(**{**SMALL, argument: value})
