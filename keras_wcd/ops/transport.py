"""Optimal transport between two clouds on the host, in memory that grows with the clouds and not with their pairs."""

import math
from typing import NamedTuple

import numpy as np
from pykdtree.kdtree import KDTree

from keras_wcd.ops.flow import Flow
from keras_wcd.ops.pairwise import by_block, distances
from keras_wcd.ops.sinkhorn import sinkhorn_potentials

COARSEST = 1024
"""Points up to which Sinkhorn's iteration takes a cloud whole; above, every level has a quarter of the points."""
NEIGHBORS = 8
"""Cheapest edges that every point offers in a round."""
STEPS = (0.05, 0.02, 0.008, 0.004)
"""Units in which the rounds count costs, as shares of the mean cost; later rounds take the last."""
LIMIT = 64
"""Units that a price may rise in a round, doubled where that did not do: what lies further needs new edges."""
ROUNDS = 20
"""Most rounds of one level."""
COARSE_TOLERANCE = 0.1
"""Gap of the bounds at which a coarse level has taught what it can."""


class Bounds(NamedTuple):
    """The mean distance of a transport that exists, and a bound that none goes below."""

    upper: float
    lower: float


class Masses(NamedTuple):
    """Points `(N, 3)` in float64 and their masses `(N,)`, whole numbers."""

    points: np.ndarray
    mass: np.ndarray


