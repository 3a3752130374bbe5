"""Clouds as lines of text: xyz, txt, csv and the ascii parts of other formats."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_wcd.data.files import FormatError


def read(path: Path) -> np.ndarray:
    """Columns x, y and z `(N, 3)`, float64: those a first line of names calls so, else the first three.

    Numbers are separated by commas, semicolons or white space; lines that begin with # are comments.
    """
    content = path.read_bytes()
    first, start = _first_line(content)
    if not first:
        return np.zeros((0, 3))
    words = [word.strip('"').lower() for word in re.split(r"[,;\s]+", first.strip())]
    columns, skip = [0, 1, 2], 0
    if any(_number(word) is None for word in words if word):
        skip = start
        if {"x", "y", "z"} <= set(words):
            columns = [words.index(axis) for axis in "xyz"]
        elif len(words) == 1 or not re.match(r"[a-z_\"]", words[0] or ","):
            raise FormatError(f"its first line is not numbers and names no columns x, y, z: {first.strip()[:60]!r}")
    elif len(words) == 1:
        skip = start  # An xyz file may open with its number of points.
    return parse(content[skip:], columns=columns, double=True)


def parse(content: bytes, *, columns: Sequence[int], count: int | None = None, double: bool = False) -> np.ndarray:
    """Three columns of the lines of `content`; exactly `count` rows where that is given."""
    if count is not None and count > len(content) // 6 + 1:
        raise FormatError(f"the header promises {count} points, {len(content)} bytes follow")
    if not content.strip() or count == 0:
        return np.zeros((0, 3), np.float32)
    try:
        lines = io.StringIO(content.decode("utf-8-sig").replace(",", " ").replace(";", " "))
        rows = np.loadtxt(lines, np.float64 if double else np.float32, usecols=columns, ndmin=2, max_rows=count)
    except UnicodeDecodeError:
        raise FormatError("it is not text; is the extension right?") from None
    except (ValueError, IndexError) as error:
        raise FormatError(f"a line does not hold the three numbers expected ({error})") from None
    if count is not None and len(rows) != count:
        raise FormatError(f"truncated: the header promises {count} points, {len(rows)} follow")
    return rows.reshape(-1, 3)


def dump(file: BinaryIO, points: np.ndarray, separator: str = " ") -> None:
    """Lines of three numbers that read back to the same floats."""
    digits = 9 if points.dtype == np.float32 else 17
    np.savetxt(file, points, fmt=f"%.{digits}g", delimiter=separator)


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
