"""What the names of columns mean: the many ways in which programs and surveyors call x, y, z, normals and colors."""

import re
from collections.abc import Sequence

from keras_wcd.data.io.cloud import COLORS, NORMALS, POINTS

_HEIGHTS = ("z", "height", "elevation", "elev", "altitude", "alt")
_FAMILIES = (
    POINTS,
    ("px", "py", "pz"),
    ("easting", "northing", (*_HEIGHTS, "up", "h")),
    ("east", "north", (*_HEIGHTS, "up", "h")),
    ("e", "n", (*_HEIGHTS, "up", "u", "h")),
    ("x", "y", (*_HEIGHTS, "h")),
)
"""Names that belong together, the first family that is whole is taken."""

LONGEST = 200
"""Letters of a name that are looked at: what is longer has no meaning, and the patterns are for short ones."""
_UNIT = r"(?:m|mm|cm|km|dm|ft|in|meters?|metres?|millimeters?|feet|utm|world|global)"
_OF = r"(?:points?|coords?|coordinates?|positions?|pos|locations?|xyz|vertex|vertices|cartesian)"
_RULES = (
    (re.compile(rf"{_OF}_?([xyz012])"), "{}"),
    (re.compile(rf"([xyz])_?(?:{_OF}|value|axis)"), "{}"),
    (re.compile(rf"(.+?)_{_UNIT}"), "{}"),
    (re.compile(r"(?:normals?|norm|n)_?([xyz012])"), "n{}"),
    (re.compile(r"(?:colou?rs?|rgba?|diffuse|scan)_?(red|green|blue|[rgb012])f?"), "color {}"),
    (re.compile(r"(red|green|blue|[rgb])f?"), "color {}"),
)
_DIGITS = dict(zip("012", POINTS, strict=True))
_TONES = {"0": "red", "1": "green", "2": "blue", "r": "red", "g": "green", "b": "blue"}


def meaning(name: str) -> str:
    """A column's name in the words of `cloud.KNOWN`, or in lower case where it has none; units are left out."""
    word = re.sub(r"[(\[{]\s*([012])\s*[)\]}]", r"_\1", name[:LONGEST].lower())
    word = re.sub(r"\[[^\]]*\]|\([^)]*\)|\{[^}]*\}|\s*/\s*" + _UNIT + r"\b", " ", word)
    word = re.sub(r"[\s.:\-\"'/#%]+", "_", word).strip("_")
    for rule, form in _RULES:
        match = rule.fullmatch(word)
        if not match:
            continue
        part = match[1]
        if form == "color {}":
            return _TONES.get(part, part)
        if form == "n{}":
            return f"n{_DIGITS.get(part, part)}"
        word = _DIGITS.get(part, part)
    return word


def columns_by_name(names: Sequence[str]) -> dict[str, int] | None:
    """Where x, y, z, the normals and the colors stand among named columns; None where x, y or z has no name.

    Raises:
        KeyError: with the name, where two columns have one that is needed.
    """
    words = [meaning(name) for name in names]
    found = next((family for family in map(lambda f: _whole(words, f), _FAMILIES) if family), None)
    if found is None:
        return None
    columns: dict[str, int] = dict(zip(POINTS, found, strict=True))
    for group in (NORMALS, COLORS):
        if set(group) <= set(words):
            columns |= {name: words.index(name) for name in group}
    if "red" not in columns:
        columns |= {name: words.index(name) for name in ("rgb", "rgba") if name in words}
    twice = next((name for name, k in columns.items() if words.count(words[k]) > 1), None)
    if twice:
        raise KeyError(twice)
    return columns


def _whole(words: list[str], family: tuple) -> list[int] | None:
    """The columns of a family of names; a name may be a choice, the first that is there is taken."""
    choices = [[part] if isinstance(part, str) else part for part in family]
    found = [next((words.index(name) for name in choice if name in words), None) for choice in choices]
    whole = [column for column in found if column is not None]
    return whole if len(whole) == len(found) else None
