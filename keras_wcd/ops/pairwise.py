"""Distances of all pairs of two clouds on the host, a block of rows at a time."""

from collections.abc import Callable

import numpy as np

from keras_wcd.ops import host

BLOCK = 2**19
"""Entries of the largest block of distances that one core holds at once: what its cache holds."""


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distances `(N, M)` of two clouds `(N, 3)` and `(M, 3)` by difference, in their dtype."""
    # Coordinates in rows of their own: twice as fast as columns of (M, 3).
    y = np.ascontiguousarray(y.T)
    squared = np.square(np.subtract.outer(x[:, 0], y[0]))
    term = np.empty_like(squared)
    for axis in (1, 2):
        np.subtract(x[:, axis, None], y[axis], out=term)
        squared += np.square(term, out=term)
    return np.sqrt(squared, out=squared)


def by_block(function: Callable, rows: tuple[np.ndarray, ...], y: np.ndarray, *arguments) -> list:
    """`function(*blocks of the rows, y, *arguments)` of every block of a cloud's rows, on all cores."""
    step = max(1, BLOCK // len(y))
    starts = range(0, len(rows[0]), step)
    return host.parallel(function, [(*(part[s : s + step] for part in rows), y, *arguments) for s in starts])
