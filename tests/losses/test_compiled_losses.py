"""What `tf.function` and XLA make of a loss: the values and gradients of eager calls, with NaN where it belongs."""

import functools

import numpy as np
import pytest
from backends import tensorflow_only
from loss_oracles import one_way, other_arguments, value

from keras_wcd.losses import LOSSES

pytestmark = [pytest.mark.backend, tensorflow_only]

HOW = ["eager", "graph", "xla"]
SIDES = [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]
CASES = [(name, arguments) for name in sorted(LOSSES) for arguments in other_arguments(name)]


@pytest.fixture(params=sorted(LOSSES))
def name(request):
    return request.param


@pytest.fixture
def clouds():
    rng = np.random.default_rng(7)
    return rng.normal(size=(2, 60, 3)).astype("float32"), rng.normal(size=(2, 40, 3)).astype("float32")


def run(losses, true, pred, how):
    """Values of every cloud by each loss, and the gradient of the first."""
    import tensorflow as tf

    found = compiled(losses, how)(tf.constant(true), tf.constant(pred))
    return [result.numpy() for result in found]


@functools.lru_cache(maxsize=8)
def compiled(losses, how):
    import tensorflow as tf

    def both(true, pred):
        with tf.GradientTape() as tape:
            tape.watch(pred)
            first = losses[0](true, pred)
        return tf.stack([first, *(loss(true, pred) for loss in losses[1:])]), tape.gradient(first, pred)

    return both if how == "eager" else tf.function(both, jit_compile=how == "xla")


@functools.lru_cache(maxsize=16)
def sides(name):
    """The loss of both sides and of each: kept, so that a graph is compiled once for all tests of a name."""
    return tuple(LOSSES[name](pred_weight=p, true_weight=t, reduction=None) for p, t in SIDES)


def assert_same(found, eager):
    np.testing.assert_allclose(found[0], eager[0], rtol=5e-7)
    # Both are float32 and differ by its rounding of the largest component: 3e-7 of it at most.
    np.testing.assert_allclose(found[1], eager[1], rtol=0, atol=5e-7 * np.abs(eager[1]).max())


@pytest.mark.parametrize("how", HOW[1:])
def test_gives_the_eager_value_and_gradient(name, how, clouds):
    assert_same(run(sides(name), *clouds, how), run(sides(name), *clouds, "eager"))


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_gives_them_at_other_arguments_too(name, arguments, clouds):
    losses = (LOSSES[name](**arguments, reduction=None),)
    assert_same(run(losses, *clouds, "xla"), run(losses, *clouds, "eager"))


@pytest.mark.parametrize("how", HOW)
def test_padding_of_the_truth_counts_nowhere(name, how, clouds):
    true, pred = clouds
    true[:, :7] = np.nan
    true[0, 9] = [0.1, np.nan, 0.2]
    true[1, 20:30] = np.nan
    values, slope = run(sides(name), true, pred, how)
    kept = [cloud[~np.isnan(cloud).any(axis=-1)] for cloud in true]
    for found, weights in zip(values, SIDES, strict=True):
        expected = [value(one_way(name), *pair, *weights) for pair in zip(kept, pred, strict=True)]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    for cloud, answer, found in zip(kept, pred, slope, strict=True):
        np.testing.assert_allclose(found, run(sides(name), cloud[None], answer[None], "eager")[1][0], atol=1e-6)


@pytest.mark.parametrize("how", HOW)
def test_a_predicted_nan_reaches_the_loss_of_its_cloud_alone(name, how, clouds):
    true, pred = clouds
    pred[1, 5, 2] = np.nan
    values, _ = run(sides(name), true, pred, how)
    for found, weights in zip(values, SIDES, strict=True):
        assert np.isnan(found[1]), weights
        np.testing.assert_allclose(found[0], value(one_way(name), true[0], pred[0], *weights), rtol=1e-5)


@pytest.mark.parametrize("how", HOW)
def test_the_gradient_is_zero_where_clouds_coincide(name, how, clouds):
    true, pred = clouds
    true[:, :20] = np.nan
    values, slope = run(sides(name), true, true[:, 20:], how)
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(slope, 0)
