"""Arrays by name: which of those in an archive is the cloud, which one row of many, what their columns are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from keras_wcd.data.io.cloud import POINTS, Cloud, as_normals, from_columns
from keras_wcd.data.io.colors import as_colors
from keras_wcd.data.io.limits import FormatError
from keras_wcd.data.io.names import columns_by_name

KEYS = ("points", "xyz", "data", "positions", "position", "pos", "pc", "pcd", "cloud", "point_cloud", "pointcloud")
"""Names that the array with the points goes by."""
PARTIAL = ("partial", "incomplete", "incomplete_pcds", "partial_pc", "partial_cloud", "scan")
"""Names that the scan of a pair goes by: what completing prefers."""
_COLORS = ("colors", "color", "colours", "colour", "rgb", "rgbs")
_NORMALS = ("normals", "normal")
MAX_COLUMNS = 64
"""Columns of an array `(N, K)` of points with other numbers behind them; what has more is another thing."""


@dataclass(frozen=True)
class Which:
    """Which cloud of a file that holds several.

    Attributes:
        dataset: Name of the array.
        index: Row of an array `(B, N, 3)`.
        prefer: Names of arrays to take, where `dataset` names none.
    """

    dataset: str | None = None
    index: int | None = None
    prefer: Sequence[str] = ()


class Shape(NamedTuple):
    """What a header says of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def __str__(self) -> str:
        return f"{self.shape}"


def choose(found: Mapping[str, Shape], which: Which) -> str:
    """The name of the array with the points, of all those in an archive.

    That of `which.dataset`; else the first of `which.prefer`; else the only one called as in `KEYS`; else the only
    one that can be a cloud.

    Raises:
        FormatError: where there is none or several, with the names.
    """
    listed = ", ".join(f"{name} {shape}" for name, shape in list(found.items())[:20]) or "none"
    if which.dataset is not None:
        name = which.dataset.strip("/")
        if name not in found:
            raise FormatError(f"it has no array {which.dataset!r} (--dataset, dataset=); it holds {listed}")
        return name
    clouds = [name for name, shape in found.items() if _may_be_cloud(shape) and _last(name) not in _COLORS + _NORMALS]
    preferred = [name for key in which.prefer for name in clouds if _last(name) == key]
    named = [name for name in clouds if _last(name) in KEYS]
    for group in (preferred, named, clouds):
        if len(group) == 1:
            return group[0]
        if group:
            raise FormatError(f"it holds several clouds; name one with --dataset (dataset=): {listed}")
    raise FormatError(f"it holds no data set of numbers of shape (N, 3); --dataset (dataset=) names one: {listed}")


def beside(found: Mapping[str, Shape], name: str, rows: int) -> dict[str, str]:
    """Names of the arrays `(rows, 3)` with the colors and the normals of an array, in the same folder."""
    folder, names = name.rpartition("/")[0], {}
    for what, keys in (("colors", _COLORS), ("normals", _NORMALS)):
        for other, shape in found.items():
            fits = (
                len(shape.shape) == 2 and shape.shape[0] == rows and shape.shape[1] >= 3 and shape.dtype.kind in "fiu"
            )
            if fits and other != name and other.rpartition("/")[0] == folder and _last(other) in keys:
                names.setdefault(what, other)
    return names


def check(shape: Shape, index: int | None, what: str = "the array") -> int | None:
    """The row of an array `(B, N, 3)` that is meant, None for an array that is one cloud.

    Raises:
        FormatError: for a shape that is no cloud, or several of which none is named.
    """
    size, dtype = shape
    if dtype.hasobject:
        raise FormatError("it holds pickled Python objects, which are never loaded; save an array of floats")
    if dtype.names:
        if len(size) != 1 or not set(POINTS) <= set(_fields(dtype)):
            raise FormatError(f"{what} has shape {size} of fields {', '.join(dtype.names)[:100]}; x, y, z are needed")
        return _no_row(index, what, size)
    if dtype.kind not in "fiu":
        raise FormatError(f"{what} holds dtype {dtype}; coordinates must be numbers")
    if len(size) == 3 and 3 <= size[2] <= MAX_COLUMNS:
        return _row(index, what, size)
    transposed = len(size) == 2 and size[0] == 3 and size[1] != 3
    if len(size) != 2 or not 3 <= size[1] <= MAX_COLUMNS or transposed and size[1] > 3:
        hint = "; transpose it" if len(size) == 2 and 3 <= size[0] <= min(MAX_COLUMNS, size[1]) else ""
        raise FormatError(f"{what} has shape {size}, a cloud has shape (N, 3){hint}")
    return _no_row(index, what, size)


