"""The last digits of a search: Nelder-Mead between the ends of a grid."""

from collections.abc import Callable

import numpy as np
from scipy import optimize


def polish(objective: Callable[[np.ndarray], float], starts: np.ndarray, values: list[np.ndarray]) -> np.ndarray:
    """The lowest point that Nelder-Mead finds from the starts, on logarithms and between the ends of the values.

    Args:
        objective: Of a point `(n,)`.
        starts: Points to start from `(S, n)`.
        values: The ascending grid of each of the n coordinates; one with a single value stays as it is.
    """
    free = [i for i, grid in enumerate(values) if grid.size > 1]
    if not free:
        return starts[0]
    bounds = [(np.log(values[i][0]), np.log(values[i][-1])) for i in free]
    steps = np.array([(high - low) / (values[i].size - 1) for i, (low, high) in zip(free, bounds, strict=True)])

    def cost(x: np.ndarray, start: np.ndarray) -> float:
        return objective(placed(x, start))

    def placed(x: np.ndarray, start: np.ndarray) -> np.ndarray:
        point = start.copy()
        point[free] = np.exp(x)
        return point

    found = [(objective(start), start) for start in starts]
    for start in starts:
        x = np.log(start[free])
        # The second pass starts a fresh, smaller simplex: the first may have collapsed on a ridge of |.|.
        for size in (1.0, 0.1):
            corners = np.vstack([x, x + size * np.diag(np.where(x + steps <= [b for _, b in bounds], steps, -steps))])
            options = {"initial_simplex": corners, "xatol": 1e-6, "fatol": 1e-12, "maxfev": 300}
            result = optimize.minimize(cost, x, (start,), "Nelder-Mead", bounds=bounds, options=options)
            x = result.x
        found.append((result.fun, placed(x, start)))
    return min(found, key=lambda pair: pair[0])[1]
