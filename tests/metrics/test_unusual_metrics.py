"""Metrics of failed predictions, truths of padding alone, clouds far away and ties; weights; eager, graph and XLA."""

import keras
import numpy as np
import pytest
from backends import tensorflow_only
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from keras_wcd.losses import CD, DCD
from keras_wcd.metrics import CDL1, EMD, FIGURES, METRICS, FScore, consistency, fidelity, figures, mmd

pytestmark = pytest.mark.backend
PATHS = ["eager", "graph", "xla"]
ON_HOST = {"emd"}
"""What XLA cannot compile."""


@pytest.fixture(params=sorted(METRICS))
def name(request):
    return request.param


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    return tuple(0.05 * rng.normal(size=(3, n, 3)).astype("float32") for n in (40, 30))


def measured(name, path, *clouds):
    """The figure of every cloud, on one path through the backend."""
    metric = METRICS[name]()
    if path == "eager":
        return keras.ops.convert_to_numpy(metric.measure(*clouds))
    if path == "xla" and name in ON_HOST:
        pytest.skip("computed on the host")
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(metric.measure, jit_compile=path == "xla")(*map(tf.constant, clouds)).numpy()
    if keras.config.backend() == "jax" and path == "xla":
        import jax

        return np.asarray(jax.jit(metric.measure)(*clouds))
    pytest.skip("a path of other backends")
    return None


@pytest.mark.parametrize("path", PATHS)
def test_a_predicted_nan_is_nan_on_every_path(name, path, clouds):
    true, pred = clouds
    pred[1, 7, 2] = np.nan
    found = measured(name, path, true, pred)
    np.testing.assert_array_equal(np.isnan(found), [False, True, False])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("signs", [(0, 1), (0, -1), (1, 0), (1, 1), (1, -1)])
def test_infinity_in_truth_or_prediction_is_nan_on_every_path(name, path, signs, clouds):
    for cloud, sign in zip(clouds, signs, strict=True):
        if sign:
            cloud[1, 7, 2] = sign * np.inf
    np.testing.assert_array_equal(np.isnan(measured(name, path, *clouds)), [False, True, False])
    each = [figures(*pair, [name])[name] for pair in zip(*clouds, strict=True)]
    np.testing.assert_array_equal(np.isnan(each), [False, True, False])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("far", ["cd_l1", "cd_l2", "hausdorff"])
def test_distances_beyond_the_numbers_are_infinite_and_no_failure(far, path, clouds):
    found = measured(far, path, *(np.float32(1e21) * cloud for cloud in clouds))
    np.testing.assert_array_equal(found, np.inf)


@pytest.mark.parametrize("path", PATHS)
def test_a_truth_of_padding_alone_is_nan_on_every_path(name, path, clouds):
    true, pred = clouds
    true[2] = np.nan
    found = measured(name, path, true, pred)
    np.testing.assert_array_equal(np.isnan(found), [False, False, True])


@pytest.mark.parametrize("path", PATHS)
def test_padding_counts_nowhere_on_every_path(name, path, clouds):
    true, pred = clouds
    padded = np.concatenate([np.full((3, 9, 3), np.nan, "float32"), true], axis=1)
    np.testing.assert_allclose(measured(name, path, padded, pred), measured(name, "eager", true, pred), rtol=1e-5)


@tensorflow_only
@pytest.mark.parametrize("jit", [False, True])
def test_a_compiled_metric_tells_of_a_failed_prediction(name, jit, clouds):
    if jit and name in ON_HOST:
        pytest.skip("computed on the host")
    true, pred = clouds
    pred[1, 7, 2] = np.nan
    model = keras.Sequential([keras.layers.Identity()])
    model.compile(metrics=[METRICS[name]()], loss=CD(), jit_compile=jit)
    assert np.isnan(model.evaluate(pred, true, verbose=0, return_dict=True)[name])


@pytest.mark.parametrize("offset", [4e6, 1e9])
def test_float64_clouds_far_away_are_measured_as_near_ones(name, offset):
    rng = np.random.default_rng(1)
    true, pred = (np.round(0.05 * rng.normal(size=(2, 40, 3)) * 2**20) / 2**20 for _ in range(2))
    move = np.array([[[1.0, -1.0, 0.5]], [[-1.0, 0.5, 1.0]]]) * offset
    near = METRICS[name](), METRICS[name]()
    near[0].update_state(true, pred)
    near[1].update_state(true + move, pred + move)
    expected = float(near[0].result())
    assert expected > 0
    np.testing.assert_allclose(float(near[1].result()), expected, rtol=1e-5)
    pairs = list(zip(true, pred, move, strict=True))
    mean = np.mean([figures(t, p, [name])[name] for t, p, _ in pairs])
    np.testing.assert_allclose(mean, expected, rtol=1e-5)
    np.testing.assert_allclose(np.mean([figures(t + m, p + m, [name])[name] for t, p, m in pairs]), mean, rtol=1e-7)


@pytest.mark.parametrize("offset", [4e6, 1e9])
def test_figures_without_truth_do_not_depend_on_the_place(offset):
    rng = np.random.default_rng(2)
    scan, completed, car = (np.round(rng.normal(size=(n, 3)) * 2**20) / 2**20 for n in (30, 50, 60))
    move = offset * np.array([1.0, -1.0, 0.5])
    for figure in (
        lambda m: fidelity(scan + m, completed + m),
        lambda m: mmd(completed + m, [car + m, scan + m]),
        lambda m: consistency([scan + m, completed + m, car + m]),
    ):
        np.testing.assert_allclose(figure(move), figure(0), rtol=1e-7)
        assert figure(0) > 0


