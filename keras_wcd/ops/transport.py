"""Optimal transport between two clouds on the host, in memory that grows with one cloud only."""

import numpy as np

from keras_wcd.ops import host

BLOCK = 2**21
"""Entries of the largest block of distances that one core holds at once."""


def sinkhorn_distance(x: np.ndarray, y: np.ndarray, *, blur: float = 0.002, last_rounds: int = 10) -> float:
    r"""Mean distance over the entropic transport of a cloud onto another (Cuturi, NeurIPS 2013).

    The potentials of $P_{ij} = \exp((f_i + g_j - \lVert x_i - y_j \rVert)/\varepsilon) / NM$ are updated in turn, in
    the log domain, while $\varepsilon$ is halved from the clouds' extent down to `blur` times it.

    Args:
        x: Points `(N, 3)`.
        y: Points `(M, 3)`.
        blur: Last $\varepsilon$, as a share of the extent of both clouds together.
        last_rounds: Updates of both potentials at the last $\varepsilon$.

    Returns:
        $\sum_{ij} P_{ij} \lVert x_i - y_j \rVert$.
    """
    x, y = (np.asarray(points, np.float32) for points in (x, y))
    both = np.concatenate([x, y])
    extent = float(np.linalg.norm(both.max(axis=0) - both.min(axis=0)))
    if extent == 0:
        return 0.0
    f, g = np.zeros(len(x), np.float32), np.zeros(len(y), np.float32)
    halvings = int(np.ceil(np.log2(1 / blur)))
    for epsilon in [*(extent * blur * 2**k for k in range(halvings, 0, -1)), *[extent * blur] * last_rounds]:
        f = _each_block(_soft_minimum, x, y, g, np.float32(epsilon))
        g = _each_block(_soft_minimum, y, x, f, np.float32(epsilon))
    cost = _each_block(_mean_cost, y, x, f, np.float32(epsilon))
    return float(cost.mean(dtype=np.float64))


def _each_block(function, x: np.ndarray, y: np.ndarray, potential: np.ndarray, epsilon: float) -> np.ndarray:
    rows = max(1, BLOCK // len(y))
    jobs = [(x[start : start + rows], y, potential, epsilon) for start in range(0, len(x), rows)]
    return np.concatenate(host.parallel(function, jobs))


def _soft_minimum(x: np.ndarray, y: np.ndarray, potential: np.ndarray, epsilon: float) -> np.ndarray:
    """-epsilon log mean_j exp((potential_j - |x_i - y_j|)/epsilon), `(rows,)`."""
    exponent = (potential - _distances(x, y)) / epsilon
    top = exponent.max(axis=1, keepdims=True)
    exponent -= top
    return -epsilon * (np.log(np.exp(exponent, out=exponent).mean(axis=1)) + top[:, 0])


def _mean_cost(x: np.ndarray, y: np.ndarray, potential: np.ndarray, epsilon: float) -> np.ndarray:
    """Mean distance of each x under its own share of the plan, `(rows,)`."""
    distance = _distances(x, y)
    exponent = (potential - distance) / epsilon
    share = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    return (share * distance).sum(axis=1) / share.sum(axis=1)


def _distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    squared = np.zeros((len(x), len(y)), np.float32)
    for axis in range(3):
        squared += np.square(x[:, axis, None] - y[None, :, axis])
    return np.sqrt(squared, out=squared)
