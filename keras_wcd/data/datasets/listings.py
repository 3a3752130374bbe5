"""The lists that come with published data sets: names read from a file, none of which leaves the data set's folder."""

from pathlib import Path
from typing import Any

from keras_wcd.files import json_of

MAX_BYTES = 2**27
"""Largest list that is read; the longest published one, PCN's, takes 2 MB."""


def read_names(path: Path) -> list[str]:
    """The lines of a text file, without empty ones.

    Raises:
        ValueError: naming the file, where it is missing, empty, too large or not text.
    """
    names = [line.strip() for line in _text(path).splitlines() if line.strip()]
    if not names:
        raise ValueError(f"{path}: the list is empty")
    return names


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: naming the file, where it is missing, too large or not JSON.
    """
    text = _text(path)
    try:
        return json_of(text)
    except ValueError as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from None


def component(name: Any, path: Path) -> str:
    """`name` if it can be the name of one file or folder, so that no list leads out of its data set.

    Raises:
        ValueError: naming the list at `path`, for a name with a slash, "..", a drive, or that is no text.
    """
    if not isinstance(name, str) or not name or name in (".", "..") or set(name) & set('/\\:\0"\n\r'):
        raise ValueError(f"{path}: {name!r} is not the name of one file; names may not lead elsewhere")
    return name


def split_name(line: str, separator: str, path: Path) -> tuple[str, str]:
    """The two names of a line `first<separator>second`, parted at the first separator."""
    first, found, second = line.partition(separator)
    if not found:
        raise ValueError(f"{path}: {line!r} is not of the form <synset>{separator}<id>")
    return component(first, path), component(second, path)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path}: a list of {path.stat().st_size} bytes; {MAX_BYTES} at most are read")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: the list cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file") from None