@pytest.mark.parametrize("sizes", [(60, 60), (30, 60)])
def test_emd_far_away_is_that_of_the_assignment_also_beyond_exact_sizes(sizes):
    rng = np.random.default_rng(3)
    true, pred = (np.round(rng.normal(size=(n, 3)) * 2**20) / 2**20 for n in sizes)
    cost = cdist(np.repeat(pred, 60 // len(pred), axis=0), np.repeat(true, 60 // len(true), axis=0))
    exact = cost[linear_sum_assignment(cost)].mean()
    for points, most in ((2048, 1 + 1e-6), (10, 1.01)):
        metric = EMD(exact_points=points)
        metric.update_state(true[None] + 1e7, pred[None] + 1e7)
        assert exact * (1 - 1e-6) <= float(metric.result()) <= exact * most


def dcd_by_loops(true, pred):
    """The mean of both sides; a neighbor is the first of all that are nearest."""
    total = 0.0
    for x, y in ((pred, true), (true, pred)):
        squared = np.square(x[:, None] - y[None]).sum(-1)
        nearest = squared.argmin(axis=1)
        shared = np.bincount(nearest, minlength=len(y))[nearest]
        total += np.mean(1 - np.exp(-1000 * squared.min(axis=1)) * len(x) / len(y) / (shared + 1e-6)) / 2
    return total


@pytest.mark.parametrize("path", PATHS)
def test_ties_are_settled_alike_on_every_path_and_in_float64(path):
    rng = np.random.default_rng(4)
    true, pred = (rng.integers(0, 5, (2, n, 3)) / 32 for n in (150, 120))
    expected = [dcd_by_loops(*pair) for pair in zip(true, pred, strict=True)]
    np.testing.assert_allclose(measured("dcd", path, np.float32(true), np.float32(pred)), expected, rtol=1e-5)
    np.testing.assert_allclose(
        [figures(*pair, ["dcd"])["dcd"] for pair in zip(true, pred, strict=True)], expected, rtol=1e-12
    )
    loss = DCD(reduction=None)(np.float32(true), np.float32(pred))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loss), expected, rtol=1e-5)


@pytest.mark.parametrize("weight", [2.0, 3, [2.0, 0.0, 1.0], [[2.0], [0.0], [1.0]]])
def test_samples_are_weighed_by_a_number_or_one_each(name, weight, clouds):
    values = measured(name, "eager", *clouds)
    metric = METRICS[name]()
    metric.update_state(*clouds, sample_weight=np.float32(weight))
    weights = np.broadcast_to(np.ravel(weight), 3)
    np.testing.assert_allclose(float(metric.result()), np.average(values, weights=weights), rtol=1e-5)


def test_a_number_weighs_batches_against_each_other(clouds):
    true, pred = clouds
    metric = CDL1()
    metric.update_state(true, pred, sample_weight=3.0)
    metric.update_state(true, 2 * pred, sample_weight=1.0)
    means = [measured("cd_l1", "eager", true, factor * pred).mean() for factor in (1, 2)]
    np.testing.assert_allclose(float(metric.result()), (3 * means[0] + means[1]) / 4, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 30), (3, 40), (2,), (4, 1), (3, 30, 1)])
def test_weights_of_points_are_refused_by_name(name, shape, clouds):
    with pytest.raises(ValueError, match=r"sample_weight must be one number or one per cloud, .*for 3 clouds; points"):
        METRICS[name]().update_state(*clouds, sample_weight=np.ones(shape, "float32"))


@tensorflow_only
def test_ragged_clouds_are_refused_by_name(name, clouds):
    import tensorflow as tf

    ragged = tf.ragged.stack([tf.constant(clouds[0][0]), tf.constant(clouds[0][1, :9]), tf.constant(clouds[0][2])])
    with pytest.raises(ValueError, match="y_true is a RaggedTensor.*NaN"):
        METRICS[name]().update_state(ragged, clouds[1])
    with pytest.raises(ValueError, match="y_pred is a RaggedTensor"):
        METRICS[name]().update_state(clouds[0], ragged)


@pytest.mark.parametrize("path", PATHS)
def test_a_point_at_the_threshold_itself_is_not_near(path):
    # A power of two: distance and threshold are one number, in float32 too.
    true = np.zeros((1, 4, 3), "float32")
    pred = np.float32([[[0.25, 0, 0], [0, 0.25, 0], [0, 0, 0.125], [0, 0.5, 0]]])
    metric = FScore(threshold=0.25)
    if path != "eager" and keras.config.backend() == "tensorflow":
        import tensorflow as tf

        found = tf.function(metric.measure, jit_compile=path == "xla")(true, pred)
    else:
        found = metric.measure(true, pred)
    # One of four predicted points is near, and all of the true ones.
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), [2 * 0.25 / 1.25], rtol=1e-6)


def test_the_float64_f_score_leaves_the_threshold_out_too():
    true, pred = np.zeros((1, 3)), np.array([[0.01, 0, 0], [0, 0, 0.005]])
    assert figures(true, pred, ["f_score"])["f_score"] == pytest.approx(2 * 0.5 / 1.5)
    assert set(FIGURES) == set(METRICS)
