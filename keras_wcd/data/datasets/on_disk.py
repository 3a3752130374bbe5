"""What the readers of published data sets share: a root folder, lists of what it holds, clouds read from files."""

import abc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from keras_wcd.data.contract import Clouds, file_key
from keras_wcd.data.datasets.base import Dataset
from keras_wcd.data.io.formats import read_points

T = TypeVar("T")


class DatasetOnDisk(Dataset):
    """A data set in a folder of files.

    Attributes:
        layout: How the files lie under the root, in one line.
        folders: Folders under the root in which every file should belong to the data set.
    """

    layout: str
    folders: tuple[str, ...]
    needs_root = True

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
        """The scans and the ground truth on the disk."""

    def listed(self, split: str) -> Iterator[str]:
        """The names that the lists of a split hold, as often as they hold them; none where there are no lists."""
        return iter(())

    def ignored(self) -> set[str]:
        """Files in `folders` that belong here although no split names them."""
        return set()

    def hints(self, split: str) -> Iterator[str]:
        """What is odd about the files of a split, and how to mend it, a line each."""
        return iter(())

    def _of(self, entries: dict[str, T], split: str) -> T:
        return entries[self._known(split)]

    def _clouds(self, files: list[str]) -> Clouds:
        return Clouds([file_key(self.root / file) for file in files], lambda number: self._points(files[number]))

    def _points(self, relative: str) -> np.ndarray:
        """A cloud of the data set `(N, 3)`, float32."""
        path = self.root / relative
        try:
            return np.ascontiguousarray(read_points(path), np.float32)
        except FileNotFoundError:
            raise ValueError(f"{path}: no such file; `keras-wcd data check {self.root}` names all missing") from None
