"""The figures for scans without ground truth: PCN's test on the cars of KITTI (Yuan et al., 3DV 2018)."""

from collections.abc import Sequence

import numpy as np

from keras_wcd.metrics.float64 import as_cloud, nearest


def fidelity(partial: np.ndarray, completed: np.ndarray) -> float:
    r"""How well a completion keeps what was measured: the one-sided CD-L2 x 1000 from scan to completion.

    $$1000 \operatorname{mean}_{p \in P} \min_{x \in X} \lVert p - x \rVert^2$$

    Args:
        partial: The scan $P$, `(N, 3)`.
        completed: Its completion $X$, `(M, 3)`.

    Returns:
        The figure in float64; NaN where a cloud holds a value that is not finite.

    Raises:
        ValueError: for another shape or an empty cloud.
    """
    return 1000 * _one_sided(as_cloud(partial, "partial"), as_cloud(completed, "completed"))


def mmd(completed: np.ndarray, cars: Sequence[np.ndarray]) -> float:
    r"""How much a completion looks like a car: CD-L2 x 1000 to the most similar of the given cars.

    $$1000 \min_{Y} \left( \operatorname{mean}_{x} d(x, Y)^2 + \operatorname{mean}_{y \in Y} d(y, X)^2 \right)$$

    Minimal matching distance; the field takes the cars of PCN. The time grows with their number.

    Args:
        completed: The completion $X$, `(M, 3)`.
        cars: Complete cars $Y$, each `(K, 3)`.

    Returns:
        The figure in float64; NaN where the completion holds a value that is not finite.

    Raises:
        ValueError: for another shape, an empty cloud, no cars or a car that is not finite.
    """
    completed = as_cloud(completed, "completed")
    if not len(cars):
        raise ValueError("cars is empty; at least one complete car is needed")
    if not np.isfinite(completed).all():
        return np.nan
    best = np.inf
    for number, car in enumerate(cars):
        car = as_cloud(car, "cars")
        if not np.isfinite(car).all():
            raise ValueError(f"cars[{number}] holds values that are not finite; leave that car out")
        there = _one_sided(completed, car)
        # A car that is too far already need not be searched from its own side.
        if there < best:
            best = min(there + _one_sided(car, completed), best)
    return 1000 * best


def consistency(sequence: Sequence[np.ndarray]) -> float:
    r"""How little the completions of one car change from frame to frame: the mean CD-L2 x 1000 of neighbors.

    $$\frac{1000}{T - 1} \sum_t \left( \operatorname{mean}_{x \in X_t} d(x, X_{t+1})^2
      + \operatorname{mean}_{x \in X_{t+1}} d(x, X_t)^2 \right)$$

    Args:
        sequence: Completions $X_1, \dots, X_T$ `(M, 3)` of consecutive frames, T >= 2.

    Returns:
        The figure in float64; NaN where a cloud holds a value that is not finite.

    Raises:
        ValueError: for another shape, an empty cloud or fewer than two frames.
    """
    if len(sequence) < 2:
        raise ValueError(f"sequence must hold at least two frames of a car, got {len(sequence)}")
    clouds = [as_cloud(cloud, "sequence") for cloud in sequence]
    pairs = zip(clouds[:-1], clouds[1:], strict=True)
    return float(1000 * np.mean([_one_sided(now, then) + _one_sided(then, now) for now, then in pairs]))


def _one_sided(x: np.ndarray, y: np.ndarray) -> float:
    """Mean squared distance from `x` to `y`."""
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return np.nan
    return float(np.square(nearest(x, y)[0]).mean())
