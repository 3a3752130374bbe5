"""Losses of clouds far from the origin, of truths that are padding alone, of ties, and weights of samples."""

import functools

import keras
import loss_oracles as oracles
import numpy as np
import pytest
from backends import gradient, tensorflow_only
from every_loss import PATHS, SIDES, evaluate, to_numpy

from keras_wcd.losses import CD, DCD, LOSSES, InfoCD

pytestmark = pytest.mark.backend


@pytest.fixture(params=sorted(LOSSES))
def name(request):
    return request.param


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(3, 60, 3)).astype("float32")
    return true, (true[:, :40] + 0.1 * rng.normal(size=(3, 40, 3))).astype("float32")


def along(path, function, *arguments):
    """A function's results eager, in a graph or compiled: on other backends eager alone, JAX also compiled."""
    if path == "eager":
        return function(*arguments)
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=path == "xla")(*map(tf.constant, arguments))
    if keras.config.backend() == "jax" and path == "xla":
        import jax

        return jax.jit(function)(*arguments)
    pytest.skip("a path of other backends")
    return None


# Far away


@pytest.mark.parametrize("offset", [4e6, -1e7, 1e9])
def test_float64_clouds_far_away_are_measured_as_near_ones(name, offset):
    rng = np.random.default_rng(1)
    true, pred = (np.round(0.01 * rng.normal(size=(2, n, 3)) * 2**20) / 2**20 for n in (30, 25))
    move = np.array([[[1.0, -1.0, 0.5]], [[-1.0, 0.5, 1.0]]]) * offset
    loss = LOSSES[name](reduction=None)
    near = to_numpy(loss(true, pred))
    assert (near > 0).all()
    np.testing.assert_allclose(to_numpy(loss(true + move, pred + move)), near, rtol=1e-5)
    np.testing.assert_allclose(to_numpy(loss.call(true + move, pred + move)), near, rtol=1e-5)
    np.testing.assert_allclose(
        near, [oracles.value(oracles.one_way(name), *p) for p in zip(true, pred, strict=True)], rtol=1e-4
    )


@tensorflow_only
@pytest.mark.parametrize("path", PATHS)
def test_gradients_of_float64_tensors_far_away_are_those_of_near_ones(name, path, clouds):
    true, pred = (np.round(cloud.astype("float64") * 2**20) / 2**20 for cloud in clouds)
    near, far = (evaluate(path, true + move, pred + move)[name] for move in (0, 1e7))
    np.testing.assert_allclose(far.values, near.values, rtol=1e-5)
    np.testing.assert_allclose(far.mean, near.mean, rtol=1e-5)
    np.testing.assert_allclose(far.slope, near.slope, rtol=1e-4, atol=1e-6 * np.abs(near.slope).max())
    assert np.abs(near.slope).max() > 0


def test_two_clouds_eight_thousandths_apart_four_million_away_are_eight_thousandths_apart():
    true = np.zeros((1, 1, 3)) + [[[4e6, 0.0, 0.0]]]
    pred = true + [[[0.008, 0.0, 0.0]]]
    np.testing.assert_allclose(float(CD()(true, pred)), 2 * (pred - true)[0, 0, 0], rtol=1e-6)


# A truth that is padding alone


@pytest.mark.parametrize("path", PATHS)
def test_a_truth_of_padding_alone_counts_nowhere(name, path, clouds):
    true, pred = clouds
    padded = true.copy()
    padded[1] = np.nan
    found, expected = evaluate(path, padded, pred)[name], evaluate("eager", true, pred)[name].values[:, [0, 2]]
    np.testing.assert_allclose(found.values[:, [0, 2]], expected, rtol=1e-5)
    np.testing.assert_array_equal(found.values[:, 1], 0)
    np.testing.assert_allclose(found.mean, expected[0].mean(), rtol=1e-5)


@pytest.mark.parametrize("weights", [{"true_weight": 0.0}, {"pred_weight": 0.0}])
def test_the_mean_of_one_side_passes_it_over_too(name, weights, clouds):
    true, pred = clouds
    expected = to_numpy(LOSSES[name](reduction=None, **weights)(true, pred))[[0, 2]].mean()
    true[1] = np.nan
    np.testing.assert_allclose(to_numpy(LOSSES[name](**weights)(true, pred)), expected, rtol=1e-5)


