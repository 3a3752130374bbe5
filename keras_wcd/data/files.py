"""Files that are whole or absent, and one kind of error for those that cannot be read."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from keras_wcd.files import replacing


class FormatError(ValueError):
    """What is wrong inside a file; whoever knows the file's name puts it in front."""


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
