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
            excepted): the behaviour of pointnet2_ops, on which most published networks were trained.

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
    dtype = np.float64 if points.dtype == np.float64 else np.float32
    x, y, z = np.ascontiguousarray(points.T, dtype=dtype)
    finite = np.isfinite(x + y + z)
    allowed = finite
    if rule == "pointnet2":
        allowed = finite & ~(x * x + y * y + z * z <= dtype(NEAR_ORIGIN))
    if not finite.all():
        x, y, z = (np.where(finite, axis, dtype(0)) for axis in (x, y, z))
    return _walk(x, y, z, np.where(allowed, dtype(np.inf), dtype(-1)), count, int(finite.argmax()))


def _walk(x: np.ndarray, y: np.ndarray, z: np.ndarray, distance: np.ndarray, count: int, start: int) -> np.ndarray:
    """The loop of the sampling; `distance` is -1 for points that may not be chosen, and is overwritten."""
    chosen = np.empty(count, np.int32)
    new, square = np.empty_like(x), np.empty_like(x)
    last = start
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
