"""Ground truth in farthest-point order: every subset that a loss or a metric asks for is then a prefix."""

import numpy as np

from keras_wcd.ops.sampling import farthest_points_of_each

PREFIX = 2048
"""Points sampled in order at least; the stages of the published networks ask for no more short of all of them."""
_TOGETHER = 8
"""Clouds ordered at once: long NumPy calls leave the interpreter to the other threads."""


def order_all(clouds: list[np.ndarray], prefix: int, keep: int | None) -> list[np.ndarray]:
    """Every cloud `(M, 3)` in the order of `fps_order(cloud, min(prefix, M))`, its first `keep` points."""
    ordered: list = [None] * len(clouds)
    sizes = np.array([len(cloud) for cloud in clouds])
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        for start in range(0, len(rows), _TOGETHER):
            group = rows[start : start + _TOGETHER]
            first = farthest_points_of_each(np.stack([clouds[row] for row in group]), min(prefix, size))
            for row, index in zip(group, first, strict=True):
                ordered[row] = clouds[row][_completed(index, size)[:keep]]
    return ordered


def _completed(first: np.ndarray, size: int) -> np.ndarray:
    """A sampling without its repetitions, then the indices that it leaves out."""
    _, where = np.unique(first, return_index=True)
    rest = np.ones(size, bool)
    rest[first] = False
    return np.concatenate([first[np.sort(where)], np.flatnonzero(rest)])
