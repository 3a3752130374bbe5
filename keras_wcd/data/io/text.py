"""Clouds as lines of text: xyz, txt, csv, pts, asc and many other names; `layout` has the rule that they follow."""

import codecs
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_wcd.data.io import numbers
from keras_wcd.data.io.cloud import COLORS, NORMALS, POINTS, Cloud, columns_of, from_columns
from keras_wcd.data.io.layout import SEPARATORS, Layout, layout_of
from keras_wcd.data.io.limits import FormatError

EXTENSIONS = (".xyz", ".txt", ".csv", ".pts", ".asc", ".tsv", ".tab", ".dat", ".xyzi", ".xyzn", ".xyzrgb", ".xyznrgb")
_NAMELESS = {".xyzn": NORMALS, ".xyzrgb": COLORS, ".xyznrgb": (*NORMALS, *COLORS)}
"""What stands behind x, y, z in files without a line of names, where their extension says it."""
_COUNT_LINES = re.compile(rb"(?m)^[ \t]*(\d{1,18})[ \t]*$")


def read(path: Path) -> np.ndarray:
    """Columns x, y and z `(N, 3)`, float64, of `read_cloud`."""
    return read_cloud(path).points


def read_cloud(path: Path) -> Cloud:
    """Columns x, y and z, with the colors and normals among the columns, by the rule of `layout`."""
    content = decoded(path.read_bytes())
    layout = layout_of(content)
    if layout is None:
        return Cloud(np.zeros((0, 3)))
    columns = layout.columns or _nameless(layout, path.suffix.lower())
    content, promised = content[layout.start :] if layout.start else content, layout.count
    if promised is not None and path.suffix.lower() == ".pts":
        content, promised = _one_block(content, promised)
    _check_count(promised, len(content))
    comma = layout.separator != "," and b"," in content
    rows = numbers.rows(content, layout.separator, list(columns.values()), width=layout.width, comma=comma)
    if promised is not None and len(rows) < promised:
        raise FormatError(f"truncated: its first line promises {promised} points, {len(rows)} follow")
    beyond = len(rows) - promised if promised is not None and path.suffix.lower() == ".pts" else 0
    rows = rows[: len(rows) - beyond]
    found = {name: rows[:, k] for k, name in enumerate(columns)}
    if layout.columns is None and "red" in found and path.suffix.lower() not in _NAMELESS:
        found = found if _bytes_only(found) else {name: found[name] for name in POINTS}
    extra = f"{beyond} beyond the {promised} that its first line promises" if beyond else None
    return from_columns(found).noted(**_notes(layout, columns, found, comma), rows_beyond_left_out=extra)


def parse(content: bytes, *, columns: Sequence[int], count: int | None = None) -> np.ndarray:
    """Some columns `(N, C)`, float64, of lines of numbers; the first `count` rows where that is given.

    Blanks separate, or what the first line needs that has too few cells between blanks: semicolons or commas.
    """
    _check_count(count, len(content))
    if count == 0:
        return np.zeros((0, len(columns)))
    if b"\n" not in content:
        content = content.replace(b"\r", b"\n")
    first = content.lstrip().partition(b"\n")[0].decode("latin1")
    cut = {mark: numbers.cells(first, mark) for mark in (None, ";", ",")}
    cut[None] = [cell for cell in cut[None] if cell.strip(",;") == cell]
    separator = next((mark for mark, row in cut.items() if len(row) > max(columns)), None)
    rows = numbers.rows(content, separator, columns, comma=separator != ",")
    if count is not None and len(rows) < count:
        raise FormatError(f"truncated: the header promises {count} points, {len(rows)} follow")
    return rows[:count]


def decoded(content: bytes) -> bytes:
    """A text in UTF-8 or another encoding that agrees with ASCII, without a mark of it, its lines ended by line feeds.

    Raises:
        FormatError: where it is no text.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = _from_utf16(content, "utf-16")
    elif content[1:400:2].count(0) > len(content[:400]) * 0.45:
        content = _from_utf16(content, "utf-16-le")
    elif content[0:400:2].count(0) > len(content[:400]) * 0.45:
        content = _from_utf16(content, "utf-16-be")
    content = content.removeprefix(codecs.BOM_UTF8)
    if b"\0" in content:
        raise FormatError("it is not text; is the extension right?")
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in content else content


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
    """Write a line of names, then the coordinates, normals and colors."""
    file.write(",".join(columns_of(cloud)).encode() + b"\n")
    dump(file, cloud, ",")


def _from_utf16(content: bytes, encoding: str) -> bytes:
    try:
        return content.decode(encoding).encode()
    except UnicodeError:
        raise FormatError("it is not text; is the extension right?") from None


def _check_count(count: int | None, size: int) -> None:
    if count is not None and count > size // 6 + 1:
        raise FormatError(f"the header promises {count} points, {size} bytes follow")


def _one_block(content: bytes, promised: int) -> tuple[bytes, int]:
    """The rows of several scans, each of which begins with their number, as Leica's pts files have them."""
    counts = [int(match[1]) for match in _COUNT_LINES.finditer(content)] if b"\n" in content else []
    return (_COUNT_LINES.sub(b"", content), promised + sum(counts)) if counts else (content, promised)


def _nameless(layout: Layout, extension: str) -> dict[str, int]:
    """Columns without names: x, y, z first, then what the extension says, or three columns of bytes as colors."""
    first = next(k for k in range(layout.width) if any(row[k].strip() for row in layout.sample))
    columns: dict[str, int] = dict(zip(POINTS, range(first, first + 3), strict=True))
    after = _NAMELESS.get(extension)
    if after is not None:
        if layout.width < first + 3 + len(after):
            raise FormatError(f"its rows have {layout.width} columns; a {extension} file has {3 + len(after)}")
        return columns | {name: first + 3 + k for k, name in enumerate(after)}
    places = [first + 4] if extension == ".pts" and layout.width == first + 7 else [first + 3, first + 4]
    places = [k for k in places if k + 3 <= layout.width <= first + 7 and _sample_of_bytes(layout, k)]
    if len(places) == 2 and all(numbers.number(row[first + 6]) == 255 for row in layout.sample):
        places.pop()  # What stands behind the colors is their opacity.
    if layout.width < first + 6 or len(places) != 1:
        return columns
    return columns | {name: places[0] + k for k, name in enumerate(COLORS)}


def _sample_of_bytes(layout: Layout, place: int) -> bool:
    rows = [[numbers.number(cell, layout.separator) for cell in row[place : place + 3]] for row in layout.sample]
    return all(v is not None and 0 <= v <= 255 and v == int(v) for row in rows for v in row)


def _bytes_only(found: dict[str, np.ndarray]) -> bool:
    """Whether columns without names are colors: whole numbers from 0 to 255, not all 0 or 1 as normals may be."""
    values = np.stack([found[name] for name in COLORS])
    return bool(((values >= 0) & (values <= 255) & (values == np.rint(values))).all() and values.max(initial=0) > 1)


def _notes(layout: Layout, columns: dict[str, int], found: dict[str, np.ndarray], comma: bool) -> dict[str, str | None]:
    def shown(k: int) -> str:
        return layout.names[k] if layout.names else f"column {k + 1}"

    left = [shown(k) for k in range(layout.width) if k not in {columns[name] for name in found}]
    return {
        "separator": SEPARATORS[layout.separator],
        "decimal_mark": "comma" if comma else "point",
        "header": ", ".join(layout.names) if layout.names else "none: the first columns are x, y, z",
        "columns": ", ".join(f"{name} = {shown(columns[name])}" for name in found),
        "columns_left_out": ", ".join(left) or None,
    }
