"""Fidelity, minimal matching distance and consistency, and the float64 figures of pairs, against SciPy."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from keras_wcd.metrics import FIGURES, METRICS, consistency, fidelity, figures, mmd


def squared(x, y):
    return np.mean(cKDTree(np.asarray(y, np.float64)).query(np.asarray(x, np.float64))[0] ** 2)


def cd_l2(x, y):
    return 1000 * (squared(x, y) + squared(y, x))


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    return [0.2 * rng.normal(size=(n, 3)).astype("float32") for n in (90, 150, 70, 200, 1)]


def test_fidelity_is_the_one_sided_distance_from_scan_to_completion(clouds):
    scan, completed = clouds[:2]
    np.testing.assert_allclose(fidelity(scan, completed), 1000 * squared(scan, completed), rtol=1e-12)
    assert fidelity(scan, np.concatenate([completed, scan])) == 0
    assert fidelity(np.concatenate([completed, scan]), completed) > 0


def test_mmd_is_the_distance_to_the_most_similar_car(clouds):
    completed, *cars = clouds
    expected = min(cd_l2(completed, car) for car in cars)
    np.testing.assert_allclose(mmd(completed, cars), expected, rtol=1e-12)
    np.testing.assert_allclose(mmd(completed, cars[::-1]), expected, rtol=1e-12)
    assert mmd(completed, [*cars, completed]) == 0


def test_consistency_is_the_mean_over_consecutive_frames(clouds):
    expected = np.mean([cd_l2(*pair) for pair in zip(clouds[:-1], clouds[1:], strict=True)])
    np.testing.assert_allclose(consistency(clouds), expected, rtol=1e-12)
    assert consistency([clouds[0], clouds[0], clouds[0]]) == 0
    np.testing.assert_allclose(consistency(clouds[::-1]), expected, rtol=1e-12)


def test_a_shift_of_a_plane_costs_its_square():
    plane = np.stack([*np.meshgrid(np.arange(9.0), np.arange(9.0)), np.zeros((9, 9))], -1).reshape(-1, 3)
    moved = plane + [0, 0, 0.1]
    np.testing.assert_allclose(fidelity(plane, moved), 10)
    np.testing.assert_allclose(mmd(plane, [moved]), 20)
    np.testing.assert_allclose(consistency([plane, moved, plane]), 20)


def test_a_completion_that_is_not_finite_is_nan(clouds):
    broken = clouds[1].copy()
    broken[3, 1] = np.inf
    assert np.isnan(fidelity(clouds[0], broken))
    assert np.isnan(mmd(broken, clouds[2:]))
    assert np.isnan(consistency([clouds[0], broken, clouds[2]]))
    assert all(np.isnan(value) for value in figures(clouds[0], broken, list(FIGURES)).values())


def test_what_cannot_be_measured_is_named(clouds):
    with pytest.raises(ValueError, match="completed must be a cloud of shape"):
        fidelity(clouds[0], clouds[1].T)
    with pytest.raises(ValueError, match="cars is empty"):
        mmd(clouds[0], [])
    with pytest.raises(ValueError, match=r"cars\[1\] holds values that are not finite"):
        mmd(clouds[0], [clouds[1], np.full((3, 3), np.nan)])
    with pytest.raises(ValueError, match="at least two frames"):
        consistency(clouds[:1])
    with pytest.raises(ValueError, match="y_pred must be a cloud"):
        figures(clouds[0], np.zeros((0, 3)), ["cd_l1"])
    with pytest.raises(ValueError, match=r"metrics holds \['cd_l3'\]; known are"):
        figures(clouds[0], clouds[1], ["cd_l3"])


@pytest.mark.parametrize("name", sorted(METRICS))
def test_the_float64_figure_is_that_of_the_keras_metric(name):
    rng = np.random.default_rng(1)
    true, pred = 0.05 * rng.normal(size=(2, 2, 60, 3)).astype("float32")
    metric = METRICS[name]()
    metric.update_state(true, pred)
    mean = np.mean([figures(*pair, [name])[name] for pair in zip(true, pred, strict=True)])
    np.testing.assert_allclose(mean, float(metric.result()), rtol=1e-5)


def test_every_metric_has_its_figure():
    assert set(FIGURES) == set(METRICS)


def test_two_frames_are_a_sequence():
    rng = np.random.default_rng(9)
    now, then = rng.normal(size=(2, 20, 3))
    assert consistency([now, then]) == pytest.approx(cd_l2(now, then))
