"""What `tf.function` and XLA make of a loss: the values and gradients of eager calls, with NaN where it belongs."""

import numpy as np
import pytest
from backends import tensorflow_only
from every_loss import CASES, PATHS, SIDES, evaluate
from loss_oracles import one_way, value

from keras_wcd.losses import LOSSES

pytestmark = [pytest.mark.backend, tensorflow_only]


@pytest.fixture(params=sorted(LOSSES))
def name(request):
    return request.param


@pytest.fixture
def clouds():
    rng = np.random.default_rng(7)
    # Near enough that the exponentials of no loss have vanished.
    return tuple(0.1 * rng.normal(size=(3, n, 3)).astype("float32") for n in (60, 40))


def assert_same(found, eager):
    np.testing.assert_allclose(found.values, eager.values, rtol=5e-7)
    np.testing.assert_allclose(found.mean, eager.mean, rtol=5e-7)
    # Both are float32 and differ by its rounding of the largest component: 3e-7 of it at most.
    np.testing.assert_allclose(found.slope, eager.slope, rtol=0, atol=5e-7 * np.abs(eager.slope).max())


@pytest.mark.parametrize("path", PATHS[1:])
def test_gives_the_eager_value_and_gradient(name, path, clouds):
    assert_same(evaluate(path, *clouds)[name], evaluate("eager", *clouds)[name])


@pytest.mark.parametrize("path", PATHS[1:])
@pytest.mark.parametrize("case", CASES)
def test_gives_them_at_other_arguments_too(case, path, clouds):
    true, pred = (10 * cloud for cloud in clouds)
    assert_same(*(evaluate(how, true, pred, others=True)[case] for how in (path, "eager")))


@pytest.mark.parametrize("path", PATHS)
def test_padding_of_the_truth_counts_nowhere(name, path, clouds):
    true, pred = clouds
    true[:, :7] = np.nan
    true[0, 9] = [0.1, np.nan, 0.2]
    true[1, 20:30] = np.nan
    found = evaluate(path, true, pred)[name]
    kept = [cloud[~np.isnan(cloud).any(axis=-1)] for cloud in true]
    for values, weights in zip(found.values, SIDES, strict=True):
        expected = [value(one_way(name), *pair, *weights) for pair in zip(kept, pred, strict=True)]
        np.testing.assert_allclose(values, expected, rtol=1e-5)
    for cloud, answer, slope in zip(kept, pred, found.slope, strict=True):
        alone = evaluate("eager", cloud[None], answer[None])[name].slope[0] / len(kept)
        np.testing.assert_allclose(slope, alone, rtol=0, atol=1e-6 / len(kept))


@pytest.mark.parametrize("path", PATHS)
def test_a_predicted_nan_reaches_the_loss_of_its_cloud_alone(name, path, clouds):
    true, pred = clouds
    pred[1, 5, 2] = np.nan
    for values, weights in zip(evaluate(path, true, pred)[name].values, SIDES, strict=True):
        assert np.isnan(values[1]), weights
        for row in (0, 2):
            expected = value(one_way(name), true[row], pred[row], *weights)
            np.testing.assert_allclose(values[row], expected, rtol=1e-5)


@pytest.mark.parametrize("path", PATHS)
def test_the_gradient_is_zero_where_clouds_coincide(name, path, clouds):
    true, _ = clouds
    true[:, :20] = np.nan
    found = evaluate(path, true, true[:, 20:])[name]
    assert np.isfinite(found.values).all()
    np.testing.assert_array_equal(found.slope, 0)
