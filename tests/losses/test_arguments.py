"""Every loss at arguments that are not its defaults, against a second implementation."""

import inspect

import keras
import numpy as np
import pytest
from backends import gradient
from loss_oracles import one_way, other_arguments, value

from keras_wcd.losses import DCD, LOSSES, AbstractChamfer, get

pytestmark = pytest.mark.backend

CASES = [(name, arguments) for name in sorted(LOSSES) for arguments in other_arguments(name)]


@pytest.fixture
def clouds():
    rng = np.random.default_rng(4)
    return rng.normal(size=(2, 70, 3)).astype("float32"), rng.normal(size=(2, 45, 3)).astype("float32")


@pytest.mark.parametrize("weights", [{}, {"pred_weight": 0.4, "true_weight": 1.7}])
@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_matches_float64_kd_trees(name, arguments, weights, clouds):
    found = LOSSES[name](**arguments, **weights, reduction=None)(*clouds)
    expected = [value(one_way(name, **arguments), *pair, **weights) for pair in zip(*clouds, strict=True)]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=1e-5)


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_padding_counts_nowhere(name, arguments, clouds):
    true, pred = clouds
    true[:, :9] = np.nan
    true[1, 20:40, 1] = np.nan
    found = LOSSES[name](**arguments, reduction=None)(true, pred)
    kept = [cloud[~np.isnan(cloud).any(axis=-1)] for cloud in true]
    expected = [value(one_way(name, **arguments), *pair) for pair in zip(kept, pred, strict=True)]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=1e-5)


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_gradient_equals_finite_differences(name, arguments, clouds):
    true, pred = (c[:, :15].astype("float64") for c in clouds)
    loss = LOSSES[name](**arguments, dtype="float64")
    direction, step = np.random.default_rng(5).normal(size=pred.shape), 1e-6

    def mean(p):
        return np.mean([value(one_way(name, **arguments), t, x) for t, x in zip(true, p, strict=True)])

    expected = (mean(pred + step * direction) - mean(pred - step * direction)) / (2 * step)
    terms = gradient(lambda p: loss(true, p), pred) * direction
    # JAX answers in float32 outside its 64-bit mode: the terms cancel, their rounding does not.
    np.testing.assert_allclose(terms.sum(), expected, rtol=2e-6, atol=1e-9 + 1e-6 * np.abs(terms).sum())
    assert np.abs(terms).sum() > 1e-3


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_arguments_change_the_value_and_survive_their_config(name, arguments, clouds):
    loss, plain = LOSSES[name](**arguments), LOSSES[name]()
    again = get(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()
    assert float(again(*clouds)) == float(loss(*clouds))
    # At lam = 1e-7 the regularizer of InfoCD is below the rounding of float32.
    if arguments != {"lam": 0.0}:
        assert abs(float(loss(*clouds)) / float(plain(*clouds)) - 1) > 1e-4


DEFAULTS = {
    "cd": {"norm": "l1"},
    "hyper_cd": {"alpha": 1.0},
    "info_cd": {"tau": 2.0, "lam": 1e-7},
    "dcd": {"alpha": 1000.0, "n_lambda": 1.0, "non_reg": False},
    "weighted_cd": {"weighting": "landau"},
    "landau_cd": {"variant": "paper"},
    "extreme_value_cd": {"beta": 1.4},
    "chi_squared_cd": {"k": 3},
    "log_logistic_cd": {"alpha": 5.0, "beta": 2.0},
    "gamma_cd": {"alpha": 2.0, "beta": 0.4},
    "weibull_cd": {"k": 1.001, "lam": 25.58},
    "logistic_cd": {"sigma": 1.75},
    "normal_cd": {"sigma": 2.477},
}
"""What a name alone stands for: trainings and published figures rely on it."""
UNSCALED = {"shift": 0.0, "scale": 1.0}


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_defaults_stay_as_they_are(name, clouds):
    loss = LOSSES[name]()
    given = LOSSES[name](**DEFAULTS[name], pred_weight=1.0, true_weight=1.0, reduction="sum_over_batch_size")
    assert loss.get_config() == given.get_config()
    assert float(loss(*clouds)) == float(given(*clouds))
    if "scale" in loss.get_config():
        assert {key: loss.get_config()[key] for key in UNSCALED} == UNSCALED
    assert DEFAULTS.keys() == LOSSES.keys()


@pytest.mark.parametrize("alpha", [0.5, 3.0, 1000.0])
def test_the_profile_of_dcd_is_its_cost_of_a_neighbor_of_ones_own(alpha):
    distance = np.linspace(0, 1, 30)
    found = keras.ops.convert_to_numpy(DCD(alpha=alpha).profile(keras.ops.convert_to_tensor(distance, "float32")))
    np.testing.assert_allclose(found, 1 - np.exp(-alpha * distance**2), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_argument_of_a_loss_is_tried(name):
    own = set(inspect.signature(LOSSES[name]).parameters) - set(inspect.signature(AbstractChamfer).parameters)
    assert own - {"kwargs"} <= {key for arguments in other_arguments(name) for key in arguments}
