"""What every data set of pairs offers: what it must define, and everything that it may define, with its default."""

import abc
import os
from collections.abc import Callable, Mapping
from operator import index as as_integer
from typing import Any, NamedTuple

import numpy as np

from keras_wcd.names import suggestion

BOX = "box"
"""PCN's frame: the bounding box of the whole shape is centered and has diagonal 1."""
SPHERE = "sphere"
"""ShapeNet-55's frame: the mean of the whole shape is the origin, its farthest point has distance 1."""
CAR = "car"
"""KITTI's frame: the box of a car is centered and has length 1. The published test feeds it to networks of PCN's."""


class Sample(NamedTuple):
    """One pair: a scan `(N, 3)`, its ground truth `(M, 3)` or None where there is none, and what it shows."""

    partial: np.ndarray
    complete: np.ndarray | None
    category: str
    name: str


class Clouds(NamedTuple):
    """Clouds by number, to be read once and kept.

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


class PairDataset(abc.ABC):
    """Pairs (scan, ground truth) by split and index, y up and front +x.

    A data set defines `splits`, `categories`, `size` and `load`; it derives from `datasets.base.Dataset`, which adds
    `to_tf_data`. All else has a default here, and whoever reads data sets asks for nothing else.

    Attributes:
        splits: Names of the splits.
        categories: Names of the categories, in the order in which tables print them.
        subset: Which part of a data set this is, for its title.
        frame: Place and size of the shapes: `BOX`, `SPHERE`, `CAR`, or a name of the data set's own.
        evaluation_split: The split whose figures are published.
        changing_splits: Splits of which `load` takes an `epoch` as well and gives another scan in each.
        needs_root: Whether it lies in a folder of files, which is the first argument of its class.
    """

    splits: tuple[str, ...]
    categories: tuple[str, ...]
    subset: str = ""
    frame: str = BOX
    evaluation_split: str = "test"
    changing_splits: tuple[str, ...] = ()
    needs_root: bool = False

    @abc.abstractmethod
    def size(self, split: str) -> int:
        """Pairs in a split."""

    @abc.abstractmethod
    def load(self, split: str, index: int) -> Sample:
        """One pair as it is on the disk.

        Raises:
            ValueError: for an unknown split, or a file that cannot be read.
            IndexError: for an index outside 0 to size - 1.
        """

    # What makes reading faster.

    def clouds(self, split: str) -> tuple[Clouds | None, Clouds | None] | None:
        """The scans and the ground truth of a split, each once; `pick` says which of them make a pair.

        Scans are None where they are made anew in each epoch, ground truth is None where there is none. Without a
        list (None) scans are read at every pass, and equal ground truth is found by its content.
        """
        return None

    def pick(self, split: str, index: int, epoch: int) -> tuple[int, int]:
        """The numbers, in `clouds`, of a pair's scan and ground truth."""
        return index, index

    def arrays(self, split: str) -> tuple[np.ndarray, np.ndarray] | None:
        """All scans `(size, N, 3)` and ground truth `(size, M, 3)`, farthest-point ordered, if they lie in memory."""
        return None

    # What evaluation asks for.

    def at(self, difficulty: str) -> "PairDataset | None":
        """The same data set with the test scans of a difficulty; None where scans are not cut at one."""
        return None

    def tracklets(self) -> Mapping[str, tuple[int, ...]]:
        """For every car that is seen more than once the indices of its scans, in the order of their sweeps."""
        return {}

    def sweep(self, index: int) -> int | None:
        """The number of the LiDAR sweep that a scan is from; None where all sweeps of a car follow each other."""
        return None

    def labels(self, split: str) -> np.ndarray:
        """The number of every pair's category in `categories`, `(size,)` int32."""
        samples = (self.load(split, index) for index in range(self.size(split)))
        return np.fromiter((self.categories.index(sample.category) for sample in samples), np.int32)

    # What errors and tables say.

    @property
    def title(self) -> str:
        """What tables call it."""
        return " ".join(filter(None, (type(self).__name__, self.subset)))

    def remedy(self, split: str) -> str:
        """How an empty split is filled."""
        return f"take another of {self.splits}"

    @classmethod
    def signs(cls, **options: Any) -> tuple[str, ...]:
        """Files or folders under a root that give the data set away; `options` are arguments of its class."""
        return ()

    # What the data sets themselves use.

    def _known(self, split: str) -> str:
        """`split`, if there is one of that name."""
        if split not in self.splits:
            near = suggestion(split, self.splits).partition("known are")[0]
            raise ValueError(f"split must be one of {self.splits}, got {split!r}{'; ' * bool(near)}{near.strip()}")
        return split

    def _position(self, split: str, index: int) -> int:
        """`index` as an integer that lies within a split."""
        index, size = as_integer(index), self.size(split)
        if not 0 <= index < size:
            raise IndexError(f"index must lie between 0 and {size - 1} in {split!r}, got {index}")
        return index
