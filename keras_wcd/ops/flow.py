"""The cheapest flow from sources to sinks along given edges, by the primal-dual method (Ford and Fulkerson, 1962)."""

import math

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra, maximum_flow

UNLIMITED = np.iinfo(np.int32).max
"""Capacity of an edge that has none: SciPy's flows are of 32 bits."""


class Flow:
    r"""Integer flow of least cost between two sets of nodes.

    $$\min_{F \ge 0} \sum_e F_e c_e, \qquad \sum_{e \text{ from } i} F_e = s_i, \quad \sum_{e \text{ to } j} F_e = t_j$$

    Flow runs along edges of no reduced cost alone, $c_e + p_i - p_j = 0$: as much as fits; then the prices p of the
    nodes rise by their distances from what is left, which opens the cheapest new ways, until nothing is left. The
    number of these phases is bounded by the largest distance, in units of the costs, and by the limit of `solve`.

    Args:
        rows: Source of every edge `(E,)`, 0 to N - 1.
        columns: Sink of every edge `(E,)`, 0 to M - 1; no edge twice.
        costs: Costs `(E,)`, integers, not negative.
        supply: What every source gives `(N,)`, integers.
        demand: What every sink takes `(M,)`, integers of the same sum. Without a limit the edges must let all of it
            through.

    Attributes:
        amount: Flow of every edge `(E,)` after `solve`.
        price: Prices of the sources and then of the sinks `(N + M,)` after `solve`.
    """

    def __init__(
        self, rows: np.ndarray, columns: np.ndarray, costs: np.ndarray, supply: np.ndarray, demand: np.ndarray
    ):
        self.sources, self.sinks = len(supply), len(demand)
        self.starts, self.ends, self.costs = rows, self.sources + columns, costs
        self.left = np.concatenate([supply, -demand])
        self.amount = np.zeros(len(rows), np.int64)
        self.price = np.zeros(self.sources + self.sinks, np.int64)

    def solve(self, limit: float = math.inf) -> bool:
        """Run the phases until all is sent, True, or a price has risen above a limit, False."""
        self._push()
        while self.left.any():
            self._raise_prices(limit)
            if self.price.max() > limit:
                return False
            self._push()
        return True

    def _reduced(self) -> np.ndarray:
        return self.costs + self.price[self.starts] - self.price[self.ends]

    def _push(self) -> None:
        """The largest flow along edges of no reduced cost, there and back."""
        source, sink = len(self.left), len(self.left) + 1
        tight, used = np.flatnonzero(self._reduced() == 0), np.flatnonzero(self.amount)
        giving, taking = np.flatnonzero(self.left > 0), np.flatnonzero(self.left < 0)
        graph = _graph(
            [np.full(len(tight), UNLIMITED), self.amount[used], self.left[giving], -self.left[taking]],
            [self.starts[tight], self.ends[used], np.full(len(giving), source), taking],
            [self.ends[tight], self.starts[used], giving, np.full(len(taking), sink)],
            np.int32,
        )
        sent = maximum_flow(graph, source, sink).flow
        sent.sort_indices()
        self.amount[tight] += _entries(sent, self.starts[tight], self.ends[tight])
        for end in (source, sink):
            here = slice(sent.indptr[end], sent.indptr[end + 1])
            # The flow out of the source is positive, that into the sink is written negative.
            self.left[sent.indices[here]] -= sent.data[here]

    def _raise_prices(self, limit: float) -> None:
        used, giving = np.flatnonzero(self.amount), np.flatnonzero(self.left > 0)
        source = len(self.left)
        graph = _graph(
            [self._reduced(), np.zeros(len(used)), np.zeros(len(giving))],
            [self.starts, self.ends[used], np.full(len(giving), source)],
            [self.ends, self.starts[used], giving],
            np.float64,
        )
        distance = dijkstra(graph, indices=source)[:source]
        # Past the limit the search is over: what cannot be reached at all need not rise further.
        rise = min(distance[self.left < 0].min(), limit + 1 - self.price.max())
        self.price += np.minimum(distance, rise).astype(np.int64)


def _graph(values: list, starts: list, ends: list, dtype: type) -> csr_matrix:
    rows, columns, entries = (np.concatenate(parts) for parts in (starts, ends, values))
    size = int(max(rows.max(), columns.max())) + 1
    return csr_matrix((entries.astype(dtype), (rows, columns)), (size, size))


def _entries(matrix: csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Entries of a matrix with sorted indices, 0 where none is stored."""
    size = matrix.shape[0]
    stored = np.repeat(np.arange(size, dtype=np.int64), np.diff(matrix.indptr)) * size + matrix.indices
    wanted = rows.astype(np.int64) * size + columns
    place = np.minimum(np.searchsorted(stored, wanted), len(stored) - 1)
    return np.where(stored[place] == wanted, matrix.data[place], 0)
