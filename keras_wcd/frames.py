"""One frame and one rule for a scan: where a cloud lies, how large it is, which of its points a network sees.

Nothing here is random and nothing needs Keras: `keras_wcd.export.runtime` states the same rule for devices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_wcd.ops.sampling import farthest_point_indices

NORMALIZATIONS = ("partial", "bbox", None)
SEEN = 0.98
"""Share of the whole shape's bounding-box diagonal that one view of it spans (median of 116 real views).

On the same views the frame estimated from the partial alone moves the shape by 0.011 (median, in units of its
diagonal) with the bounding box over `SEEN`, 0.013 with the bare bounding box, 0.024 with the box's center and
the largest radius, 0.036 with the box of the inner 98 %, and 0.137 with the centroid and the largest radius,
each with its best constant factor: a view is dense on the near side, and the centroid follows the density.
"""
CANDIDATES = 8
"""Farthest point sampling looks at no more than this many points for each that it keeps: its time grows with both."""
UPRIGHT = {"x": [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], "y": np.eye(3).tolist(), "z": [[1, 0, 0], [0, 0, -1], [0, 1, 0]]}
"""Rotations of row vectors that turn an axis upwards, onto +y."""


@dataclass(frozen=True)
class Frame:
    r"""A place and a size: $q = (p - c) / s$ takes user coordinates $p$ to the network's $q$.

    The arithmetic is float64, so that coordinates far from the origin (UTM) lose nothing.

    Attributes:
        center: The point $c$ that becomes the origin, three floats.
        scale: The length $s$ that becomes 1.
    """

    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "center", tuple(float(c) for c in self.center))

    @classmethod
    def of(cls, points: np.ndarray, seen: float = 1.0) -> "Frame":
        """The frame in which the bounding box of `points` is centered and has the diagonal `seen`.

        Args:
            points: A cloud `(N, 3)`, N >= 1.
            seen: Share of the whole shape's diagonal that the points span.

        Returns:
            The frame. A single place has no extent: its scale is 1.

        Raises:
            ValueError: for another shape, an empty cloud, or points that are not finite.
        """
        points = _cloud(points)
        low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            x, y, z = high - low
            diagonal = float(np.sqrt(x * x + y * y + z * z))
        if not np.isfinite(diagonal):
            raise ValueError("points must be finite and within the range of float64; drop the other rows first")
        return cls((low + high) / 2, diagonal / seen or 1.0)

    @classmethod
    def of_box(cls, box: np.ndarray) -> "Frame":
        """The frame in which a box is centered and has diagonal 1; it is moved and scaled, never turned.

        Args:
            box: `(2, 3)` low and high corner, or `(8, 3)` corners in any order, of a box turned in any way.

        Raises:
            ValueError: for another shape, or corners that are not finite or not apart.
        """
        box = np.asarray(box, np.float64)
        if box.shape not in ((2, 3), (8, 3)):
            raise ValueError(
                f"box must be its low and high corner, shape (2, 3), or its corners (8, 3), got {box.shape}"
            )
        center = box.mean(axis=0)
        # The corners lie opposite each other around the center, however the box is turned.
        scale = 2 * float(np.linalg.norm(box - center, axis=1).max())
        if not (np.isfinite(scale) and scale > 0):
            raise ValueError(f"box must have finite corners that are apart, got {box.tolist()}")
        return cls(center, scale)

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Points `(..., 3)` of the user's frame in the network's, float32."""
        with np.errstate(over="ignore"):
            return ((np.asarray(points, np.float64) - self.center) / self.scale).astype(np.float32)

    def invert(self, points: np.ndarray) -> np.ndarray:
        """Points `(..., 3)` of the network's frame in the user's, float64."""
        return np.asarray(points, np.float64) * self.scale + self.center


def frame_of(points: np.ndarray, normalize: str | None = "partial", box: np.ndarray | None = None) -> Frame:
    """The frame in which a network completes `points`.

    Args:
        points: A cloud `(N, 3)` in the user's frame.
        normalize: `"partial"` estimates the whole shape's frame from a partial view: the center of its
            bounding box, and the box's diagonal over `SEEN`. `"bbox"` takes the bounding box as it is. `None`
            says that the points are in the network's frame already.
        box: With `"bbox"`, the whole shape's box where it is known, as `Frame.of_box` takes it.

    Returns:
        The frame. Points that all coincide have no size; theirs has scale 1.

    Raises:
        ValueError: for an unknown rule, points that are not finite, or a box that is unused or no box.
    """
    if normalize not in NORMALIZATIONS:
        raise ValueError(f"normalize must be one of {NORMALIZATIONS}, got {normalize!r}")
    if box is not None and normalize != "bbox":
        raise ValueError(f'box is used with normalize="bbox" only, got normalize={normalize!r}')
    if normalize is None:
        return Frame()
    if box is not None:
        return Frame.of_box(box)
    return Frame.of(points, SEEN if normalize == "partial" else 1.0)


def resample(points: np.ndarray, count: int) -> np.ndarray:
    r"""Exactly `count` points of a cloud, the same at every call and on every machine.

    Of N points fewer than `count` or as many, those with the indices $\lfloor i N / \mathrm{count} \rfloor$: each
    is repeated equally often or once more, in order. Of more, the farthest points from index 0 on
    (`keras_wcd.ops.sampling.farthest_point_indices`), after `thinned`.

    Args:
        points: A cloud `(N, 3)`, N >= 1, of numbers.
        count: Points wanted.

    Returns:
        `(count, 3)`, rows of `points`, of its dtype.

    Raises:
        ValueError: for another shape, an empty cloud or a count below 1.
    """
    points = thinned(points, count)
    if len(points) <= count:
        return points[_spread(len(points), count)]
    return points[farthest_point_indices(points.astype(precision(points), copy=False), count)]


def thinned(points: np.ndarray, count: int) -> np.ndarray:
    """A cloud of more than 8 `count` points as 8 `count` of them, evenly spaced by index; a smaller one as it is."""
    points = _cloud(points)
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    most = CANDIDATES * count
    return points[_spread(len(points), most)] if len(points) > most else points


def precision(points: np.ndarray) -> type:
    """The float type that keeps the coordinates: float32 for float32 and narrower floats, else float64."""
    return np.float32 if points.dtype in (np.float16, np.float32) else np.float64


def upright(points: np.ndarray, up: str) -> np.ndarray:
    """Points `(N, 3)` turned so that their axis `up` ("x", "y" or "z") is y: coordinates change places and signs."""
    return points @ np.array(UPRIGHT[up], precision(points))


def turned_back(points: np.ndarray, up: str) -> np.ndarray:
    """The inverse of `upright`."""
    return points @ np.array(UPRIGHT[up], precision(points)).T


def _spread(size: int, count: int) -> np.ndarray:
    """`count` indices below `size`, evenly spaced and in order."""
    return np.arange(count) * size // count


def _cloud(points: np.ndarray | Sequence) -> np.ndarray:
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise ValueError(f"points must be a cloud of shape (N, 3) with N >= 1, got shape {points.shape}")
    return points