def cloud_of(points: np.ndarray, colors: np.ndarray | None = None, normals: np.ndarray | None = None) -> Cloud:
    """The cloud of an array `(N, K)`, K >= 3, or of a structured one `(N,)`, with arrays `(N, K)` beside it."""
    if points.dtype.names:
        fields = _fields(points.dtype)
        cloud = from_columns({word: points[name] for word, name in fields.items()})
        left = [name for name in points.dtype.names if name not in fields.values()]
        return cloud.noted(fields=", ".join(points.dtype.names), columns_left_out=", ".join(left) or None)
    left = f"{points.shape[1] - 3} behind x, y, z" if points.shape[1] > 3 else None
    return Cloud(
        points[:, :3],
        None if colors is None else as_colors(colors[:, :3]),
        None if normals is None else as_normals(normals[:, :3]),
        {"columns left out": left} if left else {},
    )


def read_archive(found: Mapping[str, Shape], which: Which, load: Callable[[str, int | None], np.ndarray]) -> Cloud:
    """The cloud of an archive, whose arrays `load` reads by name, whole or a row of them."""
    columns = _separate_columns(found) if which == Which(prefer=which.prefer) else None
    if columns:
        cloud = from_columns({word: load(name, None) for word, name in columns.items()})
        return cloud.noted(array=", ".join(columns.values()))
    name = choose(found, which)
    row = check(found[name], which.index, f"the array {name!r}")
    points = load(name, row)
    others = beside(found, name, len(points)) if row is None else {}
    cloud = cloud_of(points, **{what: load(other, None) for what, other in others.items()})
    return cloud.noted(
        array=f"{name} {found[name]}" if row is None else f"{name} {found[name]}, row {row}",
        arrays_beside_it=", ".join(f"{what}: {other}" for what, other in others.items()) or None,
        arrays_not_read=", ".join(other for other in found if other not in {name, *others.values()}) or None,
    )


def _separate_columns(found: Mapping[str, Shape]) -> dict[str, str] | None:
    """Names of arrays `(N,)` that are the columns of a cloud, where no array is a cloud, by their meaning."""
    if any(_may_be_cloud(shape) for shape in found.values()):
        return None
    names = [name for name, (size, dtype) in found.items() if len(size) == 1 and dtype.kind in "fiu"]
    try:
        columns = columns_by_name([_last(name) for name in names]) or {}
    except KeyError:
        return None
    columns = {word: names[k] for word, k in columns.items()}
    return columns if len({found[name].shape for name in columns.values()}) == 1 else None


def _row(index: int | None, what: str, size: tuple[int, ...]) -> int:
    if index is None and size[0] != 1:
        raise FormatError(
            f"{what} has shape {size}: {size[0]} clouds, of which --index (index=) names one, from 0 to {size[0] - 1}; "
            "where these are the pixels of one scan, reshape it to (N, 3)"
        )
    index = 0 if index is None else index
    if not -size[0] <= index < size[0]:
        raise FormatError(f"{what} has shape {size}; index must lie between 0 and {size[0] - 1}, got {index}")
    return index % size[0]


def _no_row(index: int | None, what: str, size: tuple[int, ...]) -> None:
    if index is not None:
        raise FormatError(f"{what} has shape {size}: one cloud, of which --index (index=) names no row")


def _fields(dtype: np.dtype) -> dict[str, str]:
    """Names of the fields of a structured dtype that are numbers, by their meaning."""
    names = [name for name in dtype.names or () if dtype[name].kind in "fiu" and not dtype[name].shape]
    try:
        return {word: names[k] for word, k in (columns_by_name(names) or {}).items()}
    except KeyError as error:
        raise FormatError(f"it names {error} twice: {', '.join(names)[:100]}") from None


def _may_be_cloud(shape: Shape) -> bool:
    """Whether an array can be a cloud or clouds: `(N, 3)` and wider, `(B, N, 3)`, or fields x, y, z."""
    try:
        check(shape, 0 if len(shape.shape) == 3 else None)
    except FormatError:
        return False
    return True


def _last(name: str) -> str:
    return name.rpartition("/")[2].lower()
