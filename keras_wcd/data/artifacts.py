"""What a scan holds beside its object and sets its frame: no-returns, stray points, a plane that the object stands on.

A network sees a scan in the frame of its bounding box (`keras_wcd.frames`), which one point far away decides. Every
criterion here is a share of the scan's own size or number of points: units and place do not matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import label
from scipy.spatial import KDTree

KINDS = ("no-returns", "stray points", "a plane")
"""What is looked for, in this order."""

FEWEST = 32
"""Points that are needed before anything is said of the others."""
REPEATED = 4
"""A no-return comes more than this many times as often as nine tenths of the places do."""
LINKED = 1 / 12
"""Points less than this share of the scan's diagonal apart belong together."""
FEW = 0.02
"""Share of the points that a group apart from the rest has at most where it is stray; all such groups: `MANY`."""
MANY = 0.1
STRETCHED = 2.0
"""Stray points make the diagonal this many times as long. Parts that one view sees apart from the rest (a leg, the
far arm of a sofa) reach 1.8 in 512 views of real shapes."""
LARGER = 1.8
"""The shorter side of a plane over the diagonal of what stands on it. In views of shapes that are
largely planes themselves (a table from above, a cabinet, a wing) it reaches 1.5."""
COVERED = 0.5
"""Share of the scan's area, counted in cells, that such a plane has at least, and of its rectangle that it fills."""
ONE_SIDE = 0.95
"""Share of what is off the plane that lies on one side of it."""

ROUNDS = 4
"""What one artifact hides shows when it is gone: stray points within the width of a floor."""
SAMPLE = 1 << 16
"""Of more points than this every k-th is looked at where a share is asked for."""
CELLS = 24
"""Cells along the diagonal by which area is counted."""
REACH = 24
"""Cells, each `LINKED` of the diagonal wide, beyond which a point is merely far."""
TRIALS = 100
"""Planes through three places that are tried: a plane with half the area is missed once in a million scans."""
FLAT = 0.015
"""Half the thickness that a plane has at most, as a share of the diagonal; five deviations of its noise are less."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """Points of a scan that are not its object's.

    Attributes:
        kind: One of `KINDS`.
        indices: Rows of the scan `(K,)`, ascending.
        why: What they were known by, in words.
    """

    kind: str
    indices: np.ndarray = field(repr=False)
    why: str

    def __len__(self) -> int:
        return len(self.indices)

    def __str__(self) -> str:
        return f"{len(self)} {'point' if len(self) == 1 else 'points'} {self.why}"


def find_artifacts(points: np.ndarray) -> list[Artifact]:
    """Groups of points that set a scan's bounding box and are not the object's.

    - No-returns: many rows at one place that is the origin or lies apart from the rest, as a sensor writes what it did
      not measure.
    - Stray points: groups of few points, apart from the rest, that make the diagonal `STRETCHED` times as long.
    - A plane: a floor, table or wall of most of the area, whose shorter side is `LARGER` times the diagonal of what
      stands on it.

    Args:
        points: A scan `(N, 3)` in any units, any N. Rows that are not finite are none of these.

    Returns:
        What was found, no row twice; nothing for a scan of fewer than 32 points.

    Raises:
        ValueError: for another shape.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points must be a cloud of shape (N, 3), got shape {points.shape}")
    rows = np.flatnonzero(np.isfinite(points).all(axis=1))
    # Squares of what lies farther away than this are not finite.
    points = np.clip(points.astype(np.float64), -1e150, 1e150)
    found = []
    for _ in range(ROUNDS):
        before = len(rows)
        for kind, search in zip(KINDS, (_no_returns, _stray_points, _plane), strict=True):
            answer = search(points[rows]) if len(rows) > FEWEST else None
            if answer is not None:
                mask, why = answer
                found.append(Artifact(kind, rows[mask], why))
                rows = rows[~mask]
        if len(rows) == before:
            break
    return found


def without_artifacts(count: int, artifacts: Sequence[Artifact]) -> np.ndarray:
    """The rows `(K,)` of a scan of `count` points that no artifact has, ascending."""
    keep = np.ones(count, bool)
    for artifact in artifacts:
        keep[artifact.indices] = False
    return np.flatnonzero(keep)


def _no_returns(points: np.ndarray) -> tuple[np.ndarray, str] | None:
    places, counts = _repeated(_sample(points))
    often = counts > REPEATED * np.quantile(counts, 0.9)
    rest = places[~often]
    if not often.any() or len(rest) < FEWEST:
        return None
    apart = KDTree(rest).query(places[often])[0] > LINKED * _size(rest)
    found = places[often][apart | ~places[often].any(axis=1)]
    if not len(found):
        return None
    mask = np.any([(points == place).all(axis=1) for place in found], axis=0)
    return mask, f"at exactly {_in_words(found)}, where a sensor puts what it did not measure"


def _stray_points(points: np.ndarray) -> tuple[np.ndarray, str] | None:
    group, counts = _groups(points)
    few = counts <= max(FEW * len(points), 1)
    inner = points[~few[group]]
    if not 0 < len(points) - len(inner) <= max(MANY * len(points), 1):
        return None
    low, high = _box(inner)
    diagonal = _diagonal(low, high)
    outer = np.flatnonzero(few[group])
    outer = outer[np.maximum(low - points[outer], points[outer] - high).max(axis=1) > LINKED * diagonal]
    far = np.zeros(len(counts), bool)
    for k in np.unique(group[outer]):
        ends = _box(points[outer[group[outer] == k]])
        far[k] = _diagonal(np.minimum(low, ends[0]), np.maximum(high, ends[1])) > STRETCHED * diagonal
    if not far.any():
        return None
    # Beside those that are surely stray, single points are; a part of the object that is seen apart has some more.
    mask = np.zeros(len(points), bool)
    mask[outer[(far | (counts == 1))[group[outer]]]] = True
    times = _diagonal(*_box(points)) / diagonal
    return mask, f"far from the rest, which make the bounding box {times:.3g} times as long"


