"""The figures of one pair of clouds in float64, by k-d trees on the host: what evaluation prints."""

import functools
import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from keras_wcd.ops.kd_tree import lowest_nearest
from keras_wcd.ops.transport import transport_cost

THRESHOLD = 0.01
"""Of the F-score, on unsquared distances: one percent of the unit diagonal."""
EXACT_POINTS = 2048
"""Largest clouds whose earth mover's distance is found by assignment; its time grows with the cube of the size."""


def as_cloud(points: np.ndarray, name: str) -> np.ndarray:
    """`points` as a float64 cloud `(N, 3)`, N >= 1, values not looked at.

    Raises:
        ValueError: for another shape or an empty cloud.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise ValueError(f"{name} must be a cloud of shape (N, 3) with N >= 1, got shape {points.shape}")
    return np.ascontiguousarray(points)


def nearest(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances `(N,)` from finite `x` to the nearest in `y`, and their rows: the lowest of those equally near."""
    return lowest_nearest(x, y)


class Pair:
    """A true and a predicted cloud, searched at most once however many figures are asked for."""

    def __init__(self, true: np.ndarray, pred: np.ndarray):
        self.true, self.pred = as_cloud(true, "y_true"), as_cloud(pred, "y_pred")

    @functools.cached_property
    def there(self) -> tuple[np.ndarray, np.ndarray]:
        """Distances and rows from the predicted to the true points."""
        return nearest(self.pred, self.true)

    @functools.cached_property
    def back(self) -> tuple[np.ndarray, np.ndarray]:
        """Distances and rows from the true to the predicted points."""
        return nearest(self.true, self.pred)


def figures(true: np.ndarray, pred: np.ndarray, metrics: Sequence[str]) -> dict[str, float]:
    """Figures of a predicted cloud in float64, in the conventions of the metrics of the same names.

    Args:
        true: Ground truth `(M, 3)`.
        pred: Prediction `(N, 3)`.
        metrics: Names of `FIGURES`.

    Returns:
        Every figure by its name; NaN where either cloud holds a value that is not finite.

    Raises:
        ValueError: for an unknown name, another shape or an empty cloud.
    """
    unknown = sorted(set(metrics) - set(FIGURES))
    if unknown:
        raise ValueError(f"metrics holds {unknown}; known are {sorted(FIGURES)}")
    pair = Pair(true, pred)
    if not (np.isfinite(pair.true).all() and np.isfinite(pair.pred).all()):
        return dict.fromkeys(metrics, np.nan)
    return {name: float(FIGURES[name](pair)) for name in metrics}


def earth_movers_distance(true: np.ndarray, pred: np.ndarray, exact_points: int = EXACT_POINTS) -> float:
    """`EMD` of one pair: exact where as many copies of every point as make the sizes equal are few, else within 1 %."""
    size = math.lcm(len(true), len(pred))
    if size > exact_points:
        return transport_cost(pred, true).upper
    pred, true = (np.repeat(cloud, size // len(cloud), axis=0) for cloud in (pred, true))
    cost = cdist(pred, true)
    return float(cost[linear_sum_assignment(cost)].mean())


def _cd_l1(pair: Pair) -> float:
    return 500 * (pair.there[0].mean() + pair.back[0].mean())


def _cd_l2(pair: Pair) -> float:
    return 1000 * (np.square(pair.there[0]).mean() + np.square(pair.back[0]).mean())


def _f_score(pair: Pair) -> float:
    precision, recall = (np.mean(distance < THRESHOLD) for distance, _ in (pair.there, pair.back))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _dcd(pair: Pair, alpha: float = 1000.0) -> float:
    return (_dcd_side(*pair.there, len(pair.true), alpha) + _dcd_side(*pair.back, len(pair.pred), alpha)) / 2


def _dcd_side(distance: np.ndarray, index: np.ndarray, others: int, alpha: float) -> float:
    sharers = np.bincount(index, minlength=others)[index]
    return float(np.mean(1 - np.exp(-alpha * distance**2) * (len(distance) / others) / (sharers + 1e-6)))


def _hausdorff(pair: Pair) -> float:
    return max(pair.there[0].max(), pair.back[0].max())


def _emd(pair: Pair) -> float:
    return earth_movers_distance(pair.true, pair.pred)


FIGURES = {"cd_l1": _cd_l1, "cd_l2": _cd_l2, "f_score": _f_score, "dcd": _dcd, "hausdorff": _hausdorff, "emd": _emd}
