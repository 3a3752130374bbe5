"""Every loss at arguments that are not its defaults, against a second implementation."""

import inspect

import keras
import numpy as np
import pytest
from backends import gradient
from loss_oracles import one_way, other_arguments, value

from keras_wcd.losses import LOSSES, AbstractChamfer, get

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


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_argument_of_a_loss_is_tried(name):
    own = set(inspect.signature(LOSSES[name]).parameters) - set(inspect.signature(AbstractChamfer).parameters)
    assert own - {"kwargs"} <= {key for arguments in other_arguments(name) for key in arguments}
