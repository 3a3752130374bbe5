"""AtlasNet: recorded templates, and templates of its own."""

import keras
import numpy as np
import pytest
from networks import SMALL, clouds, fixture, gradients, numpy

from keras_wcd.models import AtlasNet, load_official_weights
from keras_wcd.models.atlasnet import Template, fibonacci_sphere
from keras_wcd.models.weights.convert import arranged, layers_by_path, split


@pytest.fixture
def small():
    keras.utils.set_random_seed(0)
    return AtlasNet(**SMALL["atlasnet"])


@pytest.mark.backend
def test_equals_the_official_network_on_recorded_and_regular_templates():
    arrays, meta, weights = fixture("atlasnet")
    model = AtlasNet()
    load_official_weights(model, weights)
    x = arrays["in/x"]
    # Rounding moves a point by at most 4e-7 under inputs changed by 1e-6.
    regular = numpy(model(x, training=False)[-1])
    np.testing.assert_allclose(regular, arrays["out/points_eval_final"], rtol=0, atol=2e-6)
    given = model(x, training=False, noise={"random_points": arrays["noise/random_points"]})[-1]
    np.testing.assert_allclose(numpy(given), arrays["out/points_train_random"], rtol=0, atol=2e-6)
    if keras.config.backend() != "tensorflow":
        return
    rows = np.random.RandomState(7).standard_normal(regular.shape).astype("float32")
    by_path, at_input = gradients(model, x, rows)
    table, layers = model.official_weights(), layers_by_path(model)
    for official, norm in meta["grad"]["all_grad_norms"].items():
        module, suffix = split(official)
        layer = layers[table[module]]
        name = {"weight": "gamma", "bias": "beta"}[suffix] if ".bn" in module else {"weight": "kernel"}.get(suffix)
        gradient = by_path[getattr(layer, name or suffix).path]
        np.testing.assert_allclose(np.linalg.norm(gradient), norm, rtol=1e-3)
        if f"grad/{official}" in arrays:
            recorded = arranged(layer, suffix, arrays[f"grad/{official}"], gradient.ndim)
            assert np.linalg.norm(gradient - recorded) < 1e-3 * np.linalg.norm(recorded)
    recorded = arrays["grad/input"]
    assert np.linalg.norm(at_input - recorded) < 1e-3 * np.linalg.norm(recorded)


def test_the_regular_square_is_the_recorded_one():
    arrays, _, _ = fixture("atlasnet")
    first, second = (numpy(line) for line in Template("square", 32, 0)(np.zeros((1, 8, 3), "float32")))
    grid = np.stack([(first + 0 * second).ravel(), (second + 0 * first).ravel()])
    np.testing.assert_allclose(grid, arrays["const/regular_points"], atol=1e-7)


@pytest.mark.parametrize("kind", ["square", "sphere"])
def test_points_are_drawn_anew_in_training_and_for_every_patch(kind):
    keras.utils.set_random_seed(0)
    x = np.zeros((1, 8, 3), "float32")
    one, other = Template(kind, 4, 0), Template(kind, 4, 1)
    draws = [np.stack([numpy(axis) for axis in layer(x, training=True)]) for layer in (one, one, other)]
    assert np.abs(draws[0] - draws[1]).min() > 0
    assert np.abs(draws[0] - draws[2]).min() > 0
    if kind == "square":
        assert min(d.min() for d in draws) >= 0
        assert max(d.max() for d in draws) <= 1
    else:
        np.testing.assert_allclose(np.square(draws).sum(1), 1, atol=1e-5)


def test_points_of_a_sphere_are_spread_evenly():
    points = fibonacci_sphere(500)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-6)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1) + 9 * np.eye(500)
    assert distance.min(1).max() < 1.5 * distance.min(1).min()


def test_a_sphere_gives_a_cloud_of_exactly_as_many_points():
    keras.utils.set_random_seed(0)
    model = AtlasNet(**{**SMALL["atlasnet"], "template": "sphere", "patches": 1, "num_points": 50})
    x = clouds()[0]
    assert model(x)[-1].shape == (4, 50, 3)
    np.testing.assert_array_equal(numpy(model(x)[-1]), numpy(model(x)[-1]))


def test_answers_are_random_in_training_only(small):
    x = clouds()[0]
    np.testing.assert_array_equal(numpy(small(x, training=False)[-1]), numpy(small(x, training=False)[-1]))
    assert np.abs(numpy(small(x, training=True)[-1]) - numpy(small(x, training=True)[-1])).max() > 0


def test_points_of_the_wrong_number_are_named(small):
    with pytest.raises(ValueError, match="random_points.*must have shape"):
        small(clouds()[0], noise={"random_points": np.zeros((2, 3, 16), "float32")})
