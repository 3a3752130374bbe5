"""Distributions of distances."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from scipy.spatial import cKDTree

from keras_wcd.distill import DistanceDistribution


class Shifted:
    """A model that moves its input."""

    name = "shifted"

    def predict(self, partial, verbose):
        return (np.zeros((1, 1, 3)), np.asarray(partial) + 0.1)


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, 30, 3)).astype("float32"), rng.normal(size=(4, 50, 3)).astype("float32")


def expected_residuals(partial, truth):
    found = []
    for x, y in zip(partial + np.float32(0.1), truth, strict=True):
        y = y[~np.isnan(y).any(axis=1)]
        found += [cKDTree(y).query(x)[0], cKDTree(x).query(y)[0]]
    return np.concatenate(found)


@pytest.mark.parametrize(
    "p",
    [
        DistanceDistribution.simulated(),
        DistanceDistribution.uniform(0.2, 1.0),
        DistanceDistribution.half_normal(0.3),
        DistanceDistribution.from_samples(np.random.default_rng(0).gamma(2.0, size=10000)),
    ],
    ids=lambda p: p.name,
)
def test_is_a_distribution(p):
    assert p.weights.sum() == pytest.approx(1)
    assert (np.diff(p.support) > 0).all()
    assert p.support[0] >= 0
    assert 256 <= p.support.size <= 512
    assert p.quantile(0) <= p.quantile(0.25) <= p.median <= p.quantile(1) == p.support[-1]


def test_keeps_the_moments_of_many_samples():
    samples = np.random.default_rng(1).gamma(2.0, 0.01, 100000)
    p = DistanceDistribution.from_samples(samples)
    assert p.weights @ p.support == pytest.approx(samples.mean(), rel=1e-9)
    assert p.weights @ p.support**2 == pytest.approx(np.mean(samples**2), rel=1e-3)
    assert p.median == pytest.approx(np.median(samples), rel=1e-2)


def test_keeps_few_samples_as_they_are_and_counts_repetitions():
    p = DistanceDistribution.from_samples([[0.3, 0.1], [0.1, 0.2]])
    np.testing.assert_allclose(p.support, [0.1, 0.2, 0.3])
    np.testing.assert_allclose(p.weights, [0.5, 0.25, 0.25])


def test_merges_what_many_equal_samples_share():
    p = DistanceDistribution.from_samples(np.r_[np.zeros(5000), np.linspace(0.1, 1, 5000)])
    assert p.support[0] == 0
    assert p.weights[0] == pytest.approx(0.5, abs=0.01)


def test_quantiles_are_those_of_the_named_distributions():
    levels = np.linspace(0.05, 0.95, 19)
    for p, q in (
        (DistanceDistribution.uniform(0.2, 0.7), stats.uniform(0.2, 0.5)),
        (DistanceDistribution.half_normal(0.3), stats.halfnorm(scale=0.3)),
    ):
        np.testing.assert_allclose([p.quantile(level) for level in levels], q.ppf(levels), atol=0.004)


def test_simulation_is_set_by_its_seed():
    first, again, other = (DistanceDistribution.simulated(seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.support, again.support)
    assert not np.array_equal(first.support, other.support)
    assert 0.01 < first.median < 0.04
    assert first.quantile(1) < 1


@pytest.mark.parametrize("form", ["tf.data", "list", "pair"])
def test_measures_the_residuals_of_a_model_both_ways(clouds, form):
    partial, truth = clouds
    dataset = {
        "tf.data": tf.data.Dataset.from_tensor_slices((partial, truth)).batch(3),
        "list": [(partial[:1], truth[:1]), (partial[1:], truth[1:])],
        "pair": (partial, truth),
    }[form]
    p = DistanceDistribution.from_model(Shifted(), dataset)
    expected = DistanceDistribution.from_samples(expected_residuals(partial, truth))
    np.testing.assert_allclose(p.support, expected.support, rtol=1e-5)
    assert p.name == "residuals of shifted"


def test_leaves_padding_out(clouds):
    partial, truth = clouds
    truth[1, 40:] = np.nan
    p = DistanceDistribution.from_model(Shifted(), (partial, truth))
    expected = DistanceDistribution.from_samples(expected_residuals(partial, truth))
    np.testing.assert_allclose(p.support, expected.support, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DistanceDistribution.uniform(1.0, 0.5), "low 1.0 and high 0.5"),
        (lambda: DistanceDistribution.uniform(-1.0, 0.5), "low -1.0"),
        (lambda: DistanceDistribution.half_normal(0.0), "sigma must be a positive number, got 0.0"),
        (lambda: DistanceDistribution([0.2, 0.1], [0.5, 0.5]), "support must be ascending"),
        (lambda: DistanceDistribution([0.1, 0.2], [1.0]), "weights must be 2 numbers"),
        (lambda: DistanceDistribution([0.1, 0.2], [0.0, 0.0]), "not all zero"),
        (lambda: DistanceDistribution.from_model(Shifted(), []), "at least one batch"),
        (lambda: DistanceDistribution.from_model(Shifted(), [np.zeros((1, 4, 3))]), "must yield pairs"),
        (
            lambda: DistanceDistribution.from_model(Shifted(), (np.full((1, 4, 3), np.nan), np.zeros((1, 4, 3)))),
            "'shifted' predicts values that are not finite",
        ),
    ],
)
def test_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()
