"""A cloud with what a scanner measured beside the places: colors and normals."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from keras_wcd.data.io.colors import as_colors, unpack_colors

POINTS = ("x", "y", "z")
NORMALS = ("nx", "ny", "nz")
COLORS = ("red", "green", "blue")
_NORMALS = (NORMALS, ("normal_x", "normal_y", "normal_z"), ("normalx", "normaly", "normalz"))
_COLORS = (COLORS, ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_PACKED = ("rgb", "rgba")
KNOWN = {*POINTS, *(name for names in (*_NORMALS, *_COLORS) for name in names), *_PACKED}
"""Names of columns that a cloud is made of, in lower case, in the formats that name them."""

_EXACT = 2**24
"""Whole numbers up to this are float32 numbers."""
_FAR = 16
"""A cloud whose coordinates are this many times its extent or more loses detail in float32: at this distance it has
half a million steps left, at 5e6 times two."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points and, where they were measured, their colors and normals.

    Attributes:
        points: `(N, 3)`, float32 or float64.
        colors: `(N, 3)`, uint8: red, green, blue; None where there are none.
        normals: `(N, 3)`, float32; None where there are none.
        notes: What reading the file decided, by name, for people to read.
    """

    points: np.ndarray
    colors: np.ndarray | None = None
    normals: np.ndarray | None = None
    notes: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.points)

    def select(self, index: np.ndarray) -> "Cloud":
        """The points of a mask or of indices, with their colors and normals."""
        fields = {"points": self.points, "colors": self.colors, "normals": self.normals}
        fields = {name: None if values is None else values[index] for name, values in fields.items()}
        return Cloud(**fields, notes=self.notes)

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
        return Cloud(as_points(points), **found, notes=self.notes)

    def finite(self) -> "Cloud":
        """The rows whose points are finite."""
        kept = np.all(np.isfinite(self.points), axis=1)
        return self if kept.all() else self.select(kept)

    def without(self, *fields: str) -> "Cloud":
        """This cloud without its `"colors"`, its `"normals"` or both."""
        return replace(self, **dict.fromkeys(fields))

    def noted(self, **notes: str | None) -> "Cloud":
        """This cloud with more notes, `_` for a blank in their names; those of None are left out."""
        more = {name.replace("_", " "): note for name, note in notes.items() if note is not None}
        return replace(self, notes={**self.notes, **more})


def from_columns(columns: Mapping[str, np.ndarray]) -> Cloud:
    """The cloud of columns `(N,)` by the names that formats give them; x, y and z are needed."""
    return Cloud(as_points(_stack(columns, POINTS)), _colors(columns), _normals(columns))


def from_text_columns(columns: Mapping[str, np.ndarray], kinds: Mapping[str, np.dtype]) -> Cloud:
    """The cloud of columns that were written as text, float64, and declared to be of `kinds`.

    Digits beyond a declared float32 are kept where the cloud lies so far away that they matter.
    """
    floats = all(np.dtype(kinds[name]) == np.float32 for name in POINTS)
    with np.errstate(over="ignore", invalid="ignore"):
        typed = {
            name: values if floats and name in POINTS else values.astype(kinds[name])
            for name, values in columns.items()
        }
    points = _stack(typed, POINTS)
    return Cloud(narrowed(points) if floats else as_points(points), _colors(typed), _normals(typed))


def columns_of(cloud: Cloud) -> dict[str, np.ndarray]:
    """Columns `(N,)`: x, y, z, then nx, ny, nz and red, green, blue where there are any."""
    groups = ((POINTS, cloud.points), (NORMALS, cloud.normals), (COLORS, cloud.colors))
    return {name: values[:, k] for names, values in groups if values is not None for k, name in enumerate(names)}


def as_points(points: np.ndarray) -> np.ndarray:
    """Points in C order and the machine's bytes: float64 where they are doubles or whole numbers above 2^24."""
    if points.dtype.kind == "f":
        wide = points.dtype.itemsize >= 8
    else:
        wide = points.dtype.itemsize > 2 and points.size and not -_EXACT <= points.min() <= points.max() <= _EXACT
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(points, np.float64 if wide else np.float32)


def narrowed(points: np.ndarray) -> np.ndarray:
    """Points `(N, 3)` of float64 as float32, or as they are where that loses detail: far away, or beyond its range."""
    with np.errstate(over="ignore"):
        narrow = points.astype(np.float32)
        finite = np.isfinite(points)
        finite = points if finite.all() else points[finite.all(axis=1)]
        if not len(finite):
            return narrow
        low, high = finite.min(axis=0), finite.max(axis=0)
        far, extent = np.abs([low, high]).max(), (high - low).max()
        if not (0 < _FAR * extent <= far or far > np.finfo(np.float32).max):
            return narrow
        return narrow if (finite == finite.astype(np.float32)).all() else points


def as_normals(normals: np.ndarray) -> np.ndarray:
    """Normals `(N, 3)`, float32."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(normals, np.float32)


def _stack(columns: Mapping[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    return np.stack([columns[name] for name in names], axis=1)


def _normals(columns: Mapping[str, np.ndarray]) -> np.ndarray | None:
    return next((as_normals(_stack(columns, names)) for names in _NORMALS if set(names) <= set(columns)), None)


def _colors(columns: Mapping[str, np.ndarray]) -> np.ndarray | None:
    for names in _COLORS:
        if set(names) <= set(columns):
            return as_colors(_stack(columns, names))
    return next((unpack_colors(columns[name]) for name in _PACKED if name in columns), None)
