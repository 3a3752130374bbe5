"""PMP-Net and PMP-Net++ against the recorded outputs of the official ones, their noise and the moving cost."""

import keras
import numpy as np
import pytest
from backends import tensorflow_only
from networks import FIXTURES, SMALL, TinyChamfer, clouds, fixture, gradients, numpy

from keras_wcd.models import PMPNet, load_official_weights
from keras_wcd.models.layers.noise import PointNoise
from keras_wcd.models.weights.convert import arranged, layers_by_path, split, variable_name


class UnderNoise:
    """A network whose draws are the recorded ones."""

    def __init__(self, name):
        self.arrays, self.meta, weights = fixture(name)
        self.network = PMPNet(**FIXTURES[name][1])
        load_official_weights(self.network, weights)
        self.noise = {k.removeprefix("noise/"): v for k, v in self.arrays.items() if k.startswith("noise/")}
        self.trainable_variables = self.network.trainable_variables

    def __call__(self, x, training=False):
        return self.network(x, training=training, noise=self.noise)


@pytest.fixture(scope="module", params=["pmpnet", "pmpnetplus"])
def official(request):
    return UnderNoise(request.param)


@pytest.fixture
def small():
    keras.utils.set_random_seed(0)
    return PMPNet(**SMALL["pmpnet"])


@pytest.mark.backend
def test_equals_the_official_network_under_the_recorded_draws(official):
    assert set(official.noise) == set(official.network.draw_keys)
    arrays = official.arrays
    found = [numpy(stage) for stage in official(arrays["in/x"])]
    for stage, name in zip(found, ("pcd1", "pcd2", "pcd3_final"), strict=True):
        # Rounding moves a point by up to 3e-7. Where it turns the choice of a farthest point, as an input changed
        # by 1e-6 does, the official network moves points by up to 4.4e-5, their median by 5e-7.
        error = np.linalg.norm(stage - arrays[f"out/{name}"], axis=-1)
        assert error.max() < 6e-5
        assert np.median(error) < 6e-7
    moves = np.diff([arrays["in/x"], *found], axis=0)
    for move, k in zip(moves, (1, 2, 3), strict=True):
        np.testing.assert_allclose(move, np.swapaxes(arrays[f"out/delta{k}"], 1, 2), atol=6e-5)


@tensorflow_only
def test_has_the_gradients_of_the_official_network(official):
    arrays, model = official.arrays, official.network
    rows = np.random.RandomState(7).standard_normal(arrays["out/pcd3_final"].shape).astype("float32")
    by_path, at_input = gradients(official, arrays["in/x"], rows)
    recorded = arrays["grad/input"]
    assert np.linalg.norm(at_input - recorded) < 1e-3 * np.linalg.norm(recorded)
    table, layers = model.official_weights(), layers_by_path(model)
    norms = official.meta["grad"]["all_grad_norms"]
    for official_name, norm in norms.items():
        module, suffix = split(official_name)
        layer = layers[table[module]]
        gradient = by_path[getattr(layer, variable_name(layer, suffix)).path]
        # The last bias of the attention's scores has no gradient but rounding: their softmax does not see it.
        np.testing.assert_allclose(np.linalg.norm(gradient), norm, rtol=2e-2, atol=1e-6)
        if f"grad/{official_name}" in arrays:
            recorded = arranged(layer, suffix, arrays[f"grad/{official_name}"], gradient.ndim)
            assert np.linalg.norm(gradient - recorded) < 5e-3 * np.linalg.norm(recorded)


def test_the_completion3d_variant_has_no_noise_beside_the_points():
    model = PMPNet(point_noise=0)
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == 5_435_163 - 18
    assert model.draw_keys == ("4", "6", "8")


def test_noise_is_fixed_at_inference_and_new_in_training(small):
    x = clouds()[0]
    once, again = (numpy(small(x)[-1]) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    given = {key: np.zeros((4, channels, 128)) for key, channels in (("3", 3), ("4", 32), ("6", 32))}
    without = numpy(small(x, noise=given)[-1])
    assert np.abs(without - once).max() > 1e-4
    layer = PointNoise(2, 0.5, 128, "3", name="drawn")
    one, other = (numpy(layer(x, training=True)) for _ in range(2))
    assert np.abs(one - other).max() > 0.1


def test_noise_is_off_at_inference_without_a_seed():
    x = clouds()[0]
    assert np.all(numpy(PointNoise(2, 0.5, 128, "3", seed=None)(x)) == 0)
    assert np.abs(numpy(PointNoise(2, 0.5, 128, "3", seed=None)(x, training=True))).max() > 0.1


def test_noise_has_its_scale_and_differs_by_point_key_and_seed():
    x = np.zeros((2, 3000, 3), "float32")
    values = {(key, seed): numpy(PointNoise(4, 0.5, 2048, key, seed)(x)) for key in ("3", "4") for seed in (0, 1)}
    for value in values.values():
        np.testing.assert_allclose(value.std(axis=1), 0.5, atol=0.03)
        np.testing.assert_array_equal(value[0], value[1])
        np.testing.assert_array_equal(value[0, 2048:], value[0, : 3000 - 2048])
    assert len({float(value[0, 0, 0]) for value in values.values()}) == 4


def test_points_that_coincide_are_told_apart(small):
    done = numpy(small(np.full((1, 128, 3), 0.2, "float32"))[-1])[0]
    assert len(np.unique(done, axis=0)) == 128


def test_noise_of_another_shape_is_named(small):
    with pytest.raises(ValueError, match=r"noise\['3'\] must have shape \(4, 3, 128\), got \(4, 128, 3\)"):
        small(clouds()[0], noise={"3": np.zeros((4, 128, 3))})


def test_the_moving_cost_adds_the_mean_squared_displacement():
    x, y = clouds(complete=128)
    keras.utils.set_random_seed(0)
    plain, costly = (PMPNet(**SMALL["pmpnet"], moving_weight=weight) for weight in (0.0, 10.0))
    costly.set_weights(plain.get_weights())
    outputs = [numpy(stage) for stage in plain(x)]
    expected = sum(np.mean(np.sum((a - b) ** 2, -1)) for a, b in zip(outputs, [x, *outputs], strict=False))
    for model in (plain, costly):
        model.compile(loss=TinyChamfer(), run_eagerly=keras.config.backend() == "tensorflow")
    losses = [model.evaluate(x, y, verbose=0) for model in (plain, costly)]
    np.testing.assert_allclose(losses[1] - losses[0], 10 * expected, rtol=1e-3)
    assert costly.get_config()["moving_weight"] == 10


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"samples must not rise, nor exceed num_input \(128\), got \(512, 128\)"):
        PMPNet(num_input=128)
    with pytest.raises(ValueError, match="moving_weight must be >= 0, got -1"):
        PMPNet(moving_weight=-1)
