"""Promises that every row of METRICS keeps, against SciPy in float64."""

import inspect
import itertools

import keras
import numpy as np
import pytest
from backends import tensorflow_only
from loss_oracles import dcd
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist, directed_hausdorff

from keras_wcd import metrics
from keras_wcd.metrics import EMD, METRICS, FScore

pytestmark = pytest.mark.backend


def distances(true, pred):
    return cKDTree(true).query(pred), cKDTree(pred).query(true)


def f_score(true, pred, threshold=0.01):
    precision, recall = ((d < threshold).mean() for d, _ in distances(true, pred))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def assigned(true, pred):
    """Every assignment tried: the clouds are tiny."""
    cost = np.linalg.norm(pred[:, None] - true[None], axis=-1)
    rows = np.arange(len(pred))
    return min(cost[rows, list(columns)].mean() for columns in itertools.permutations(rows))


ORACLES = {
    "cd_l1": lambda true, pred: 1000 * sum(d.mean() for d, _ in distances(true, pred)) / 2,
    "cd_l2": lambda true, pred: 1000 * sum((d**2).mean() for d, _ in distances(true, pred)),
    "f_score": f_score,
    "dcd": lambda true, pred: sum(
        dcd(*side, len(a), len(b)) for side, a, b in zip(distances(true, pred), (pred, true), (true, pred), strict=True)
    ),
    "hausdorff": lambda true, pred: max(directed_hausdorff(true, pred)[0], directed_hausdorff(pred, true)[0]),
    "emd": assigned,
}


@pytest.fixture(params=sorted(METRICS))
def name(request):
    return request.param


@pytest.fixture
def clouds(name):
    rng = np.random.default_rng(0)
    sizes = (7, 7) if name == "emd" else (90, 60)
    return tuple(0.05 * rng.normal(size=(3, n, 3)).astype("float32") for n in sizes)


def test_is_the_mean_of_a_float64_oracle_over_all_batches(name, clouds):
    metric = METRICS[name]()
    for start in (0, 2):
        metric.update_state(*(c[start : start + 2] for c in clouds))
    expected = np.mean([ORACLES[name](*pair) for pair in zip(*(c.astype("float64") for c in clouds), strict=True)])
    assert expected > 0
    np.testing.assert_allclose(float(metric.result()), expected, rtol=1e-5)
    metric.reset_state()
    assert float(metric.result()) == 0


def test_weighs_samples(name, clouds):
    metric = METRICS[name]()
    metric.update_state(*clouds, sample_weight=np.float32([1, 0, 3]))
    values = [ORACLES[name](*pair) for pair in zip(*(c.astype("float64") for c in clouds), strict=True)]
    np.testing.assert_allclose(float(metric.result()), (values[0] + 3 * values[2]) / 4, rtol=1e-5)


def test_passes_padding_over(name, clouds):
    true, pred = clouds
    metric, padded = METRICS[name](), METRICS[name]()
    metric.update_state(true, pred)
    padded.update_state(np.concatenate([true, np.full((3, 4, 3), np.nan, "float32")], axis=1), pred)
    np.testing.assert_allclose(float(padded.result()), float(metric.result()), rtol=1e-6)


def test_a_predicted_nan_makes_it_nan(name, clouds):
    true, pred = clouds
    pred = pred.copy()
    pred[1, 2, 0] = np.nan
    metric = METRICS[name]()
    metric.update_state(true, pred)
    assert np.isnan(float(metric.result()))


def test_config_round_trip(name):
    metric = METRICS[name](name="mine")
    arguments = set(inspect.signature(type(metric)).parameters)
    assert arguments <= set(metric.get_config())
    assert type(metric).from_config(metric.get_config()).get_config() == metric.get_config()
    assert METRICS[name]().name == name


def test_works_in_fit_and_evaluate(name, clouds):
    true, _ = clouds
    model = keras.Sequential([keras.Input(true.shape[1:]), keras.layers.Dense(3)])
    model.compile("sgd", loss="mse", metrics=[METRICS[name]()], jit_compile=False)
    history = model.fit(true, true, batch_size=2, validation_data=(true, true), verbose=0).history
    evaluated = model.evaluate(true, true, verbose=0, return_dict=True)
    np.testing.assert_allclose(history[f"val_{name}"][0], evaluated[name], rtol=1e-6)
    metric = METRICS[name]()
    metric.update_state(true, model.predict(true, verbose=0))
    np.testing.assert_allclose(evaluated[name], float(metric.result()), rtol=1e-5)


def test_bad_clouds_are_named(name, clouds):
    with pytest.raises(ValueError, match="y_pred must be"):
        METRICS[name]().update_state(clouds[0], np.zeros((3, 3, 50), "float32"))


def test_the_f_score_of_clouds_apart_is_zero():
    metric = FScore()
    metric.update_state(np.zeros((1, 5, 3), "float32"), np.ones((1, 5, 3), "float32"))
    assert float(metric.result()) == 0
    with pytest.raises(ValueError, match="threshold"):
        FScore(threshold=0)


@pytest.mark.parametrize("sizes", [(500, 500), (250, 500)])
def test_emd_beyond_the_exact_sizes_is_at_most_one_per_cent_above(sizes):
    rng = np.random.default_rng(1)
    true, pred = (rng.uniform(size=(1, n, 3)).astype("float32") for n in sizes)
    exact, approximate = EMD(), EMD(exact_points=10)
    exact.update_state(true, pred)
    approximate.update_state(true, pred)
    ratio = float(approximate.result()) / float(exact.result())
    assert 1 - 1e-6 <= ratio <= 1.01
    assert ratio != 1
    copies = [np.repeat(c[0].astype("float64"), 500 // c.shape[1], axis=0) for c in (pred, true)]
    cost = cdist(*copies)
    np.testing.assert_allclose(float(exact.result()), cost[linear_sum_assignment(cost)].mean(), rtol=1e-6)


@tensorflow_only
def test_emd_works_in_a_graph():
    import tensorflow as tf

    clouds = np.random.default_rng(0).normal(size=(2, 2, 20, 3)).astype("float32")
    metric = EMD()
    np.testing.assert_allclose(tf.function(metric.measure)(*clouds), metric.measure(*clouds), rtol=1e-6)


def test_every_exported_metric_is_in_the_table():
    kinds = {v for v in vars(metrics).values() if isinstance(v, type) and issubclass(v, metrics.AbstractCloudMetric)}
    assert kinds - {metrics.AbstractCloudMetric} == set(METRICS.values())
