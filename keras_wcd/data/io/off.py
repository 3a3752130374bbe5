"""The object file format: OFF, and its kinds with colors (COFF), normals (NOFF) and texture coordinates (STOFF)."""

import re
from pathlib import Path

import numpy as np

from keras_wcd.data.io import numbers
from keras_wcd.data.io.cloud import COLORS, NORMALS, POINTS, Cloud, from_columns
from keras_wcd.data.io.limits import FormatError
from keras_wcd.data.io.ply import fans
from keras_wcd.data.io.text import decoded

_KIND = re.compile(rb"\s*(ST)?(C)?(N)?(4)?(n)?(?:OFF|off)(?:\s+(BINARY)\b)?")
_COUNTS = re.compile(rb"\s*(\d{1,18})\s+(\d{1,18})(?:[ \t]+\d+)?[^\S\n]*(?:\n|$)")


def read(path: Path) -> tuple[Cloud, np.ndarray]:
    """Vertices and triangles `(F, 3)`, F = 0 for a cloud; polygons become fans of triangles.

    Raises:
        FormatError: for another file, a kind that is not read, or counts that the lines do not bear out.
    """
    content = re.sub(rb"#[^\n]*", b"", decoded(path.read_bytes()))
    kind = _KIND.match(content)
    if not kind:
        raise FormatError("it does not begin with OFF; the file is corrupt or no OFF")
    _, colored, directed, four, any_dimension, binary = kind.groups()
    if four or any_dimension or binary:
        what = "binary" if binary else "of another dimension than 3"
        raise FormatError(f"it is an OFF file {what}; save it as OFF with three coordinates, in text")
    counts = _COUNTS.match(content, kind.end())
    if not counts:
        raise FormatError("its numbers of vertices and faces do not follow OFF")
    lines = [line for line in content[counts.end() :].split(b"\n") if line.strip()]
    vertices, faces = int(counts[1]), int(counts[2])
    if vertices + faces > len(lines):
        raise FormatError(f"the header promises {vertices} vertices and {faces} faces, {len(lines)} lines follow")
    cloud = _vertices(lines[:vertices], bool(directed), bool(colored))
    found = _faces(lines[vertices : vertices + faces])
    if found.size and not (found.min() >= 0 and found.max() < vertices):
        raise FormatError(f"a face names a vertex outside 0 to {vertices - 1}")
    return cloud.noted(kind=kind[0].decode("ascii").strip().upper()), found


def _vertices(lines: list[bytes], directed: bool, colored: bool) -> Cloud:
    names = POINTS + (NORMALS if directed else ()) + (COLORS if colored else ())
    rows = numbers.rows(b"\n".join(lines), None, range(len(names)), comma=True)
    if len(rows) < len(lines):
        raise FormatError(f"{len(lines) - len(rows)} of its {len(lines)} vertices hold no numbers")
    return from_columns({name: rows[:, k] for k, name in enumerate(names)})


def _faces(lines: list[bytes]) -> np.ndarray:
    faces = []
    for line in lines:
        words = line.split()
        try:
            corners = int(words[0])
            if not 0 <= corners < len(words):
                raise ValueError
            faces.append([int(word) for word in words[1 : corners + 1]])
        except ValueError:
            raise FormatError(f"a face is not a list of vertex numbers: {line[:60]!r}") from None
    if faces and min(map(len, faces)) == max(map(len, faces)) == 3:
        return _whole(faces)
    return fans([_whole(face) for face in faces])


def _whole(numbers_of_vertices: list) -> np.ndarray:
    try:
        return np.array(numbers_of_vertices, np.int64)
    except OverflowError:
        raise FormatError("a face names a vertex beyond all numbers of vertices") from None
