"""What the readers of published data sets share: a root folder, lists of what it holds, clouds read from files."""

import abc
import os
from collections.abc import Iterator
from operator import index as as_integer
from pathlib import Path

import numpy as np

from keras_wcd.data.contract import PairDataset
from keras_wcd.data.io.formats import read_points
from keras_wcd.data.pipeline.sources import Clouds, file_key


class TreeDataset(PairDataset):
    """A data set in a folder of files.

    Attributes:
        layout: How the files lie under the root, in one line.
        folders: Folders under the root in which every file should belong to the data set.
        evaluation_split: The split whose figures are published.
        changing_splits: Splits of which `load` takes an `epoch` and draws other scans for each.
    """

    layout: str
    folders: tuple[str, ...]
    evaluation_split = "test"
    changing_splits: tuple[str, ...] = ()

    def __init__(self, root: str | os.PathLike, marker: str):
        self.root = Path(root)
        if not self.root.is_dir():
            raise ValueError(f"{self.root}: no such folder; {self.layout}")
        if not (self.root / marker).exists():
            inside = sorted(child.name for child in self.root.iterdir() if (child / marker).exists())
            hint = f"is {self.root / inside[0]} meant? " if inside else ""
            raise ValueError(f"{self.root}: there is no {marker} in it; {hint}{self.layout}")

    @abc.abstractmethod
    def files(self, split: str) -> Iterator[tuple[str, ...]]:
        """For every shape of a split the files it is made of, relative to the root, with forward slashes."""

    @abc.abstractmethod
    def clouds(self, split: str) -> tuple[Clouds | None, Clouds | None]:
        """The scans and the ground truth on the disk, as `sources` describes them."""

    def pick(self, split: str, index: int, epoch: int) -> tuple[int, int]:
        """The numbers, in `clouds`, of a pair's scan and ground truth."""
        return index, index

    def ignored(self) -> set[str]:
        """Files in `folders` that belong here although no split names them."""
        return set()

    def _position(self, split: str, index: int) -> int:
        """`index` as an integer that lies within a split."""
        index, size = as_integer(index), self.size(split)
        if not 0 <= index < size:
            raise IndexError(f"index must lie between 0 and {size - 1} in {split!r}, got {index}")
        return index

    def _listed(self, entries: dict[str, list], split: str) -> list:
        if split not in self.splits:
            raise ValueError(f"split must be one of {self.splits}, got {split!r}")
        return entries[split]

    def _clouds(self, files: list[str]) -> Clouds:
        return Clouds([file_key(self.root / file) for file in files], lambda number: self._points(files[number]))

    def _points(self, relative: str) -> np.ndarray:
        """A cloud of the tree `(N, 3)`, float32."""
        path = self.root / relative
        try:
            return np.ascontiguousarray(read_points(path), np.float32)
        except FileNotFoundError:
            raise ValueError(f"{path}: no such file; `keras-wcd data check {self.root}` names all missing") from None
