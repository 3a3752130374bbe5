"""Numbers of a table in text: cells that belong to columns, by the separator and decimal mark of the file."""

import io
import re
from collections.abc import Sequence

import numpy as np

from keras_wcd.data.io.limits import FormatError

_MISSING = {"", "nan", "na", "n/a", "null", "none", "-", "--", "*", "?", "inf", "infinity"}
# No two parts of a pattern fit the same letters, or the time would grow with the square of a long cell.
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[ed][+-]?\d+)?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[ed][+-]?\d+)?", re.IGNORECASE)
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:([,.' \u2019\u00a0\u202f])\d{3})+(?:[.,]\d*)?")
_NO_NUMBER = re.compile(rb"[+-]?1\.?#(?:IND|QNAN|SNAN|INF)\w*|[+-]?\bs?q?nan\([^)\s]{0,40}\)", re.IGNORECASE)
_FORTRAN = re.compile(rb"(?<=[\d.])[dD](?=[+-]?\d)")
_BOTH_MARKS = re.compile(rb"\d\.|\.\d")
_COMMENT = re.compile(rb"(?m)^[ \t]*(?://|%)[^\n]*")


def rows(
    content: bytes, separator: str | None, columns: Sequence[int], *, width: int | None = None, comma: bool = False
) -> np.ndarray:
    """Some columns `(N, C)`, float64, of the lines of `content`; missing cells are NaN.

    Args:
        content: Lines that end with a line feed, in an encoding that agrees with ASCII.
        separator: Between cells; None stands for blanks.
        columns: Numbers of the columns wanted.
        width: Cells of every line; None lets lines be longer than the columns need.
        comma: Whether commas are decimal marks.

    Raises:
        FormatError: naming the line that does not fit.
    """
    if b"'" in content:  # NumPy takes it for a letter.
        return _careful(content, separator, columns, width, comma)
    plain = _NO_NUMBER.sub(b"nan", content) if b"#" in content else content
    for mended in (False, True):
        plain = _mended(plain, comma) if mended else plain
        try:
            found = _load(plain, separator, columns, width)
        except (ValueError, IndexError):
            continue
        _check_width(content, separator, columns, width)
        return found
    # It can read more, and says which row cannot be read.
    return _careful(content, separator, columns, width, comma)


def number(cell: str, separator: str | None = None) -> float | None:
    """A cell as a number, NaN where it is missing, None where it is neither.

    A comma in it is its decimal mark; between commas as separators it must be in quotes.
    """
    cell = cell.strip()
    quoted = len(cell) > 1 and cell[0] == cell[-1] and cell[0] in "\"'"
    cell = cell[1:-1].strip() if quoted else cell
    if _NUMBER.fullmatch(cell):
        return float(cell.lower().replace("d", "e"))
    if (quoted or separator != ",") and _DECIMAL_COMMA.fullmatch(cell):
        return float(cell.lower().replace(",", ".").replace("d", "e"))
    if cell.lower().lstrip("+-") in _MISSING or _NO_NUMBER.fullmatch(cell.encode("utf-8", "replace")):
        return np.nan
    return None


def grouped(cell: str) -> bool:
    """Whether a cell is a number with separators between its thousands."""
    cell = cell.strip().strip("\"'")
    match = _GROUPED.fullmatch(cell)
    return bool(match) and (match[1] not in ",." or cell.count(match[1]) > 1 or {",", "."} <= set(cell))


def cells(line: str, separator: str | None) -> list[str]:
    """The cells of a line, in their quotes where they have them."""
    if separator is None:
        return re.findall(r"\"[^\"]*\"|'[^']*'|\S+", line) if '"' in line or "'" in line else line.split()
    if '"' not in line:
        return line.split(separator)
    found, start, inside = [], 0, False
    for k, letter in enumerate(line):
        inside ^= letter == '"'
        if letter == separator and not inside:
            found.append(line[start:k])
            start = k + 1
    return [*found, line[start:]]


def without_comment(line: str) -> str:
    """A line without what follows a #, that of 1.#IND excepted."""
    return re.sub(r"(?<!1)(?<!1\.)#.*", "", line) if "#" in line else line


def _mended(content: bytes, comma: bool) -> bytes:
    """Content with the numbers of Fortran and Windows, decimal commas and other comments as NumPy reads them."""
    content = _FORTRAN.sub(b"e", _COMMENT.sub(b"", _NO_NUMBER.sub(b"nan", content)))
    if comma and not (b"." in content and _BOTH_MARKS.search(content)):
        content = content.replace(b",", b".")
    return content


def _load(content: bytes, separator: str | None, columns: Sequence[int], width: int | None) -> np.ndarray:
    if not content or content.isspace():
        return np.zeros((0, len(columns)))
    whole = width == len(columns) and sorted(columns) == list(range(len(columns)))
    found = np.loadtxt(
        io.BytesIO(content),
        np.float64,
        comments="#" if b"#" in content else None,
        delimiter=separator,
        quotechar='"' if b'"' in content else None,
        usecols=None if whole else columns,
        ndmin=2,
        encoding="latin1",
    )
    if not whole:
        return found
    if found.size and found.shape[1] != width:
        raise ValueError
    return found.reshape(-1, len(columns))[:, list(columns)]


def _check_width(content: bytes, separator: str | None, columns: Sequence[int], width: int | None) -> None:
    """Refuse lines with other than `width` cells, which would be read shifted."""
    if width is None or width == len(columns):
        return  # NumPy has counted.
    letters = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(letters == 10)
    if separator is None:
        blank = letters <= 32
        marks = np.empty(len(letters), bool)
        marks[0], marks[1:] = not blank[0], blank[:-1] & ~blank[1:]
        expected = width
    else:
        marks, expected = letters == ord(separator), width - 1
    starts = np.concatenate([[0], ends + 1])
    starts = starts[starts < len(letters)]
    counts = np.add.reduceat(marks.view(np.uint8), starts, dtype=np.int64)
    for k in np.flatnonzero(counts != expected):
        end = starts[k + 1] if k + 1 < len(starts) else len(content)
        _split(content[starts[k] : end].decode("latin1"), int(k), separator, width)


def _split(line: str, k: int, separator: str | None, width: int | None) -> list[str]:
    """The cells of line k; none where it is empty or a comment."""
    line = without_comment(line)
    if not line.strip() or line.lstrip().startswith(("//", "%")):
        return []
    found = cells(line.strip("\n"), separator)
    if width is not None and len(found) == width + 1 and not found[-1].strip():
        found.pop()
    if width is not None and len(found) != width:
        raise FormatError(f"row {k + 1} holds {len(found)} columns, the rows before it {width}: {line.strip()[:60]!r}")
    return found


def _careful(
    content: bytes, separator: str | None, columns: Sequence[int], width: int | None, comma: bool
) -> np.ndarray:
    """Cell by cell, some seconds for a million points."""
    found, marks = [], set()
    for k, line in enumerate(content.decode("utf-8", "replace").split("\n")):
        row = _split(line, k, separator, width)
        if not row:
            continue
        if len(row) <= max(columns):
            raise FormatError(f"row {k + 1} does not hold the {len(columns)} numbers expected: {line.strip()[:60]!r}")
        wanted = [row[c] for c in columns]
        values = [number(cell, separator) for cell in wanted]
        if None in values:
            raise FormatError(_complaint(wanted[values.index(None)], k))
        found.append(values)
        if comma:
            marks.update(mark for cell in wanted for mark in ",." if mark in cell)
    if len(marks) > 1:
        raise FormatError(
            "some of its numbers have a decimal point and others a comma, so that commas may stand between thousands; "
            "write all with points"
        )
    return np.array(found, np.float64).reshape(-1, len(columns))


def _complaint(cell: str, k: int) -> str:
    if grouped(cell):
        return f"row {k + 1} holds {cell.strip()[:40]!r}, with separators between thousands; write numbers without them"
    return f"row {k + 1} holds {cell.strip()[:40]!r} where a number is expected"
