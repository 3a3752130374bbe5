"""What every data set of pairs offers."""

import abc
from typing import Any, NamedTuple

import numpy as np


class Sample(NamedTuple):
    """One pair: a scan `(N, 3)`, its ground truth `(M, 3)` or None where there is none, and what it shows."""

    partial: np.ndarray
    complete: np.ndarray | None
    category: str
    name: str


class PairDataset(abc.ABC):
    """Pairs (scan, ground truth) by split and index, in the canonical frame of the published data.

    Attributes:
        splits: Names of the splits.
        categories: Names of the categories, in the order in which tables print them.
    """

    splits: tuple[str, ...]
    categories: tuple[str, ...]

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

    def to_tf_data(self, split: str, batch_size: int, **options: Any) -> Any:
        """A `tf.data.Dataset` of batches (partial, complete); the options are those of `pipeline.to_tf_data`."""
        from keras_wcd.data.pipeline.batches import batches

        return batches.to_tf_data(self, split, batch_size, **options)
