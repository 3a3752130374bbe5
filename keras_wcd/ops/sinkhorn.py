"""Potentials of entropic optimal transport by Sinkhorn's iteration (Cuturi, NeurIPS 2013), on the host."""

import numpy as np

from keras_wcd.ops.pairwise import by_block, distances

UPDATES = 5
"""Updates of both potentials at every epsilon."""
SMALLEST = 1e-3
"""Least epsilon as a share of the median distance: clouds that are the same leave no other distance to end at."""


def sinkhorn_potentials(
    x: np.ndarray, x_mass: np.ndarray, y: np.ndarray, y_mass: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    r"""Potentials of $P_{ij} = a_i b_j \exp((f_i + g_j - \lVert x_i - y_j \rVert)/\varepsilon)$.

    They are updated in turn, in the log domain, while $\varepsilon$ is halved from half the largest distance to a
    thirtieth of the transport's cost or a quarter of the mean distance to the nearest neighbor.

    Args:
        x: Points `(N, 3)`, float32.
        x_mass: Their masses a `(N,)`, of sum 1.
        y: Points `(M, 3)`, float32.
        y_mass: Their masses b `(M,)`, of sum 1.

    Returns:
        f `(N,)`, g `(M,)` and about the cost of the transport, above zero for clouds of more than one place.
    """
    distance = distances(x, y)
    # From the largest distance on: a far point's potential moves by about epsilon in an update.
    epsilon, smallest = distance.max() / 2, np.median(distance[distance > 0]) * SMALLEST
    near = (distance.min(axis=1) @ x_mass + distance.min(axis=0) @ y_mass) / 2
    log_x, log_y = np.log(x_mass, dtype=np.float32), np.log(y_mass, dtype=np.float32)
    f, g = np.zeros(len(x), np.float32), np.zeros(len(y), np.float32)
    while True:
        for _ in range(UPDATES):
            f = np.concatenate(by_block(_soft_minimum, (x,), y, log_y, g, epsilon))
            g = np.concatenate(by_block(_soft_minimum, (y,), x, log_x, f, epsilon))
        cost = float(f @ x_mass + g @ y_mass)
        if epsilon <= max(near / 4, cost / 30, smallest):
            return f, g, max(cost, near, epsilon)
        epsilon /= 2


def _soft_minimum(x: np.ndarray, y: np.ndarray, log_mass: np.ndarray, potential: np.ndarray, epsilon: float):
    """-epsilon log sum_j b_j exp((potential_j - |x_i - y_j|)/epsilon), `(rows,)`."""
    exponent = (potential - distances(x, y)) / np.float32(epsilon) + log_mass
    top = exponent.max(axis=1, keepdims=True)
    exponent -= top
    return -np.float32(epsilon) * (np.log(np.exp(exponent, out=exponent).sum(axis=1)) + top[:, 0])
