"""A cloud with what a scanner measured beside the places: colours and normals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

POINTS = ("x", "y", "z")
NORMALS = ("nx", "ny", "nz")
COLORS = ("red", "green", "blue")
_NORMALS = (NORMALS, ("normal_x", "normal_y", "normal_z"))
_COLORS = (COLORS, ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_PACKED = ("rgb", "rgba")
KNOWN = {*POINTS, *(name for names in (*_NORMALS, *_COLORS) for name in names), *_PACKED}
"""Names of columns that a cloud is made of, in the formats that name them."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points and, where they were measured, their colours and normals.

    Attributes:
        points: `(N, 3)`, float32 or float64.
        colors: `(N, 3)`, uint8: red, green, blue; None where there are none.
        normals: `(N, 3)`, float32; None where there are none.
    """

    points: np.ndarray
    colors: np.ndarray | None = None
    normals: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.points)

    def select(self, index: np.ndarray) -> "Cloud":
        """The points of a mask or of indices, with their colours and normals."""
        fields = {"points": self.points, "colors": self.colors, "normals": self.normals}
        return Cloud(**{name: None if values is None else values[index] for name, values in fields.items()})

    def checked(self) -> "Cloud":
        """This cloud with the dtypes promised above.

        Raises:
            ValueError: for arrays of another shape or without numbers, or no point at all.
        """
        points = np.asarray(self.points)
        if points.ndim != 2 or points.shape[1] != 3 or not len(points) or points.dtype.kind not in "fiu":
            hint = "; transpose it" if points.ndim == 2 and points.shape[0] == 3 else ""
            raise ValueError(
                f"points must be numbers of shape (N, 3) with N >= 1, got {points.dtype} {points.shape}{hint}"
            )
        fields = {"colors": (self.colors, as_colors), "normals": (self.normals, as_normals)}
        found = {}
        for name, (values, convert) in fields.items():
            values = None if values is None else np.asarray(values)
            if values is not None and (values.shape != points.shape or values.dtype.kind not in "fiu"):
                raise ValueError(f"{name} must be numbers of shape {points.shape}, got {values.dtype} {values.shape}")
            found[name] = None if values is None else convert(values)
        return Cloud(as_points(points), **found)

    def finite(self) -> "Cloud":
        """The rows whose points are finite."""
        kept = np.isfinite(self.points).all(axis=1)
        return self if kept.all() else self.select(kept)

    def without(self, *fields: str) -> "Cloud":
        """This cloud without its `"colors"`, its `"normals"` or both."""
        return replace(self, **dict.fromkeys(fields))


def from_columns(columns: Mapping[str, np.ndarray]) -> Cloud:
    """The cloud of columns `(N,)` by the names that formats give them; x, y and z are needed."""
    return Cloud(_stack(columns, POINTS), _colors(columns), _normals(columns))


def columns_of(cloud: Cloud) -> dict[str, np.ndarray]:
    """Columns `(N,)`: x, y, z, then nx, ny, nz and red, green, blue where there are any."""
    groups = ((POINTS, cloud.points), (NORMALS, cloud.normals), (COLORS, cloud.colors))
    return {name: values[:, k] for names, values in groups if values is not None for k, name in enumerate(names)}


def as_points(points: np.ndarray) -> np.ndarray:
    """Points in C order and the machine's bytes: doubles stay doubles, everything else becomes float32."""
    double = points.dtype.kind == "f" and points.dtype.itemsize == 8
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(points, np.float64 if double else np.float32)


def as_normals(normals: np.ndarray) -> np.ndarray:
    """Normals `(N, 3)`, float32."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(normals, np.float32)


def as_colors(values: np.ndarray) -> np.ndarray:
    """Colours `(N, 3)`, uint8, of floats up to 1, of 16-bit numbers, or of numbers up to 255; NaN is black."""
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return np.ascontiguousarray(values >> 8, np.uint8)
    with np.errstate(over="ignore"):
        values = np.nan_to_num(values.astype(np.float64), posinf=255, neginf=0)
    scale = 255 if values.size and values.max() <= 1 else 1
    return np.rint(np.clip(values * scale, 0, 255)).astype(np.uint8)


def pack_colors(colors: np.ndarray) -> np.ndarray:
    """Colours `(N, 3)` as the whole numbers 0x00RRGGBB `(N,)`, uint32."""
    red, green, blue = colors.astype(np.uint32).T
    return red << 16 | green << 8 | blue


def _stack(columns: Mapping[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    return np.stack([columns[name] for name in names], axis=1)


def _normals(columns: Mapping[str, np.ndarray]) -> np.ndarray | None:
    return next((as_normals(_stack(columns, names)) for names in _NORMALS if set(names) <= set(columns)), None)


def _colors(columns: Mapping[str, np.ndarray]) -> np.ndarray | None:
    for names in _COLORS:
        if set(names) <= set(columns):
            return as_colors(_stack(columns, names))
    for name in _PACKED:
        if name in columns:
            return _unpack(columns[name])
    return None


def _unpack(packed: np.ndarray) -> np.ndarray:
    """The inverse of `pack_colors`; of floats, as older files of the Point Cloud Library have them, the bits count."""
    with np.errstate(over="ignore", invalid="ignore"):
        if packed.dtype.kind == "f":
            bits = np.ascontiguousarray(packed, np.float32).view(np.uint32)
        else:
            bits = packed.astype(np.uint32)
    return np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], axis=1).astype(np.uint8)
