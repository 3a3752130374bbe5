"""Clouds as lines of text: xyz, txt, csv and the ascii parts of other formats."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_wcd.data.io.cloud import COLORS, KNOWN, POINTS, Cloud, columns_of, from_columns
from keras_wcd.data.io.limits import FormatError

_SOMETHING = re.compile(r"^[^\S\n]*[^#\s]", re.MULTILINE)
"""A line that is neither empty nor a comment."""


def read(path: Path) -> np.ndarray:
    """Columns x, y and z `(N, 3)`, float64, of `read_cloud`."""
    return read_cloud(path).points


def read_cloud(path: Path) -> Cloud:
    """Columns x, y and z, with the colours and normals a first line of names calls so; else the first three columns.

    Numbers are separated by commas, semicolons or white space; lines that begin with # are comments.
    """
    content = path.read_bytes()
    first, start = _first_line(content)
    if not first:
        return Cloud(np.zeros((0, 3)))
    words = [word.strip('"').lower() for word in re.split(r"[,;\s]+", first.strip())]
    names, skip = dict(zip(POINTS, range(3), strict=True)), 0
    if any(_number(word) is None for word in words if word):
        skip = start
        if set(POINTS) <= set(words):
            names = {word: words.index(word) for word in words if word in KNOWN}
        elif len(words) == 1 or not re.match(r"[a-z_\"]", words[0] or ","):
            raise FormatError(f"its first line is not numbers and names no columns x, y, z: {first.strip()[:60]!r}")
    elif len(words) == 1:
        skip = start  # An xyz file may open with its number of points.
    rows = parse(content[skip:], columns=list(names.values()))
    return from_columns({name: rows[:, k] for k, name in enumerate(names)})


def parse(content: bytes, *, columns: Sequence[int], count: int | None = None) -> np.ndarray:
    """Some columns `(N, C)`, float64, of the lines of `content`; the first `count` rows where that is given."""
    if count is not None and count > len(content) // 6 + 1:
        raise FormatError(f"the header promises {count} points, {len(content)} bytes follow")
    try:
        lines = content.decode("utf-8-sig").replace(",", " ").replace(";", " ")
        if count == 0 or not _SOMETHING.search(lines):
            return np.zeros((0, len(columns)))
        rows = np.loadtxt(io.StringIO(lines), np.float64, usecols=columns, ndmin=2)
    except UnicodeDecodeError:
        raise FormatError("it is not text; is the extension right?") from None
    except (ValueError, IndexError) as error:
        raise FormatError(f"a line does not hold the {len(columns)} numbers expected ({error})") from None
    if count is not None and len(rows) < count:
        raise FormatError(f"truncated: the header promises {count} points, {len(rows)} follow")
    return rows[:count]


def dump(file: BinaryIO, cloud: Cloud, separator: str = " ") -> None:
    """Lines of the columns of `cloud`, whose floats read back as they were."""
    digits = 9 if cloud.points.dtype == np.float32 else 17
    columns = columns_of(cloud)
    formats = ["%d" if name in COLORS else f"%.{digits}g" for name in columns]
    np.savetxt(file, np.stack(list(columns.values()), axis=1), fmt=formats, delimiter=separator)


def write(file: BinaryIO, cloud: Cloud, encoding: str) -> None:
    """Write lines of three coordinates; without names for its columns the format has no place for more."""
    dump(file, Cloud(cloud.points))


def write_csv(file: BinaryIO, cloud: Cloud, encoding: str) -> None:
    """Write a line of names, then the coordinates, normals and colours."""
    file.write(",".join(columns_of(cloud)).encode() + b"\n")
    dump(file, cloud, ",")


def _first_line(content: bytes) -> tuple[str, int]:
    """The first line that is neither empty nor a comment, and where the line after it begins."""
    start = 0
    while start < len(content):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end + 1
        line = content[start : min(end, start + 4096)].decode("utf-8-sig", "replace").strip()
        if line and not line.startswith("#"):
            return line, end
        start = end
    return "", 0


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
