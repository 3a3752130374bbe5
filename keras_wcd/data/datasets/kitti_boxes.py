"""The frame of a KITTI box: where a car stands in a LiDAR sweep, which way it heads, how long it is.

The protocol is that of PCN's test on KITTI (Yuan et al., "PCN: Point Completion Network", 3DV 2018), which PoinTr
and GRNet follow.
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_wcd.data.io import text
from keras_wcd.data.io.limits import FormatError
from keras_wcd.frames import precision

REAR, FRONT = 0, 3
"""Corners of one lower edge along the car: the box's heading and length are those of the way between them."""


class BoxFrame(NamedTuple):
    r"""The rigid motion and the scale of a box: $q = \mathrm{swap}_{yz}((p - c) R) / s$.

    R turns the box's length onto +x; the last two axes change places, so that y points up. The exchange is a
    reflection (its determinant is -1): left and right of a car are exchanged in this frame, as in PCN's data.

    Attributes:
        center: $c$ `(3,)`, the middle of the corners' bounding box.
        rotation: $R$ `(3, 3)`, for row vectors.
        scale: $s$, the box's length.
    """

    center: np.ndarray
    rotation: np.ndarray
    scale: float

    @classmethod
    def of(cls, corners: np.ndarray) -> "BoxFrame":
        """The frame of a box with `corners` `(8, 3)`, z up, in KITTI's order."""
        corners = np.asarray(corners)
        if corners.shape != (8, 3) or corners.dtype.kind not in "fiu" or not np.isfinite(corners).all():
            raise ValueError(f"corners must be 8 finite corners of shape (8, 3), got {corners.dtype} {corners.shape}")
        corners = corners.astype(np.float64)
        along = corners[FRONT, :2] - corners[REAR, :2]
        scale = float(np.hypot(*along))
        if not 0 < scale < np.inf:
            raise ValueError(
                f"corners {REAR} and {FRONT} must be apart in x and y, got {corners[[REAR, FRONT]].tolist()}"
            )
        cos, sin = along / scale
        rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        return cls((corners.min(axis=0) + corners.max(axis=0)) / 2, rotation, scale)


def to_box_frame(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Points of a sweep in the frame of a box: centered, heading +x, y up, the box's length 1.

    Args:
        points: `(..., 3)`, z up, in the sweep's units.
        corners: `(8, 3)`, the corners of the box in KITTI's order, in the frame of `points`.

    Returns:
        `(..., 3)`, float32 for float32 points, float64 for float64 and whole numbers; computed in float64.

    Raises:
        ValueError: for corners of another shape, not finite or without length.
    """
    frame = BoxFrame.of(corners)
    points = np.asarray(points)
    moved = (points.astype(np.float64) - frame.center) @ frame.rotation / frame.scale
    return moved[..., [0, 2, 1]].astype(precision(points))


def from_box_frame(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The inverse of `to_box_frame`: points `(..., 3)` of the box's frame, in that of the sweep."""
    frame = BoxFrame.of(corners)
    points = np.asarray(points)
    moved = points[..., [0, 2, 1]].astype(np.float64) * frame.scale
    return (moved @ frame.rotation.T + frame.center).astype(precision(points))


def read_box(path: str | os.PathLike) -> np.ndarray:
    """The corners `(8, 3)` of a text file with three numbers a line, float64.

    Raises:
        ValueError: naming the file, where it does not hold 8 finite corners of a box with a length.
        FileNotFoundError: where there is no such file.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; name the text file of one box")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        corners = text.read(path)
        BoxFrame.of(corners)
    except (FormatError, ValueError) as error:
        raise ValueError(f"{path}: not a box of 8 corners, three numbers a line ({error})") from None
    return corners