@pytest.mark.parametrize("weights", [{}, {"true_weight": 0.0}, {"pred_weight": 0.0}])
def test_a_truth_of_padding_alone_has_no_gradient(name, weights, clouds):
    true, pred = clouds
    padded = true.copy()
    padded[1] = np.nan
    loss = LOSSES[name](**weights)
    found = gradient(lambda p: loss(padded, p), pred)
    kept = gradient(lambda p: loss(true[[0, 2]], p), pred[[0, 2]])
    np.testing.assert_array_equal(found[1], 0)
    np.testing.assert_allclose(found[[0, 2]], kept, rtol=1e-4, atol=1e-8)


@tensorflow_only
@pytest.mark.parametrize("path", PATHS[1:])
def test_its_gradient_is_zero_in_graphs_too(name, path, clouds):
    true, pred = clouds
    true[1] = np.nan
    found = evaluate(path, true, pred)[name].slope
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[1], 0)
    assert (np.abs(found[[0, 2]]).max(axis=(1, 2)) > 0).all()


def test_every_reduction_passes_a_truth_of_padding_alone_over(clouds):
    true, pred = clouds
    values = to_numpy(CD(reduction=None)(true, pred))
    true[1] = np.nan
    weight = np.float32([1, 5, 3])
    assert float(CD(reduction="sum")(true, pred)) == pytest.approx(values[[0, 2]].sum(), rel=1e-5)
    assert float(CD()(true, pred, weight)) == pytest.approx((values[0] + 3 * values[2]) / 2, rel=1e-5)
    weighted_mean = CD(reduction="mean_with_sample_weight")(true, pred, weight)
    assert float(weighted_mean) == pytest.approx((values[0] + 3 * values[2]) / 4, rel=1e-5)
    true[:] = np.nan
    for reduction in ("sum", "sum_over_batch_size", "mean_with_sample_weight"):
        assert float(CD(reduction=reduction)(true, pred)) == 0


@pytest.mark.parametrize("path", PATHS)
def test_a_predicted_nan_is_nan_whatever_the_truth(name, path, clouds):
    true, pred = clouds
    true[2] = np.nan
    pred[1:, 5, 2] = np.nan
    found = evaluate(path, true, pred)[name]
    np.testing.assert_array_equal(np.isnan(found.values), [[False, True, True]] * len(SIDES))
    assert np.isnan(found.mean)


BROKEN = {"a prediction": (0, 1), "the other end": (0, -1), "a truth": (1, 0), "both": (1, 1), "opposite": (1, -1)}
"""Signs of an infinite coordinate of truth and prediction; 0 for none."""


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", BROKEN)
def test_infinity_is_nan_on_either_side_of_a_loss(name, path, case, clouds):
    for cloud, sign in zip(clouds, BROKEN[case], strict=True):
        if sign:
            cloud[1, 5, 2] = sign * np.inf
    found = evaluate(path, *clouds)[name]
    np.testing.assert_array_equal(np.isnan(found.values), [[False, True, False]] * len(SIDES))
    assert np.isnan(found.mean)


# Ties


def with_ties(spacing):
    """Two samples of one lattice that take many places more than once."""
    rng = np.random.default_rng(2)
    return [(spacing * rng.integers(0, 5, (2, n, 3))).astype("float32") for n in (150, 120)]


