"""Where an export may be written, and how it appears there only when it is complete."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def file_target(path: str | os.PathLike) -> Path:
    """`path` for a file to write; ValueError where its folder is missing or it is a folder itself."""
    path = _with_parent(path)
    if path.is_dir():
        raise ValueError(f"path {str(path)!r} is a folder; give the name of a file in it")
    return path


def folder_target(path: str | os.PathLike) -> Path:
    """`path` for a SavedModel folder to write; ValueError where that would overwrite anything else."""
    path = _with_parent(path)
    if path.exists() and not is_saved_model(path):
        raise ValueError(f"path {str(path)!r} exists and is not a SavedModel folder; choose another or remove it")
    return path


def is_saved_model(path: str | os.PathLike) -> bool:
    """True for a folder that holds a SavedModel."""
    return (Path(path) / "saved_model.pb").is_file()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name to write to, in a temporary folder beside `path`, which takes the place of `path` on success."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        new = Path(folder) / "new"
        yield new
        if path.is_dir():
            # A folder cannot be renamed over one that is not empty.
            os.rename(path, Path(folder) / "old")
        os.replace(new, path)


def _with_parent(path: str | os.PathLike) -> Path:
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"path {str(path)!r} lies in a folder that does not exist: {str(path.parent)!r}; create it")
    return path
