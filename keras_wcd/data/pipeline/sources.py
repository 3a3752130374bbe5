"""A split as the pipeline reads it: clouds by number, and which of them make a pair.

A data set is read faster when it defines, besides the methods of `PairDataset`:

- `clouds(split) -> (Clouds | None, Clouds | None)`: the scans and the ground truth on the disk, each once; scans are
  None where they are made anew, ground truth is None where there is none.
- `pick(split, index, epoch) -> (int, int)`: the numbers, in `clouds`, of a pair's scan and ground truth.
- `changing_splits`: names of the splits of which `load` takes an `epoch` and gives other scans for each.
- `arrays(split)`: all scans `(size, N, 3)` and ground truth `(size, M, 3)` in memory, already farthest-point ordered.

Without `clouds` scans are read at every pass, and the ground truth is recognised by its content, which is read once
per process.
"""

import hashlib
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_wcd.data.contract import PairDataset


class Clouds(NamedTuple):
    """Clouds on the disk.

    Attributes:
        keys: For every cloud a text that changes when it does, as `file_key` makes it.
        read: The cloud `(N, 3)` of a number, read from its file; called from several threads.
    """

    keys: list[str]
    read: Callable[[int], np.ndarray]


def file_key(path: str | os.PathLike, *more: Any) -> str:
    """A text that changes with the file's place, size or time of change, and with `more`.

    Raises:
        ValueError: where there is no such file.
    """
    try:
        state = os.stat(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    return "|".join(map(str, (os.path.abspath(path), state.st_size, state.st_mtime_ns, *more)))


class Source:
    """One split: its scans by pair and epoch, its ground truth by pair; float32, checked."""

    def __init__(self, dataset: PairDataset, split: str):
        self.dataset, self.split, self.size = dataset, split, dataset.size(split)
        if not self.size:
            raise ValueError(f"the split {split!r} of {type(dataset).__name__} is empty")
        self.changing = split in getattr(dataset, "changing_splits", ())
        self.arrays = dataset.arrays(split) if hasattr(dataset, "arrays") else None
        self._listed = hasattr(dataset, "clouds")
        self._numbers = np.arange(self.size)

    def clouds(self) -> tuple[Clouds | None, Clouds | None]:
        """Scans that may be kept, and ground truth."""
        if self._listed:
            scans, truths = self.dataset.clouds(self.split)
            return self._sound(scans, "scan"), self._sound(truths, "ground truth")
        if self.dataset.load(self.split, 0).complete is None:
            return None, None
        read = self._sound(Clouds([], self._load_complete), "ground truth of pair").read
        first: dict[str, tuple[int, int]] = {}
        for index in range(self.size):
            # Pairs of one shape have one ground truth: it is kept once.
            digest = hashlib.sha256(read(index)).hexdigest()
            self._numbers[index] = first.setdefault(digest, (len(first), index))[0]
        pairs = [index for _, index in first.values()]
        return None, Clouds(list(first), lambda number: read(pairs[number]))

    def pick(self, index: int, epoch: int) -> tuple[int, int]:
        """Numbers of a pair's scan and ground truth."""
        return self.dataset.pick(self.split, index, epoch) if self._listed else (index, self._numbers[index])

    def scan(self, index: int, epoch: int) -> np.ndarray:
        """The scan of a pair, read or made."""
        options = {"epoch": epoch} if self.changing else {}
        return _checked(self.dataset.load(self.split, index, **options).partial, f"scan of pair {index}", self.split)

    def _load_complete(self, index: int) -> np.ndarray:
        return self.dataset.load(self.split, index).complete

    def _sound(self, clouds: Clouds | None, what: str) -> Clouds | None:
        if clouds is None:
            return None
        return clouds._replace(read=lambda number: _checked(clouds.read(number), f"{what} {number}", self.split))


def _checked(cloud: np.ndarray, what: str, split: str) -> np.ndarray:
    cloud = np.ascontiguousarray(cloud, np.float32)
    if cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud):
        raise ValueError(f"the {what} in {split!r} must have shape (N, 3) with N >= 1, got {cloud.shape}")
    if not np.isfinite(cloud).all():
        raise ValueError(f"the {what} in {split!r} holds NaN or infinity; drop those rows")
    return cloud
