"""Scans cut from complete clouds: the points near a view point are taken away (PoinTr, ICCV 2021)."""

from collections.abc import Sequence

import numpy as np

from keras_wcd.ops.sampling import farthest_point_indices

VIEW_POINTS = (
    (1, 1, 1),
    (1, 1, -1),
    (1, -1, 1),
    (-1, 1, 1),
    (-1, -1, 1),
    (-1, 1, -1),
    (1, -1, -1),
    (-1, -1, -1),
)
"""The corners from which test scans are cut, in the published order; not on the unit sphere but sqrt(3) away."""

DIFFICULTIES = {"easy": 1 / 4, "median": 1 / 2, "hard": 3 / 4}
"""The share of the points that is taken away."""

SCAN_POINTS = 2048


def unit_sphere(points: np.ndarray) -> np.ndarray:
    r"""$(p - \bar p) / \max_i \lVert p_i - \bar p \rVert$: the mean at the origin, the farthest point at distance 1.

    Args:
        points: `(N, 3)`.

    Returns:
        `(N, 3)`, float32; computed in float64. A single place lies at the origin.
    """
    centered = np.asarray(points, np.float64) - np.mean(points, axis=0, dtype=np.float64)
    radius = np.sqrt((centered**2).sum(axis=1).max())
    return (centered / (radius or 1.0)).astype(np.float32)


def cut(points: np.ndarray, view_point: np.ndarray | Sequence[float], removed: int) -> np.ndarray:
    """What is left when the `removed` points nearest to a view point are taken away, the nearest first.

    Args:
        points: `(N, 3)`.
        view_point: `(3,)`.
        removed: 0 to N - 1; of points equally far those that stand first go first.
    """
    if not 0 <= removed < len(points):
        raise ValueError(f"removed must lie between 0 and {len(points) - 1}, got {removed}")
    square = ((np.asarray(points, np.float64) - np.asarray(view_point, np.float64)) ** 2).sum(axis=1)
    return points[np.argsort(square, kind="stable")[removed:]]


def fixed_cut(points: np.ndarray, view: int, difficulty: str) -> np.ndarray:
    """The remainder of a test cloud seen from `VIEW_POINTS[view]`: int(N / 4), int(N / 2) or int(3 N / 4) are cut."""
    return cut(points, VIEW_POINTS[view], int(len(points) * DIFFICULTIES[difficulty]))


def random_cut(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The remainder from a random view point on the unit sphere; N / 4 to 3 N / 4 points are cut, both included."""
    low, high = int(len(points) * 1 / 4), int(len(points) * 3 / 4)
    removed = int(rng.integers(low, high, endpoint=True))
    direction = rng.standard_normal(3)
    return cut(points, direction / np.linalg.norm(direction), removed)


def thinned(points: np.ndarray, count: int | None = SCAN_POINTS) -> np.ndarray:
    """`count` points by farthest point sampling from the first, as pointnet2's operator draws them; fewer stay."""
    if count is None or len(points) < count:
        return points
    return points[farthest_point_indices(points, count, "pointnet2")]
