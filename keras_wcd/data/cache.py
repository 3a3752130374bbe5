"""Where made data is kept between runs, and how it is kept whole."""

import os
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from keras_wcd.data.io.limits import atomic_write

VARIABLE = "KERAS_WCD_CACHE"


def folder(given: str | os.PathLike | None = None) -> Path:
    r"""The folder `given`, else that of the environment's KERAS_WCD_CACHE, else the platform's for caches.

    That is `$XDG_CACHE_HOME/keras-wcd`, by default `~/.cache/keras-wcd`, on Linux; `~/Library/Caches/keras-wcd` on
    macOS; `%LOCALAPPDATA%\keras-wcd\Cache` on Windows.
    """
    if given is not None:
        return Path(given).expanduser()
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    return platformdirs.user_cache_path("keras-wcd", appauthor=False)


def cached(
    path: Path, shapes: dict[str, tuple[int, ...]], make: Callable[[], tuple[np.ndarray, ...]]
) -> tuple[np.ndarray, ...]:
    """The float32 arrays of the given names and `shapes` out of `path`; made and kept there where they are not.

    A file that is truncated, corrupt or of other shapes is made again. Where nothing can be kept, a warning says
    so and the arrays are returned all the same.
    """
    found = _load(path, shapes)
    if found is not None:
        return found
    arrays = make()
    named: dict[str, Any] = dict(zip(shapes, arrays, strict=True))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            np.savez(file, **named)
    except OSError as error:
        warnings.warn(f"cannot keep made data in {path}: {error}; set {VARIABLE} to a folder", stacklevel=2)
    return arrays


def _load(path: Path, shapes: dict[str, tuple[int, ...]]) -> tuple[np.ndarray, ...] | None:
    if not path.is_file() or path.stat().st_size < 4 * sum(np.prod(shape) for shape in shapes.values()):
        return None
    if not zipfile.is_zipfile(path):
        return None
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = tuple(archive[name] for name in shapes)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError):
        return None
    fits = all(a.shape == s and a.dtype == np.float32 for a, s in zip(arrays, shapes.values(), strict=True))
    return arrays if fits else None
