"""What a view point sees of a cloud without a surface: hidden point removal (Katz et al., SIGGRAPH 2007)."""

import numpy as np
from scipy.spatial import ConvexHull, QhullError


def hidden_point_removal(points: np.ndarray, view: np.ndarray, *, radius: float = 100.0) -> np.ndarray:
    r"""Indices `(K,)` of the points that are seen, ascending.

    With $p$ relative to the view point and $R$ the `radius` times the largest $\lVert p \rVert$, every point is
    flipped over a sphere,

    $$\hat p = p + 2 (R - \lVert p \rVert) \frac{p}{\lVert p \rVert},$$

    and is seen where $\hat p$ is a vertex of the convex hull of all $\hat p$ and the view point. It is a guess, and a
    dense cloud a better one; a larger radius sees more, of back sides too.

    Args:
        points: A cloud `(N, 3)`.
        view: The view point `(3,)`, outside the cloud.
        radius: Of the sphere, in units of the distance to the farthest point.

    Raises:
        ValueError: for another shape, fewer than 4 points, points that are not finite, a point at the view point, a
            radius below 1, or a cloud that is flat as seen from the view point.
    """
    points, view = np.asarray(points, np.float64), np.asarray(view, np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < 4 or not np.isfinite(points).all():
        raise ValueError(f"points must be a finite cloud of shape (N, 3) with N >= 4, got shape {points.shape}")
    if view.shape != (3,) or not np.isfinite(view).all():
        raise ValueError(f"view must be a point of shape (3,), got {view}")
    if not radius >= 1:
        raise ValueError(f"radius must be at least 1, got {radius}")
    relative = points - view
    length = np.sqrt((relative**2).sum(axis=1, keepdims=True))
    if not length.min() > 0:
        raise ValueError("view must lie outside the cloud; a point lies exactly there")
    # In units of the largest length, so that the hull's tolerances do not depend on the user's units.
    unit, length = relative / length, length / length.max()
    flipped = unit * (2 * radius - length)
    try:
        hull = ConvexHull(np.concatenate([flipped, np.zeros((1, 3))])).vertices
    except QhullError:
        raise ValueError("points must not lie in one plane with the view point") from None
    return np.sort(hull[hull < len(points)]).astype(np.int64)
