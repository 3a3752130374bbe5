"""Files and folders that are whole or absent, whether they can be written at all, and JSON that can be read."""

import contextlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST_JSON = 2**27
"""Bytes of the largest JSON file that is read."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A name beside `path`, of its suffix; what the block writes there takes the place of `path` when it ends.

    That may be a file or a folder; a folder takes the place of a whole folder. Where the block raises, `path` is left
    as it was.
    """
    path = Path(path)
    temporary = _beside(path)
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            _exchange(temporary, path)
        else:
            os.replace(temporary, path)
    finally:
        _remove(temporary)


def writable(path: str | os.PathLike, *, folder: bool = False) -> Path:
    """`path`, where a file can be written there: to be asked before the work whose result it is.

    Args:
        path: Of a file, whose folder must exist.
        folder: Says that `path` is a folder for results, which is made where it is missing, with those above it.

    Raises:
        ValueError: where `path` is no name of a file ("-", a folder), or lies in no folder; with `folder`, where it or
            something above it is a file.
        PermissionError: where the folder takes no new file.
    """
    path = Path(path)
    if str(path) == "-":
        raise ValueError("'-' is no name of a file or folder: results are not written to standard output; name one")
    if folder:
        inside = next(above for above in (path, *path.absolute().parents) if above.exists())
        if not inside.is_dir():
            raise ValueError(f"{path}: {'is' if inside == path else f'{inside} is'} a file; name a folder")
    else:
        inside = path.parent
        if path.is_dir():
            raise ValueError(f"{path}: is a folder; give the name of a file to write")
        if not inside.is_dir():
            raise ValueError(f"{path}: lies in a folder that does not exist: {str(inside)!r}; create it first")
    try:
        # Only a trial counts: permissions say nothing about file systems that are mounted read-only.
        tempfile.TemporaryFile(dir=inside).close()
    except OSError as error:
        raise PermissionError(f"{path}: the folder {inside} takes no new file ({error.strerror})") from None
    return path


def read_json(path: str | os.PathLike) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: naming the file, where it cannot be read, is too large, or is not JSON.
    """
    try:
        size = os.stat(path).st_size
        if size > MOST_JSON:
            raise ValueError(f"{size} bytes, {MOST_JSON} at most are read")
        return json_of(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a JSON file ({str(error)[:200]})") from None


def json_of(text: str | bytes) -> Any:
    """What a JSON text holds.

    Raises:
        ValueError: where it is not JSON, or is nested deeper than can be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")


def _exchange(new: Path, path: Path) -> None:
    """Put the folder `new` in the place of the folder `path`: one that is not empty cannot be renamed over."""
    old = _beside(path)
    os.rename(path, old)
    try:
        os.rename(new, path)
    except BaseException:
        os.rename(old, path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
