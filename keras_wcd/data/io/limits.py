"""Files that are whole or absent, and one kind of error for those that cannot be read."""

import codecs
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from keras_wcd.files import replacing


class FormatError(ValueError):
    """What is wrong inside a file; whoever knows the file's name puts it in front."""


MAX_FREE = 2**26
MAX_RATIO = 200
"""What compressed bytes may claim to stand for: 64 MiB in any case, beyond that 200 times their own number.
Clouds of floats shrink to a half or a third, those of whole numbers to a twentieth."""


def check_justified(size: int, stored: int, what: str) -> None:
    """Refuse `what` where its `size` in bytes is out of proportion to the bytes `stored` for it."""
    if size > MAX_FREE + MAX_RATIO * stored:
        raise FormatError(f"{what} claims {size} bytes out of {stored} stored ones; it is corrupt or a bomb")


def header_line(file: BinaryIO, limit: int = 4096) -> bytes:
    """The next line of a header, ended by a line feed, a carriage return or both; the mark of UTF-8 is left out.

    Raises:
        FormatError: for UTF-16.
    """
    start = file.tell()
    line = file.read(limit)
    if not start and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FormatError("it is UTF-16 text; save it as UTF-8")
    ends = [end for end in (line.find(b"\n"), line.find(b"\r")) if end >= 0]
    end = min(ends, default=len(line))
    file.seek(start + min(len(line), end + (2 if line[end : end + 2] == b"\r\n" else 1)))
    return line[:end] if start else line[:end].removeprefix(codecs.BOM_UTF8)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A binary file that appears at `path` when the block ends without an error, and not at all otherwise.

    Raises:
        ValueError: where the folder is missing or `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give the name of a file to write")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist; create it first")
    with replacing(path) as temporary, open(temporary, "xb") as file:
        yield file