def dcd_by_loops(true, pred, alpha, n_lambda=1.0, non_reg=False):
    """The mean of both sides; a neighbor is the first of all that are nearest."""
    total = 0.0
    for x, y in ((pred, true), (true, pred)):
        squared = np.square(x[:, None].astype("float64") - y[None]).sum(-1)
        nearest = (squared <= squared.min(axis=1, keepdims=True) * (1 + 1e-6)).argmax(axis=1)
        ratio = len(x) / len(y)
        ratio = max(1.0, ratio) if non_reg else ratio
        shared = np.array([np.sum(nearest == j) for j in nearest])
        total += np.mean(1 - np.exp(-alpha * squared.min(axis=1)) * ratio / (shared**n_lambda + 1e-6)) / 2
    return total


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("spacing", [1.0, 0.125, 0.1])
def test_ties_are_settled_alike_on_every_path(path, spacing):
    true, pred = with_ties(spacing)
    loss = DCD(alpha=1 / spacing**2, reduction=None)
    expected = [dcd_by_loops(*pair, 1 / spacing**2) for pair in zip(true, pred, strict=True)]
    np.testing.assert_allclose(to_numpy(along(path, loss, true, pred)), expected, rtol=1e-5)


@pytest.mark.parametrize("path", ["eager", "xla"])
def test_ties_of_one_side_are_settled_alike_too(path):
    true, pred = with_ties(1.0)
    sides = [DCD(alpha=0.3, reduction=None, true_weight=w, pred_weight=1 - w) for w in (0.0, 1.0)]
    total = sum(to_numpy(along(path, side, true, pred)) for side in sides)
    expected = [dcd_by_loops(*pair, 0.3) for pair in zip(true, pred, strict=True)]
    np.testing.assert_allclose(total, expected, rtol=1e-5)


# Arguments that only show at other sizes or values than the defaults


@pytest.mark.parametrize("n_lambda", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("non_reg", [False, True])
@pytest.mark.parametrize("sizes", [(50, 40), (40, 50), (12, 50)])
def test_dcd_takes_its_exponent_and_its_ratio_of_sizes(n_lambda, non_reg, sizes):
    rng = np.random.default_rng(3)
    true, pred = (0.3 * rng.normal(size=(1, n, 3)) for n in sizes)
    loss = DCD(alpha=2.0, n_lambda=n_lambda, non_reg=non_reg)
    expected = dcd_by_loops(true[0], pred[0], 2.0, n_lambda, non_reg)
    assert float(loss(true, pred)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("path", PATHS)
def test_padding_is_no_term_of_the_sum_in_info_cd(path, clouds):
    true, pred = clouds
    padded = np.concatenate([true, np.full((3, 60, 3), np.nan, "float32")], axis=1)
    loss = InfoCD(tau=0.7, lam=0.5, reduction=None)
    found = to_numpy(along(path, loss, padded, pred))
    term = functools.partial(oracles.info_cd, tau=0.7, lam=0.5)
    expected = [oracles.value(term, *pair) for pair in zip(true, pred, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


# Weights of samples, and what is no array


@pytest.mark.parametrize("weight", [2.0, [2.0, 0.0, 1.0], [[2.0], [0.0], [1.0]]])
def test_samples_are_weighed_by_a_number_or_one_each(name, weight, clouds):
    values = to_numpy(LOSSES[name](reduction=None)(*clouds))
    found = float(LOSSES[name]()(*clouds, np.float32(weight)))
    assert found == pytest.approx(float(np.mean(values * np.ravel(weight))), rel=1e-5)


@pytest.mark.parametrize("shape", [(3, 40), (3, 50), (2,), (3, 3), (3, 40, 1)])
def test_weights_of_points_are_refused_by_name(name, shape, clouds):
    with pytest.raises(ValueError, match=r"sample_weight must be one number or one per cloud, .*for 3 clouds; points"):
        LOSSES[name]()(*clouds, np.ones(shape, "float32"))


@tensorflow_only
def test_ragged_clouds_are_refused_by_name(name, clouds):
    import tensorflow as tf

    ragged = tf.ragged.stack([tf.constant(clouds[0][0]), tf.constant(clouds[0][1, :9]), tf.constant(clouds[0][2])])
    with pytest.raises(ValueError, match="y_true is a RaggedTensor.*NaN"):
        LOSSES[name]()(ragged, clouds[1])
    with pytest.raises(ValueError, match="y_true is a RaggedTensor.*NaN"):
        tf.function(LOSSES[name]())(ragged, clouds[1])
    padded = ragged.to_tensor(np.nan)
    assert np.isfinite(float(LOSSES[name]()(padded, clouds[1])))
