"""Wavefront obj files that hold vertices and no faces: clouds, with colors behind the coordinates."""

import re

from keras_wcd.data.io import numbers
from keras_wcd.data.io.cloud import COLORS, NORMALS, POINTS, Cloud, from_columns
from keras_wcd.data.io.limits import FormatError

_FACE = re.compile(rb"(?m)^[ \t]*fo?[ \t]")
_VERTEX = re.compile(rb"(?m)^[ \t]*v[ \t]+([^\n]*)")
_NORMAL = re.compile(rb"(?m)^[ \t]*vn[ \t]+([^\n]*)")


def has_faces(content: bytes) -> bool:
    """Whether any line is a face."""
    return bool(_FACE.search(content))


def read_vertices(content: bytes) -> Cloud:
    """The lines `v x y z`, `v x y z r g b` or `v x y z r g b a`, with as many lines `vn` as normals.

    Raises:
        FormatError: where there are none, or they are no numbers.
    """
    rows = [row for row in _VERTEX.findall(content) if row.strip()]
    if not rows:
        raise FormatError("it holds no vertices (lines v) and no faces (lines f)")
    width = min(len(numbers.cells(row.decode("latin1"), None)) for row in (rows[0], rows[-1]))
    names = POINTS + COLORS if width >= 6 else POINTS
    columns = _columns(rows, names)
    directions = _NORMAL.findall(content)
    if len(directions) == len(rows):
        columns |= _columns(directions, NORMALS)
    return from_columns(columns)


def _columns(rows: list[bytes], names: tuple[str, ...]) -> dict:
    values = numbers.rows(b"\n".join(rows), None, range(len(names)), comma=True)
    if len(values) < len(rows):
        raise FormatError(f"{len(rows) - len(values)} of its {len(rows)} vertices hold no numbers")
    return {name: values[:, k] for k, name in enumerate(names)}
