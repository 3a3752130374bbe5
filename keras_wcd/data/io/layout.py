"""The one rule by which a text file is a table.

1. The separator is decided once a file, in this order: semicolons, bars, tabs, commas, blanks. It is the first that
   cuts the rows into equally many cells of which at least three are numbers. A file that no separator fits is refused.
2. Where semicolons, bars, tabs or blanks separate, a comma inside a number is its decimal mark: `1,5;2,5;3,5` is
   (1.5, 2.5, 3.5). Where commas separate, points are decimal marks, and commas only inside quotes: `1,5,2,5,3,5` has
   six columns, `"1,5","2,5","3,5"` three. A row such as `1,5, 2,5, 3,5` reads both ways and is refused. So are
   separators between thousands, and points and commas as decimal marks in one file.
3. Lines that begin with #, // or % are comments. The last line before the first row that names x, y and z names the
   columns, comment or not; it is cut by the file's separator and must name as many columns as the rows have. A line of
   names without x, y and z is refused. Without a line of names the first three columns are x, y and z.
4. Every row has as many cells as the others. A cell that is empty is NaN: it shifts nothing.
5. A whole number alone on the first line is the number of rows; fewer are a truncated file.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from keras_wcd.data.io.limits import FormatError
from keras_wcd.data.io.names import columns_by_name
from keras_wcd.data.io.numbers import cells, grouped, number, without_comment

SEPARATORS = {";": "semicolon", "|": "bar", "\t": "tab", ",": "comma", None: "blanks"}
_SAMPLE_BYTES = 2**16
_SAMPLE_ROWS = 200
_MAX_PREFACE = 100
_COMMENT = re.compile(r"^\s*(?:#+|//+|%+)\s*")
# Bounded: a line may be long, and nothing but blanks or brackets.
_BRACKETS = re.compile(r"\s{0,20}(?:\[[^\]]{0,60}\]|\([^)]{0,60}\))")
_IN_GROUPS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+\.\d*")
_ALL_IN_GROUPS = re.compile(rf"{_IN_GROUPS.pattern}(?:\s*,\s*{_IN_GROUPS.pattern})*")
_LEADING_GROUP, _LATER_GROUP = re.compile(r"[+-]?[1-9]\d{0,2}"), re.compile(r"0\d\d\.\d*")
_COMMA_AND_BLANKS = re.compile(r",\s+")


@dataclass(frozen=True)
class Layout:
    """What a text file was found to be.

    Attributes:
        separator: A key of `SEPARATORS`.
        width: Cells of a row.
        names: Of the columns, as they are written; None where no line names them.
        columns: Where x, y, z and whatever else is known stand among named columns; None without names.
        start: Where the first row begins, in bytes.
        count: Rows that the first line promises.
        sample: The cells of the first rows.
    """

    separator: str | None
    width: int
    names: tuple[str, ...] | None
    columns: dict[str, int] | None
    start: int
    count: int | None
    sample: list[list[str]]


def layout_of(content: bytes) -> Layout | None:
    """The layout of a text; None where it holds no row.

    Raises:
        FormatError: for a text that the rule does not fit, with what is wrong or both ways to read it.
    """
    preface, lines, start = _preface(content)
    if not lines:
        plain = [line for line in preface if not _COMMENT.match(line) and _number_alone(line) is None]
        if plain and not any(columns_or_none(names) for names in _cut(plain[-1], None)):
            _refuse_names(plain[0], None)
        return None
    separator, sample = _separator(lines)
    width = len(sample[0])
    names, columns = _names(preface, separator, width)
    if columns is None and _is_number(sample[0][0]) is False:
        raise FormatError(f"its first column is not numbers and no line names the columns: {lines[0].strip()[:60]!r}")
    plain = [line for line in preface if not _COMMENT.match(line)]
    count = _number_alone(plain[0]) if plain else None
    return Layout(separator, width, names, columns, start, count, sample)


def _lines(content: bytes) -> Iterator[tuple[str, int]]:
    """Lines of the beginning of a text that are not empty, and where they begin."""
    start = 0
    while start < len(content):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        line = content[start : min(end, start + _SAMPLE_BYTES)].decode("utf-8", "replace")
        if line.strip():
            yield line, start
        start = end + 1


def _preface(content: bytes) -> tuple[list[str], list[str], int]:
    """The lines before the first row, the first rows without comments, and where these begin."""
    preface, rows, first, plain = [], [], 0, 0
    for line, start in _lines(content):
        if rows:
            line = without_comment(line)
            if start - first > _SAMPLE_BYTES or len(rows) >= _SAMPLE_ROWS:
                break
            if line.strip() and not _COMMENT.match(line) and _number_alone(line) is None:
                rows.append(line)
        elif _COMMENT.match(line):
            preface.append(line)
        elif not re.search(r"\w", line):
            continue  # Cells without anything in them.
        elif not _looks_like_a_row(line):
            preface.append(line)
            plain += 1
            if plain > _MAX_PREFACE:
                _refuse_names(next(text for text in preface if not _COMMENT.match(text)), None)
        else:
            rows.append(without_comment(line))
            first = start
    return preface, rows, first


def _looks_like_a_row(line: str) -> bool:
    """Whether some separator makes three numbers of it, missing ones between others included."""
    line = without_comment(line)
    for separator in SEPARATORS:
        row = cells(line, separator)
        values = [number(cell, separator) for cell in row]
        if sum(value is not None for value in values) >= 3 and any(cell.strip() for cell in row):
            return columns_or_none(row) is None
    return bool(_looks_numeric(line))


def _looks_numeric(line: str) -> bool:
    """Whether it is made of digits and marks: a row that no separator fits, not a title and not a number alone."""
    return (
        any(map(str.isdigit, line)) and bool(re.fullmatch(r"[\s\d.,;|+\-'\"eE]+", line)) and _number_alone(line) is None
    )


def columns_or_none(names: list[str]) -> dict[str, int] | None:
    """`columns_by_name`, of names that may be anything."""
    try:
        return columns_by_name(names)
    except KeyError:
        return {}


def _separator(lines: list[str]) -> tuple[str | None, list[list[str]]]:
    fitting = {}
    for separator in SEPARATORS:
        sample = [cells(line, separator) for line in lines]
        if all(not row[-1].strip() for row in sample) and len(sample[0]) > 1:
            sample = [row[:-1] for row in sample]  # Every row ends with a separator.
        if separator is None and any(cell.strip(",;|") != cell for row in sample for cell in row):
            continue  # Something else separates.
        if len({len(row) for row in sample}) == 1 and _numeric_columns(sample, separator) >= 3:
            fitting[separator] = sample
    if not fitting:
        raise FormatError(_no_separator(lines))
    separator = next(iter(fitting))
    if separator == ",":
        _refuse_thousands(lines, fitting[","])
        _refuse_two_readings(lines, fitting)
    return separator, fitting[separator]


def _numeric_columns(sample: list[list[str]], separator: str | None) -> int:
    """Columns of numbers, NaN or nothing, but not of nothing alone."""
    columns = zip(*sample, strict=True)
    return sum(any(map(str.strip, column)) and all(map(_is_cell(separator), column)) for column in columns)


def _is_cell(separator: str | None) -> Callable[[str], bool]:
    return lambda cell: number(cell, separator) is not None


def _refuse_thousands(lines: list[str], sample: list[list[str]]) -> None:
    """Commas separate; do they stand between thousands as well?

    They do where every row is made of three and more such numbers with decimals, or `000.5` follows a short number.
    """
    counts = {len(_IN_GROUPS.findall(line.strip())) if _ALL_IN_GROUPS.fullmatch(line.strip()) else 0 for line in lines}
    pairs = ((row[k], row[k + 1]) for row in sample for k in range(len(row) - 1))
    odd = any(_LEADING_GROUP.fullmatch(a.strip()) and _LATER_GROUP.fullmatch(b.strip()) for a, b in pairs)
    if odd or len(counts) == 1 and min(counts) >= 3:
        first = [number(cell, ",") for cell in sample[0][:6]]
        raise FormatError(
            f"{lines[0].strip()[:60]!r} reads as {_shown(first)} and, with commas between thousands, as other numbers; "
            "write numbers without them"
        )


def _refuse_two_readings(lines: list[str], fitting: dict[str | None, list[list[str]]]) -> None:
    """Commas separate; do commas and blanks, with decimal commas between them, fit as well?"""
    other = fitting.get(None)
    if other is None:
        pairs = [_COMMA_AND_BLANKS.split(line.strip()) for line in lines]
        if len({len(row) for row in pairs}) == 1 and _numeric_columns(pairs, None) >= 3:
            other = pairs if any("," in cell for row in pairs for cell in row) else None
    if other is not None:
        first, second = ([number(c, s) for c in row[0][:6]] for row, s in ((fitting[","], ","), (other, None)))
        raise FormatError(
            f"{lines[0].strip()[:40]!r} reads as {_shown(first)} and, with decimal commas, as {_shown(second)}; "
            "separate the numbers by semicolons or write decimal points"
        )


def _shown(values: list[float | None]) -> str:
    return "(" + ", ".join("text" if value is None else f"{value:g}" for value in values) + ")"


def _no_separator(lines: list[str]) -> str:
    """Why no separator fits."""
    for line in lines[:50]:
        for separator in SEPARATORS:
            for cell in cells(line, separator):
                if grouped(cell):
                    return f"{cell.strip()[:40]!r} has separators between thousands; write numbers without them"
    widths = {separator: [len(cells(line, separator)) for line in lines] for separator in SEPARATORS}
    best = max(SEPARATORS, key=lambda s: (sum(w >= 3 for w in widths[s]), widths[s][0] >= 3))
    if widths[best][0] < 3:
        return f"its rows hold fewer than three numbers: {lines[0].strip()[:60]!r}"
    odd = next((k for k, w in enumerate(widths[best]) if w != widths[best][0]), None)
    if odd is None:
        return f"its rows hold fewer than three columns of numbers: {lines[0].strip()[:60]!r}"
    return (
        f"row {odd + 1} holds {widths[best][odd]} columns, the rows before it {widths[best][0]}, separated by "
        f"{SEPARATORS[best]}: {lines[odd].strip()[:60]!r}; one separator and one decimal mark are needed"
    )


def _names(
    preface: list[str], separator: str | None, width: int
) -> tuple[tuple[str, ...] | None, dict[str, int] | None]:
    """The names of the columns and what they mean, from the last line that names x, y and z."""
    for line in reversed(preface):
        comment = bool(_COMMENT.match(line))
        text = _COMMENT.sub("", line)
        ways = list(_cut(text, separator))
        fitting = [names for names in ways if len(names) == width and columns_or_none(names) is not None]
        if fitting:
            return tuple(fitting[0]), _needed(fitting[0])
        other, columns = next(((names, found) for names in ways if (found := columns_or_none(names))), ([], {}))
        if other and not (comment and list(columns.values())[:3] == [0, 1, 2]):
            if separator == "," and width == 2 * len(other):
                raise FormatError(
                    f"it names {len(other)} columns ({', '.join(other)[:80]}) and its rows read as {width} numbers or, "
                    f"with decimal commas, as {len(other)}; separate the numbers by semicolons or write decimal points"
                )
            raise FormatError(
                f"its line of names has {len(other)} columns ({', '.join(other)[:80]}), its rows have {width}, "
                f"separated by {SEPARATORS[separator]}"
            )
    plain = [line for line in preface if not _COMMENT.match(line) and _number_alone(line) is None]
    if plain:
        _refuse_names(plain[-1], separator)
    return None, None


def _needed(names: list[str]) -> dict[str, int] | None:
    try:
        return columns_by_name(names)
    except KeyError as error:
        raise FormatError(f"it names {error} twice: {', '.join(names)[:200]}") from None


def _cut(text: str, separator: str | None) -> Iterator[list[str]]:
    """The names in a line: by the file's separator first, then by any other, then without what ends in a colon."""
    for line in (text, text.rpartition(": ")[2]):
        for mark in (separator, *(s for s in SEPARATORS if s != separator)):
            bare = _BRACKETS.sub("", line) if mark is None else line
            names = [name.strip().strip("\"'").strip() for name in cells(bare.strip() if mark is None else bare, mark)]
            if len(names) > 1 and not names[-1] and mark is not None:
                yield names[:-1]
            yield names


def _refuse_names(line: str, separator: str | None) -> None:
    words = line.split()
    if words[0].lower() in ("ncols", "nrows", "xllcorner", "dsaa"):
        raise FormatError("it is a grid of heights, not a list of points; export it as x, y, z")
    ways = [names for names in _cut(line, separator) if len(names) > 1] or [words]
    names = ", ".join(repr(name) for name in ways[0])
    raise FormatError(f"its first line is not numbers and names no columns x, y, z; it names {names[:200]}")


def _is_number(cell: str) -> bool:
    return number(cell) is not None or grouped(cell)


def _number_alone(line: str) -> int | None:
    """The whole number that is all there is in a line."""
    word = line.strip().rstrip(",;")
    return int(word) if re.fullmatch(r"\d{1,18}", word) else None
