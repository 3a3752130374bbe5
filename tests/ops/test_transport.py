"""Optimal transport beyond exact sizes: never below the cheapest, at most 1 % above, against SciPy's assignment."""

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment, linprog
from scipy.spatial.distance import cdist

from keras_wcd.metrics.float64 import EXACT_POINTS
from keras_wcd.ops import flow, transport
from keras_wcd.ops.transport import transport_cost

ROUNDING = 1e-6
"""The potentials are found in float32; the cost of the transport itself is summed in float64."""


def box(rng, points, faces=(1, 1, 1, 1, 1, 1)):
    """A sample of a box's surface, some faces denser than others."""
    side = np.array([1.0, 0.6, 0.8])
    face = rng.choice(6, points, p=np.array(faces) / sum(faces))
    cloud = rng.uniform(size=(points, 3)) * side
    cloud[np.arange(points), face // 2] = (face % 2) * side[face // 2]
    return cloud


def sphere(rng, points, radius=0.5):
    cloud = rng.normal(size=(points, 3))
    return radius * cloud / np.linalg.norm(cloud, axis=1, keepdims=True)


def far(rng, points, distance):
    cloud = box(rng, points)
    cloud[0] += [distance, 0, 0]
    return cloud


def lattice(rng, points):
    """Places of a lattice, many of them taken more than once."""
    return rng.integers(0, 8, (points, 3)) / 8


CASES = {
    "two samples of a box": lambda r, n, m: (box(r, n), box(r, m)),
    "a box of unequal density": lambda r, n, m: (box(r, n), box(r, m, (5, 1, 1, 1, 1, 1))),
    "two samples of a sphere": lambda r, n, m: (sphere(r, n), sphere(r, m)),
    "spheres of two radii": lambda r, n, m: (sphere(r, n), sphere(r, m, 0.45)),
    "a point 30 away": lambda r, n, m: (box(r, n), far(r, m, 30)),
    "a point a million away in both": lambda r, n, m: (far(r, n, 1e6), far(r, m, 1e6)),
    "blobs far apart": lambda r, n, m: (r.normal(size=(n, 3)), r.normal(size=(m, 3)) + [9, 0, 0]),
    "all in one place": lambda r, n, m: (box(r, n), np.zeros((m, 3))),
    "all within a thousandth": lambda r, n, m: (box(r, n), 1e-3 * r.uniform(size=(m, 3))),
    "lattices": lambda r, n, m: (lattice(r, n), lattice(r, m)),
    "few places, many copies": lambda r, n, m: (
        r.normal(size=(7, 3))[r.integers(0, 7, n)],
        np.eye(3)[r.integers(0, 3, m)],
    ),
    "tight clusters": lambda r, n, m: tuple(
        r.normal(size=(5, 3))[r.integers(0, 5, k)] + 1e-3 * r.normal(size=(k, 3)) for k in (n, m)
    ),
    "a line and a point": lambda r, n, m: (np.linspace(0, 1, n)[:, None] * [[1.0, 2, 3]], np.zeros((1, 3))),
}


def assigned(x, y):
    """The exact cost, by copies of every point that make the clouds of one size."""
    size = np.lcm(len(x), len(y))
    cost = cdist(np.repeat(x, size // len(x), axis=0), np.repeat(y, size // len(y), axis=0))
    return cost[linear_sum_assignment(cost)].mean()


def programmed(x, y):
    """The exact cost as a linear program, for clouds of any two small sizes."""
    n, m = len(x), len(y)
    equal = np.concatenate([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    shares = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    return linprog(cdist(x, y).ravel(), A_eq=equal, b_eq=shares).fun


def check(bounds, exact):
    assert bounds.upper >= exact * (1 - 1e-12)
    assert bounds.upper <= exact * 1.01 + 1e-12
    assert bounds.lower <= exact * (1 + ROUNDING) + 1e-12
    assert bounds.upper - bounds.lower <= 0.01 * bounds.upper * (1 + 1e-9)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sizes", [(600, 600), (300, 600)])
def test_is_within_one_per_cent_of_the_assignment(case, sizes):
    x, y = CASES[case](np.random.default_rng(0), *sizes)
    check(transport_cost(x, y), assigned(x, y))


@pytest.mark.parametrize("case", CASES)
def test_is_within_one_per_cent_through_all_levels(case, monkeypatch):
    monkeypatch.setattr(transport, "COARSEST", 64)
    x, y = CASES[case](np.random.default_rng(1), 900, 450)
    check(transport_cost(x, y), assigned(x, y))


@pytest.mark.parametrize("case", ["two samples of a box", "a box of unequal density", "a point 30 away"])
def test_is_within_one_per_cent_above_the_sizes_that_are_assigned(case):
    size = EXACT_POINTS + 50
    x, y = CASES[case](np.random.default_rng(2), size, size)
    check(transport_cost(x, y), assigned(x, y))


@pytest.mark.parametrize("sizes", [(1, 1), (1, 9), (5, 7), (23, 40), (40, 31)])
def test_moves_any_two_sizes(sizes):
    rng = np.random.default_rng(3)
    x, y = (rng.normal(size=(n, 3)) for n in sizes)
    check(transport_cost(x, y), programmed(x, y))


def test_a_smaller_tolerance_is_kept_too():
    x, y = CASES["a box of unequal density"](np.random.default_rng(4), 500, 500)
    exact = assigned(x, y)
    found = transport_cost(x, y, tolerance=0.004)
    assert exact * (1 - 1e-12) <= found.upper <= exact * 1.004
    assert found.upper - found.lower <= 0.004 * found.upper


@pytest.mark.parametrize("noise", [0, 1e-9, 1e-4])
def test_clouds_that_are_nearly_the_same_cost_their_difference(noise):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(1500, 3))
    y = rng.permutation(x + noise * rng.normal(size=x.shape))
    exact = assigned(x, y)
    assert exact <= transport_cost(x, y).upper <= exact * 1.01


def test_points_that_lie_together_do_not_all_offer_the_same_edges():
    rng = np.random.default_rng(0)
    places = rng.normal(size=(10, 3)), rng.normal(size=(7, 3))
    x, y = (np.repeat(place, 400, axis=0) for place in places)
    exact = programmed(*places)
    found = transport_cost(x + 1e-9 * rng.normal(size=x.shape), y + 1e-9 * rng.normal(size=y.shape))
    # The noise moves the cost by its own size at most.
    assert exact - 1e-8 <= found.upper <= exact * 1.01 + 1e-8
    assert found.upper - found.lower <= 0.01 * found.upper


def test_ties_among_edges_are_broken_so_that_a_transport_fits_through_them():
    rng = np.random.default_rng(0)

    # Three places in a row, the points of each within 1e-9: all of them lie nearest to the same eight of the others.
    def clouds(first):
        return np.stack([np.zeros(600), 1e-9 * rng.normal(size=600), first + rng.integers(0, 3, 600)], axis=1)

    x, y = clouds(0.0), clouds(0.5)
    # On a line points are carried in their order.
    exact = np.abs(np.sort(x[:, 2]) - np.sort(y[:, 2])).mean()
    found = transport_cost(x, y)
    assert exact - 1e-8 <= found.upper <= exact * 1.01
    assert found.upper - found.lower <= 0.01 * found.upper


def test_a_cloud_counted_twice_costs_nothing():
    x = np.random.default_rng(6).normal(size=(700, 3))
    assert transport_cost(np.concatenate([x, x]), x) == (0, 0)
    assert transport_cost(np.ones((5, 3)), np.ones((8, 3))) == (0, 0)


@pytest.mark.parametrize(("factor", "offset"), [(1, 1e7), (1e9, 0), (1e-9, 0), (1e-3, -4e6)])
def test_place_and_scale_change_nothing_else(factor, offset):
    rng = np.random.default_rng(7)
    # Powers of two: adding the offset rounds nothing away.
    x, y = (np.round(box(rng, n) * 2**10) / 2**10 for n in (400, 300))
    bounds = transport_cost(x, y)
    moved = transport_cost(x * factor + offset, y * factor + offset)
    rtol = 1e-2 if offset and factor < 1 else 1e-5
    np.testing.assert_allclose(np.array(moved) / factor, bounds, rtol=rtol)


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.full((5, 3), np.nan), np.full((5, 3), np.inf), np.zeros((5, 2))])
@pytest.mark.parametrize("first", [True, False])
def test_what_is_no_finite_cloud_is_refused_by_name(bad, first):
    whole = np.random.default_rng(0).normal(size=(5, 3))
    with pytest.raises(ValueError, match=f"{'x' if first else 'y'} must be a finite cloud"):
        transport_cost(*((bad, whole) if first else (whole, bad)))


def test_the_flow_is_the_cheapest_of_all_small_ones():
    rng = np.random.default_rng(8)
    for _ in range(20):
        cost = rng.integers(0, 9, (4, 4))
        rows, columns = np.divmod(np.arange(16), 4)
        ones = np.ones(4, np.int64)
        found = flow.Flow(rows, columns, cost.ravel(), ones, ones)
        assert found.solve()
        best = min(cost[range(4), list(p)].sum() for p in itertools.permutations(range(4)))
        assert found.amount @ cost.ravel() == best
        np.testing.assert_array_equal(np.bincount(rows, found.amount), ones)
        np.testing.assert_array_equal(np.bincount(columns, found.amount), ones)
        # The prices prove it: no edge is cheaper than they allow, and used ones cost just that.
        reduced = cost.ravel() + found.price[rows] - found.price[4 + columns]
        assert (reduced >= 0).all()
        assert (reduced[found.amount > 0] == 0).all()


def test_a_flow_that_needs_prices_above_the_limit_is_given_up():
    rows, columns = np.array([0, 1, 1]), np.array([0, 0, 1])
    one_way_out = flow.Flow(rows, columns, np.array([0, 0, 7]), np.array([2, 1]), np.array([2, 1]))
    assert not one_way_out.solve(limit=5)
    assert flow.Flow(rows, columns, np.array([0, 0, 7]), np.array([2, 1]), np.array([2, 1])).solve(limit=7)
    no_way_out = flow.Flow(rows[:2], columns[:2], np.array([0, 0]), np.array([2, 1]), np.array([2, 1]))
    assert not no_way_out.solve(limit=5)


def test_memory_does_not_grow_with_the_pairs():
    rng = np.random.default_rng(9)
    clouds = rng.uniform(size=(2, 4000, 3))
    tracemalloc.start()
    try:
        transport_cost(*clouds, tolerance=0.05)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # All pairs in float64 are 128 MB.
    assert peak < 80e6
