"""What distillation refuses, each with one error that names the value."""

import keras
import numpy as np
import pytest

from keras_wcd.distill import DistanceDistribution, distill
from keras_wcd.losses import HyperCD

P = DistanceDistribution.uniform(0.1, 1.0, size=20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"families": ["zipf"]}, "unknown family 'zipf'; known are .*landau"),
        ({"families": []}, "families must be None"),
        ({"families": ["gamma", "Gamma"]}, "must differ by name"),
        ({"shift": "median"}, "shift must be one of"),
        ({"rescale": "mean"}, "rescale must be one of"),
        ({"norm": "max"}, "norm must be one of"),
        ({"distance_scale": "mean"}, 'distance_scale must be a positive number, "median" or "fit", got \'mean\''),
        ({"distance_scale": -1.0}, "distance_scale must be a positive number"),
        ({"families": "normal", "grid": {"normal": {"sigma": [-1.0, 0.0, np.inf]}}}, "no valid value for sigma"),
        ({"families": "normal", "grid": {"normal": {"sigma": []}}}, "no valid value for sigma"),
        ({"families": "normal", "grid": {"normal": {"sigma": "wide"}}}, "sigma must be a list of numbers"),
        ({"families": "normal", "grid": {"normal": {"mu": [1.0]}}}, "unknown parameter mu; it has sigma"),
        ({"families": "normal", "grid": {"normal": {"distance_scale": [1.0]}}}, "unknown parameter distance_scale"),
        ({"families": "normal", "grid": {"gamma": {"alpha": [1.0]}}}, "grid has values for gamma"),
        ({"families": "normal", "grid": {"normal": {"sigma": [1e-4]}}}, "family normal: its gradient is zero"),
        ({"distances": [-0.1, 0.2]}, "must not be negative, got a smallest value of -0.1"),
        ({"distances": [0.1, np.nan]}, "must be finite, got 1 values"),
        ({"distances": [0.2, 0.2, 0.2]}, "must not all be equal, got 3 times 0.2"),
        ({"distances": []}, "at least two distances, got none"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        distill(**{"distances": P, **arguments})


def test_the_scale_has_a_grid_where_it_is_fitted():
    options = {"distances": P, "distance_scale": "fit", "refine": False}
    found = distill(HyperCD(), families="landau", grid={"landau": {"distance_scale": [0.5, 2.0]}}, **options)
    assert found.best.scale in (0.5, 2.0)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (lambda d: 0 * d + 3.0, "has no gradient"),
        (lambda d: 3.0, "has no gradient"),
        (lambda d: np.sin(d), "has no gradient"),
        (lambda d: keras.ops.sqrt(d - 0.5), "no finite gradient at"),
        (lambda: 3.0, "fails with"),
        (keras.losses.MeanSquaredError(), "MeanSquaredError has no profile"),
        (3.0, "teacher must be a loss"),
        ("no_such_loss", "unknown loss 'no_such_loss'"),
    ],
)
def test_refuses_a_teacher(teacher, message):
    with pytest.raises(ValueError, match=message):
        distill(teacher, families="normal", distances=P)


def test_asks_for_tensorflow(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match="needs Keras's TensorFlow backend, not 'jax'"):
        distill(HyperCD(), distances=P)
