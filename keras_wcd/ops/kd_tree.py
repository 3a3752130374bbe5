"""Nearest neighbors by k-d trees on the host's cores, in NumPy."""

import numpy as np
from pykdtree.kdtree import KDTree

from keras_wcd.ops import host

LEAF = 32
"""Points in a leaf of the tree: the fastest of 8 to 64 for 2048 and 16384 points, by a few per cent."""
TIE = 2.0**-20
"""Squared distances that differ by less than this share are equal: roundings that differ by path must not decide."""
MOST_TIED = 8
"""Neighbors that the tree is asked for to settle ties; queries that have more are compared with every point."""
BLOCK = 2**20
"""Pairs that are compared at once."""


def search(x: np.ndarray, y: np.ndarray, k: int | None, both: bool, lowest: bool) -> list[np.ndarray]:
    """Indices `(B, N)` from x to y, and from y to x if `both`; of k neighbors on a last axis unless k is None.

    Args:
        x: Clouds `(B, N, 3)`; rows that are not finite find any neighbor.
        y: Clouds `(B, M, 3)`; rows that are not finite are never found.
        k: Neighbors per query, or None for one.
        both: Whether to search from y to x too.
        lowest: Of neighbors that are equally near take that of the lowest index, for k None.
    """
    if not len(x):
        # What a replica gets of a batch of fewer clouds than there are replicas.
        rest = () if k is None else (k,)
        return [np.zeros((0, clouds.shape[1], *rest), np.int32) for clouds in ((x, y) if both else (x,))]
    jobs = [(a, b, k, lowest) for a, b in zip(x, y, strict=True)]
    if both:
        jobs += [(b, a, k, lowest) for a, b in zip(x, y, strict=True)]
    found = host.parallel(_query, jobs)
    return [np.stack(found[start : start + len(x)]) for start in range(0, len(jobs), len(x))]


def _query(x: np.ndarray, y: np.ndarray, k: int | None, lowest: bool) -> np.ndarray:
    rows = None if np.isfinite(y).all() else np.flatnonzero(np.isfinite(y).all(axis=-1))
    if rows is not None:
        if not rows.size:
            return np.zeros((len(x),) if k is None else (len(x), k), np.int32)
        y = y[rows]
    if not np.isfinite(x).all():
        x = np.where(np.isfinite(x), x, 0)
    x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
    index = lowest_nearest(x, y)[1] if lowest else _valid(KDTree(y, leafsize=LEAF).query(x, k or 1)[1], len(y))
    index = index.reshape((len(x),) if k is None else (len(x), k))
    return (index if rows is None else rows[index]).astype(np.int32)


def lowest_nearest(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances `(N,)` from finite `x` to the nearest in finite `y`; of the rows within `TIE` of it the lowest."""
    tree = KDTree(y, leafsize=LEAF)
    near, distance, found = _tied(tree, x, min(2, len(y)))
    lowest = np.where(near, found, len(y)).min(axis=1)
    if near.shape[1] == 2 and (open_ := np.flatnonzero(near[:, 1])).size:
        near, _, found = _tied(tree, x[open_], min(MOST_TIED, len(y)))
        lowest[open_] = np.where(near, found, len(y)).min(axis=1)
        many = open_[near[:, -1]]
        step = max(1, BLOCK // len(y))
        for block in (many[start : start + step] for start in range(0, len(many), step)):
            lowest[block] = _first_of_all(x[block], y)
    return distance, lowest


def _tied(tree: KDTree, x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of the k nearest are as near as the nearest `(N, k)`, its distance `(N,)` and the indices `(N, k)`."""
    distance, index = (found.reshape(len(x), k) for found in tree.query(x, k))
    squared = np.square(distance)
    return squared <= squared[:, :1] * (1 + TIE), distance[:, 0], _valid(index, tree.n).astype(np.int64)


def _first_of_all(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    along_x, along_y, along_z = (np.square(np.subtract.outer(x[:, axis], y[:, axis])) for axis in range(3))
    squared = along_x + along_y + along_z
    return (squared <= squared.min(axis=1, keepdims=True) * (1 + TIE)).argmax(axis=1)


def _valid(index: np.ndarray, size: int) -> np.ndarray:
    """Indices below a size: too few points, or a distance beyond the dtype, give the largest unsigned integer."""
    # It must be seen before a cast makes it negative.
    if index.max() < size:
        return index
    first = index if index.ndim == 1 else index[:, :1]
    return np.where(index < size, index, np.minimum(first, size - 1))
