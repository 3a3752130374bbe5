"""Farthest point sampling in NumPy: the host's side of `farthest_point_sampling`; imports no framework."""

import numpy as np

RULES = ("standard", "pointnet2")
NEAR_ORIGIN = 1e-3
"""Squared norm up to which the rule "pointnet2" passes a point over, as the operator of that name does."""


def farthest_point_indices(points: np.ndarray, count: int, rule: str = "standard") -> np.ndarray:
    r"""Indices of `count` points, each the farthest from those chosen before it (Eldar et al., 1997).

    $$i_0 = 0, \qquad i_{k+1} = \arg\max_i \min_{j \le k} \lVert p_i - p_{i_j} \rVert^2$$

    Ties go to the lowest index. Once every distinct place is taken, the lowest index that may be chosen is
    repeated. Rows that are not finite are padding and are never chosen; where row 0 is padding, the first row
    that is not starts.

    Args:
        points: A cloud `(N, 3)`.
        count: Points to choose, 1 to N.
        rule: `"standard"`, or `"pointnet2"`, which never chooses a point with squared norm <= 1e-3 (index 0
            excepted): the behavior of pointnet2_ops, on which most published networks were trained.

    Returns:
        Indices `(count,)`, int32.

    Raises:
        ValueError: for another shape, an empty cloud, a count outside 1 to N or an unknown rule.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise ValueError(f"points must be a cloud of shape (N, 3) with N >= 1, got shape {points.shape}")
    if not 1 <= count <= len(points):
        raise ValueError(f"count must lie between 1 and the number of points ({len(points)}), got {count}")
    if rule not in RULES:
        raise ValueError(f"rule must be one of {RULES}, got {rule!r}")
    return _walk_alone(*(part[0] for part in _prepared(points[None], rule)), count=count)


def farthest_points_of_each(points: np.ndarray, count: int, rule: str = "standard") -> np.ndarray:
    """`farthest_point_indices` of every cloud of a batch `(B, N, 3)`, side by side: `(B, count)`, int32."""
    if len(points) == 1:
        return farthest_point_indices(points[0], count, rule)[None]
    return _walk_together(*_prepared(points, rule), count)


def _prepared(points: np.ndarray, rule: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates `(B, 3, N)`, first distances `(B, N)` (-1 where a point may not be chosen), first choices `(B,)`."""
    dtype = np.float64 if points.dtype == np.float64 else np.float32
    axes = np.ascontiguousarray(points.transpose(0, 2, 1), dtype=dtype)
    finite = np.isfinite(axes.sum(axis=1))
    allowed = finite
    if rule == "pointnet2":
        x, y, z = axes[:, 0], axes[:, 1], axes[:, 2]
        allowed = finite & ~(x * x + y * y + z * z <= dtype(NEAR_ORIGIN))
    if not finite.all():
        axes = np.where(finite[:, None], axes, dtype(0))
    return axes, np.where(allowed, dtype(np.inf), dtype(-1)), finite.argmax(axis=1)


def _walk_alone(axes: np.ndarray, distance: np.ndarray, start: int, count: int) -> np.ndarray:
    """The loop of the sampling for one cloud: axes `(3, N)`; `distance` is overwritten."""
    x, y, z = axes
    chosen = np.empty(count, np.int32)
    new, square = np.empty_like(x), np.empty_like(x)
    last = int(start)
    for k in range(count):
        chosen[k] = last
        np.subtract(x, x[last], out=new)
        np.multiply(new, new, out=new)
        for axis in (y, z):
            np.subtract(axis, axis[last], out=square)
            np.multiply(square, square, out=square)
            np.add(new, square, out=new)
        np.minimum(distance, new, out=distance)
        last = int(distance.argmax())
    return chosen


def _walk_together(axes: np.ndarray, distance: np.ndarray, start: np.ndarray, count: int) -> np.ndarray:
    """The same loop for a batch, one NumPy call for all clouds: axes `(B, 3, N)`; twice as fast as one by one."""
    x, y, z = (np.ascontiguousarray(axes[:, i]) for i in range(3))
    rows = np.arange(len(axes))
    chosen = np.empty((len(axes), count), np.int32)
    new, square = np.empty_like(x), np.empty_like(x)
    last = start
    for k in range(count):
        chosen[:, k] = last
        here = axes[rows, :, last]
        np.subtract(x, here[:, :1], out=new)
        np.multiply(new, new, out=new)
        for i, axis in ((1, y), (2, z)):
            np.subtract(axis, here[:, i : i + 1], out=square)
            np.multiply(square, square, out=square)
            np.add(new, square, out=new)
        np.minimum(distance, new, out=distance)
        last = distance.argmax(axis=1)
    return chosen
