"""Bilevel training on problems small enough to know."""

import keras
import numpy as np
import pytest
from backends import tensorflow_only
from scipy import optimize

from keras_wcd.losses import CD, LandauCD
from keras_wcd.weighting import Normal

pytestmark = tensorflow_only


@keras.saving.register_keras_serializable("tests")
class Point(keras.layers.Layer):
    """One predicted point, its coordinates the network's only weights."""

    def build(self, input_shape):
        self.place = self.add_weight(name="place", shape=(1, 1, 3), initializer="zeros")

    def call(self, inputs):
        return 0 * inputs[:, :1] + self.place


def point_network(dtype="float64"):
    return keras.Sequential([keras.Input((1, 3), dtype=dtype), Point(dtype=dtype)])


def cloud_network():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, "tanh", dtype="float64"), keras.layers.Dense(3, dtype="float64")]
    return keras.Sequential([keras.Input((12, 3), dtype="float64"), *layers])


def batches(count, seed, points=12):
    rng = np.random.default_rng(seed)
    return [tuple(0.5 * rng.normal(size=(2, points, 3)) for _ in range(2)) for _ in range(count)]


@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize(
    ("family", "learn", "shift"),
    [
        ("normal", None, None),
        ("gamma", ("alpha", "beta", "scale"), "mode"),
        ("landau", None, None),
    ],
)
def test_hypergradient_equals_finite_differences(rule, family, learn, shift):
    from keras_wcd.distill import BilevelTraining

    training = BilevelTraining(
        cloud_network(), family, learn=learn, shift=shift, rule=rule, learning_rate=0.02, unroll=3
    )
    lower, held_back = batches(3, seed=0), batches(1, seed=1)[0]
    gradients, _ = training.hypergradient(lower, held_back)
    step = 1e-5
    for variable, gradient in zip(training._logs, gradients, strict=True):
        start = variable.numpy()
        uppers = []
        for value in (start + step, start - step):
            variable.assign(value)
            uppers.append(float(training.hypergradient(lower, held_back)[1]["upper"]))
        variable.assign(start)
        np.testing.assert_allclose(float(gradient), (uppers[0] - uppers[1]) / (2 * step), rtol=1e-4, atol=1e-9)
        assert abs(float(gradient)) > 1e-7


def test_finds_the_parameter_whose_step_lands_on_the_goal():
    """A point at the origin sees a lower target at distance 1 and takes one step; the upper goal lies on the way."""
    from keras_wcd.distill import BilevelTraining

    rate, goal = 0.5, 0.1
    target = np.float64([[[1.0, 0, 0]]])

    def landing(sigma):
        """Both sides of the loss pull with phi'(1) = (f d)' at d = 1."""
        f = np.exp(-0.5 / sigma**2) / (sigma * np.sqrt(2 * np.pi))
        return 2 * rate * f * (1 - 1 / sigma**2)

    best = optimize.brentq(lambda s: landing(s) - goal, 1.01, 1.9)
    model = point_network()
    training = BilevelTraining(
        model, Normal(1.2), rule="sgd", learning_rate=rate, unroll=1, upper_learning_rate=0.02, upper_loss=CD("l2")
    )
    # Every upper step starts from the origin again: the network is the same toy each time.
    for _ in range(150):
        model.layers[0].place.assign(np.zeros((1, 1, 3)))
        training.fit([(target, target)], [(target, goal * target)], progress=False)
    np.testing.assert_allclose(training.parameters["sigma"], best, rtol=1e-2)
    np.testing.assert_allclose(landing(best), goal, rtol=1e-9)


def test_lower_steps_are_those_of_keras_adam():
    from keras_wcd.distill import BilevelTraining

    ours, theirs = cloud_network(), cloud_network()
    data = batches(4, seed=2)
    training = BilevelTraining(ours, "landau", unroll=2, learning_rate=0.01, upper_learning_rate=0.0)
    training.fit(data, data[:1], progress=False)
    theirs.compile(keras.optimizers.Adam(0.01), loss=LandauCD(dtype="float64"))
    for pair in data:
        theirs.train_on_batch(*pair)
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        # A compiled Keras model hands clouds to its loss in float32.
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


def test_trains_a_backbone_records_and_draws(tmp_path):
    from keras_wcd.distill import BilevelTraining
    from keras_wcd.models import PCN

    keras.utils.set_random_seed(0)
    model = PCN(num_coarse=16, grid_size=2, latent=16, encoder=(8, 8, 16), hidden=16, folding=16)
    rng = np.random.default_rng(0)
    data = [tuple(0.2 * rng.normal(size=(4, 64, 3)).astype("float32") for _ in range(2))] * 8
    moving = model.get_layer("encoder_a_1_norm").moving_mean.numpy().copy()
    training = BilevelTraining(model, "gamma", unroll=2, learning_rate=3e-3)
    history = training.fit(data, data[:1], epochs=3, progress=False)
    assert set(history) == {"lower", "upper", "alpha", "beta"}
    assert all(len(values) == 12 for values in history.values())
    assert history["upper"][-1] < history["upper"][0]
    assert min(history["alpha"] + history["beta"]) > 0
    assert history["alpha"][-1] != history["alpha"][0]
    assert not np.allclose(model.get_layer("encoder_a_1_norm").moving_mean.numpy(), moving)
    learned = training.loss()
    assert learned.weighting.get_config() == pytest.approx({k: training.parameters[k] for k in ("alpha", "beta")})
    assert np.isfinite(float(learned(data[0][1], model.predict(data[0][0], verbose=0))))
    for name in ("history.png", "history.svg"):
        training.plot(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learn": ("beta",)}, r"learn must name parameters out of \['scale', 'sigma'\]"),
        ({"shift": "mean"}, "shift must be"),
        ({"rule": "lbfgs"}, "rule must be one of"),
        ({"unroll": 0}, "unroll must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    from keras_wcd.distill import BilevelTraining

    with pytest.raises(ValueError, match=message):
        BilevelTraining(point_network(), "normal", **arguments)


def test_data_that_end_too_soon_or_are_not_finite_are_named():
    from keras_wcd.distill import BilevelTraining

    data = batches(2, seed=0)
    with pytest.raises(ValueError, match="fewer than unroll=4 batches"):
        BilevelTraining(cloud_network()).fit(data, data, progress=False)
    with pytest.raises(ValueError, match="held_back holds no batch"):
        BilevelTraining(cloud_network(), unroll=1).fit(data, [], progress=False)
    broken = cloud_network()
    broken.layers[-1].bias.assign([np.nan] * 3)
    with pytest.raises(ValueError, match="the losses were nan"):
        BilevelTraining(broken, unroll=1).fit(data, data, progress=False)
    with pytest.raises(ValueError, match="nothing to plot"):
        BilevelTraining(cloud_network()).plot("x.png")