def transport_cost(x: np.ndarray, y: np.ndarray, *, tolerance: float = 0.01) -> Bounds:
    r"""Mean distance over the cheapest transport of one cloud onto another, within a tolerance that is checked.

    $$\min_{P \ge 0} \sum_{ij} P_{ij} \lVert x_i - y_j \rVert, \qquad P 1 = 1/N, \; P^\top 1 = 1/M$$

    The flow along a few edges per point, in whole units of mass, is always a transport, and its cost an upper bound.
    Potentials with $f_i + g_j \le \lVert x_i - y_j \rVert$ for all pairs give a lower one,
    $\operatorname{mean} f + \operatorname{mean} g$. Each round finds the cheapest flow, learns the potentials from its
    prices and adds the edges that they show to be too cheap (column generation), until the bounds are `tolerance`
    apart. The first potentials are those of clouds with a quarter of the points, the coarsest by Sinkhorn's iteration.

    Args:
        x: Points `(N, 3)`, finite.
        y: Points `(M, 3)`, finite.
        tolerance: Largest gap between the bounds, as a share of the upper one.

    Returns:
        The upper and the lower bound, further than `tolerance` apart only where twenty rounds do not suffice.

    Raises:
        ValueError: for a cloud that is empty, of another shape or not finite.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    for name, cloud in (("x", x), ("y", y)):
        if cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud) or not np.isfinite(cloud).all():
            raise ValueError(f"{name} must be a finite cloud (N, 3), N >= 1, got shape {cloud.shape}")
    center = np.median(np.concatenate([x, y]), axis=0)
    x, y = x - center, y - center
    extent = max(np.abs(x).max(), np.abs(y).max())
    if extent == 0:
        return Bounds(0.0, 0.0)
    common = math.gcd(len(x), len(y))
    masses = len(y) // common, len(x) // common
    merged = (_merged(p / extent, mass) for p, mass in zip((x, y), masses, strict=True))
    bounds, _ = _solve(*merged, tolerance=tolerance)
    return Bounds(bounds.upper * extent, bounds.lower * extent)


def _merged(points: np.ndarray, mass: int) -> Masses:
    """Points of one mass each; those in one place are one of all their mass."""
    points, count = np.unique(points, axis=0, return_counts=True)
    return Masses(points, mass * count)


def _solve(x: Masses, y: Masses, tolerance: float) -> tuple[Bounds, np.ndarray]:
    """Bounds of the cost and the potential f of x `(N,)`."""
    mean, g = _first_guess(x, y)
    edges = _any_transport(x, y)
    f, upper, lower, complete, limit = np.zeros(len(x.points)), math.inf, 0.0, 0, LIMIT
    for number in range(ROUNDS):
        unit = STEPS[min(complete, len(STEPS) - 1)] * mean
        f, g, cheap = _price(x.points, y.points, g, unit)
        lower = max(lower, float(x.mass @ f + y.mass @ g) / x.mass.sum())
        if upper - lower <= tolerance * upper < math.inf:
            break
        edges = np.union1d(edges, cheap)
        last_chance = number == ROUNDS - 1 and upper == math.inf
        cost, rise = _flow(x, y, edges, (f, g), unit, math.inf if last_chance else limit)
        g = g + rise
        if cost is None:
            limit *= 2
        else:
            mean, complete, limit = cost, complete + 1, LIMIT
            upper = min(upper, mean)
    return Bounds(upper, min(lower, upper)), f


def _flow(
    x: Masses, y: Masses, edges: np.ndarray, potentials: tuple[np.ndarray, np.ndarray], unit: float, limit: float
) -> tuple[float | None, np.ndarray]:
    """Mean cost of the cheapest flow along edges, None where that is beyond the limit, and the rise of g."""
    f, g = potentials
    rows, columns = np.divmod(edges, len(y.points))
    cost = np.linalg.norm(x.points[rows] - y.points[columns], axis=1)
    above = np.floor(np.maximum(cost - f[rows] - g[columns], 0) / unit)
    # Prices that rise by no more than the limit open none of the other edges.
    within = above <= limit
    flow = Flow(rows[within], columns[within], above[within].astype(np.int64), x.mass, y.mass)
    complete = flow.solve(limit)
    rise = flow.price[len(f) :] * unit
    return float(flow.amount @ cost[within]) / x.mass.sum() if complete else None, rise


def _first_guess(x: Masses, y: Masses) -> tuple[float, np.ndarray]:
    """A mean cost and the potential g of y, from coarser clouds."""
    coarse_x, coarse_y = _coarser(x), _coarser(y)
    if max(len(coarse_x.points), len(coarse_y.points)) > COARSEST:
        bounds, f = _solve(coarse_x, coarse_y, COARSE_TOLERANCE)
        mean = bounds.upper
    else:
        f, _, mean = sinkhorn_potentials(*_shares(coarse_x), *_shares(coarse_y))
    return mean, _price_side(y.points, coarse_x.points, f, 0)[0]


def _coarser(cloud: Masses) -> Masses:
    """A quarter of the points, each the center of a cell of the cloud with the mass of that cell."""
    count = max(COARSEST, len(cloud.points) // 4)
    if len(cloud.points) <= count:
        return cloud
    seeds = cloud.points[np.random.default_rng(0).permutation(len(cloud.points))[: count * 3 // 4]]
    # The last quarter of the seeds goes where the first are far: a far point must not drag a cell away.
    far = np.argsort(KDTree(seeds).query(cloud.points)[0])[len(seeds) - count :]
    seeds = np.concatenate([seeds, cloud.points[far]])
    cell = KDTree(seeds).query(cloud.points)[1].astype(np.int64)
    mass = np.bincount(cell, cloud.mass, count)
    center = np.stack([np.bincount(cell, cloud.mass * axis, count) for axis in cloud.points.T], axis=1) / mass[:, None]
    return Masses(center, mass.astype(np.int64))


def _shares(cloud: Masses) -> tuple[np.ndarray, np.ndarray]:
    return cloud.points.astype(np.float32), cloud.mass / cloud.mass.sum()


def _any_transport(x: Masses, y: Masses) -> np.ndarray:
    """Edges of the transport that pairs both clouds in the order of x: with them, some flow always fits."""
    sort_x, sort_y = (np.argsort(cloud.points[:, 0]) for cloud in (x, y))
    ends_x, ends_y = np.cumsum(x.mass[sort_x]), np.cumsum(y.mass[sort_y])
    steps = np.concatenate([[0], np.union1d(ends_x, ends_y)[:-1]])
    row, column = np.searchsorted(ends_x, steps, "right"), np.searchsorted(ends_y, steps, "right")
    return np.unique(sort_x[row] * len(y.points) + sort_y[column])


def _price(x: np.ndarray, y: np.ndarray, g: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The largest potentials that are feasible given g, f first, and the cheapest edges of every point."""
    f, columns = _price_side(x, y, g, unit)
    g, rows = _price_side(y, x, f, unit)
    from_x = np.arange(len(x))[:, None] * len(y) + columns
    from_y = rows * len(y) + np.arange(len(y))[:, None]
    return f, g, np.union1d(from_x, from_y)


def _price_side(x: np.ndarray, y: np.ndarray, potential: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """min_j |x_i - y_j| - potential_j `(N,)` in float64, and columns of the smallest values `(N, NEIGHBORS)`."""
    phase_x, phase_y = (np.random.default_rng(len(c)).uniform(0, 100, len(c)).astype(np.float32) for c in (x, y))
    rows = (x.astype(np.float32), phase_x)
    found = by_block(_cheapest, rows, y.astype(np.float32), phase_y, potential.astype(np.float32), np.float32(unit))
    least, columns = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return least.astype(np.float64), columns


def _cheapest(
    x: np.ndarray, phase_x: np.ndarray, y: np.ndarray, phase_y: np.ndarray, potential: np.ndarray, unit: np.float32
) -> tuple[np.ndarray, np.ndarray]:
    reduced = distances(x, y)
    reduced -= potential
    least = reduced.min(axis=1)
    # Values within a unit count as ties, broken as by dice: points that lie together must not all offer the same edges.
    dice = np.multiply.outer(phase_x, phase_y)
    dice -= np.floor(dice)
    dice *= unit
    reduced += dice
    count = min(NEIGHBORS, len(y))
    # Copied, for a view would keep all the rest.
    return least, np.argpartition(reduced, count - 1, axis=1)[:, :count].copy()