def _plane(points: np.ndarray) -> tuple[np.ndarray, str] | None:
    sample = _sample(points)
    diagonal = _diagonal(*_box(sample))
    if not diagonal:
        return None
    cell, thin = _cells(sample, diagonal / CELLS)
    fitted = _fit_plane(thin, FLAT * diagonal)
    if fitted is None:
        return None
    center, axes = fitted
    turned, height = (sample - center) @ axes, (thin - center) @ axes[:, 2]
    # One point a cell: of all points a small object's may be the most, and would be taken for the plane's noise.
    close = height[np.abs(height) < FLAT * diagonal]
    middle = np.median(close)
    thick = max(5 * 1.4826 * np.median(np.abs(close - middle)), 1e-3 * diagonal)
    on = np.abs(turned[:, 2] - middle) < thick
    rest, floor = turned[~on], turned[on, :2]
    covered = len(np.unique(cell[on])) / len(thin)
    if thick > FLAT * diagonal or len(rest) < max(FEWEST, FEW * len(sample)) or covered < COVERED:
        return None
    group, counts = _groups(rest)
    rest = rest[(counts > FEW * len(rest))[group]]
    above = np.mean(rest[:, 2] > middle) if len(rest) else 0.5
    if max(above, 1 - above) < ONE_SIDE:
        return None
    sides = np.diff(np.quantile(floor, [0.01, 0.99], axis=0), axis=0)[0]
    step = diagonal / CELLS
    filled = len(_cells(floor, step)[1]) * step**2 / sides.prod()
    times = sides.min() / _diagonal(*_box(rest))
    if times < LARGER or filled < COVERED:
        return None
    mask = np.abs((points - center) @ axes[:, 2] - middle) < thick
    return mask, f"on a plane {times:.2g} times as wide as all else, as a floor, table or wall is"


def _fit_plane(places: np.ndarray, thickness: float) -> tuple[np.ndarray, np.ndarray] | None:
    """The plane near most places: a point on it `(3,)`, and the axes `(3, 3)`, in columns, the last one upright."""
    a, b, c = places[np.random.default_rng(0).integers(len(places), size=(3, TRIALS))]
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    good = lengths > thickness**2
    if not good.any():
        return None
    normals, a = normals[good] / lengths[good, None], a[good]
    near = np.abs(places @ normals.T - np.sum(a * normals, axis=1)) < thickness
    near = near[:, near.sum(axis=0).argmax()]
    center, axes = np.zeros(3), np.eye(3)
    for _ in range(3):
        center = places[near].mean(axis=0)
        axes = np.linalg.svd(places[near] - center, full_matrices=False)[2].T
        near = np.abs((places - center) @ axes[:, -1]) < thickness
    return center, axes


def _groups(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The group of every point `(N,)` and the size of every group: points in cells that touch belong together."""
    # A sparse scan has wider gaps: N points on a surface lie about 1 / sqrt(N) of its width apart.
    step = (_size(points) or 1.0) * max(LINKED, 2 / len(points) ** 0.5)
    steps = np.round((points - np.median(_sample(points), axis=0)) / step)
    x, y, z = (np.clip(steps, -REACH, REACH).astype(np.int64) + REACH).T
    full = np.zeros((2 * REACH + 1,) * 3, bool)
    full[x, y, z] = True
    group = label(full, np.ones((3, 3, 3)))[0][x, y, z]
    return group, np.bincount(group)


def _cells(points: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """The number of every point's cell `(N,)` in the grid of width `step`, and one point of every cell."""
    steps = np.round((points - points.min(axis=0)) / step).astype(np.int64)
    code = np.ravel_multi_index(steps.T, steps.max(axis=0) + 1)
    _, first, cell = np.unique(code, return_index=True, return_inverse=True)
    return cell, points[first]


def _repeated(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different places `(K, 3)` of points, and how often each comes."""
    factors = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
    # Sorting one number a point takes a tenth of the time that sorting rows takes. -0.0 + 0.0 is 0.0.
    mixed = ((points + 0.0).view(np.uint64) * factors).T
    code = mixed[0] ^ (mixed[1] >> np.uint64(7)) ^ (mixed[2] << np.uint64(9))
    _, first, counts = np.unique(code, return_index=True, return_counts=True)
    return points[first], counts


def _size(points: np.ndarray) -> float:
    """The diagonal of the box of the inner nine tenths along every axis, lengthened by what that leaves out."""
    return _diagonal(*np.quantile(_sample(points), [0.05, 0.95], axis=0)) / 0.9


def _sample(points: np.ndarray) -> np.ndarray:
    return points[:: -(-len(points) // SAMPLE)]


def _box(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return points.min(axis=0), points.max(axis=0)


def _diagonal(low: np.ndarray, high: np.ndarray) -> float:
    return float(np.linalg.norm(high - low))


def _in_words(places: np.ndarray) -> str:
    first = f"({', '.join(f'{value:g}' for value in places[0])})"
    return first if len(places) == 1 else f"{first} and {len(places) - 1} other places"
