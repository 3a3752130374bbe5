"""From a data set of pairs to batches that keep an accelerator busy, for TensorFlow and for every other backend.

The ground truth is put into farthest-point order once and kept on the disk; scans that stay the same are kept too.
What is random about a pair depends on the seed, the epoch and its index alone, so batches are the same whatever the
number of threads.
"""

import itertools
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from keras_wcd import frames
from keras_wcd.data import cache
from keras_wcd.data.augment import Change, generator
from keras_wcd.data.contract import PairDataset
from keras_wcd.data.pipeline.ordering import PREFIX, order_all
from keras_wcd.data.pipeline.sources import Source
from keras_wcd.data.pipeline.store import Store
from keras_wcd.data.resampling import resample
from keras_wcd.parallel import cores

_SCANS_IN_A_FILE = 1024


class Batches:
    """The batches of one split: every iteration is one pass, and the next pass is the next epoch.

    A batch is (partial `(B, num_points, 3)`, complete `(B, M, 3)`), float32; partial alone where the data set has no
    ground truth. Every prefix `complete[:, :k]` is the farthest point sampling of size k, k up to 2048 (or
    `truth_points`).

    In passes that are shuffled or augmented, scans are resampled anew each time: a random subset, or all points and
    random repetitions. Passes that are neither draw nothing: scans are resampled by `keras_wcd.frames.resample`, and
    pass after pass is the same, but for scans that the data set itself cuts anew in each epoch.

    Args:
        dataset: A `PairDataset`, which says what it may define to be read faster.
        split: One of its splits.
        batch_size: Pairs in a batch.
        num_points: Points of every scan.
        truth_points: Points M of the ground truth: its first ones, or repetitions where it has fewer. None keeps
            all, shorter ones filled up with NaN, which losses and metrics take for padding.
        augment: Changes of the pairs, an `Augment` or a function that is called as one.
        shuffle: Draw a new order at every pass; None does so for "train" only.
        seed: Of everything random.
        shard: (index, count): every count-th pair of the common order, for one of several worker processes. With
            `drop_remainder` all shards have the same number of batches; without, lengths differ by a pair at most.
        drop_remainder: Leave out a last batch that is not full, as static shapes need.
        epoch: Number of the first pass: a run that goes on at epoch 7 sees what an uninterrupted one sees there.
        cache_dir: Folder for what is made once; None takes KERAS_WCD_CACHE, or else the platform's for caches.
        workers: Threads; None takes one for each core.

    Raises:
        ValueError: for a size below 1, a shard that does not exist, a split that is unknown, empty or too small for
            one batch, or a cloud that cannot be read.
    """

    def __init__(
        self,
        dataset: PairDataset,
        split: str,
        batch_size: int,
        *,
        num_points: int = 2048,
        truth_points: int | None = None,
        augment: Change | None = None,
        shuffle: bool | None = None,
        seed: int = 0,
        shard: tuple[int, int] | None = None,
        drop_remainder: bool = False,
        epoch: int = 0,
        cache_dir: str | os.PathLike | None = None,
        workers: int | None = None,
    ):
        counts = {"batch_size": batch_size, "num_points": num_points, "truth_points": truth_points, "workers": workers}
        for name, count in counts.items():
            if count is not None and count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        if seed < 0 or epoch < 0:
            raise ValueError(f"seed and epoch must not be negative, got {seed} and {epoch}")
        self.shard = (0, 1) if shard is None else tuple(shard)
        if len(self.shard) != 2 or not 0 <= self.shard[0] < self.shard[1]:
            raise ValueError(f"shard must be (index, count) with 0 <= index < count, got {shard}")
        self.batch_size, self.num_points, self.augment, self.seed = batch_size, num_points, augment, seed
        self._repeat_to = truth_points
        self.drop_remainder, self.workers = drop_remainder, workers or cores()
        self.shuffle = split == "train" if shuffle is None else shuffle
        self._drawn = bool(self.shuffle or self.augment)
        self._epochs = itertools.count(epoch)
        self._source = Source(dataset, split)
        self._scans, self._truths, largest = _kept(self._source, truth_points, cache_dir, self.workers)
        self.truth_points = None if self._truths is None else truth_points or largest
        if not len(self):
            pairs = self._pairs()
            raise ValueError(
                f"no batch of {batch_size} in the {pairs} pairs of {split!r}; take smaller batches or shards"
            )

    def __len__(self) -> int:
        """Batches in a pass."""
        pairs = self._pairs()
        return pairs // self.batch_size if self.drop_remainder else -(-pairs // self.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        return self.of_epoch(next(self._epochs))

    def of_epoch(
        self, epoch: int, first: int = 0, *, part: tuple[int, int] = (0, 1)
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """The batches of a pass, from the batch `first` on.

        Args:
            epoch: The pass, counted from 0.
            first: The batch to begin at.
            part: (index, count): of every batch the index-th of `count` parts that differ by a pair at most, for one
                of several processes that train on the same batches; a part of a small batch may be empty.
        """
        order = self.order(epoch)
        whole = (order[i * self.batch_size : (i + 1) * self.batch_size] for i in range(first, len(self)))
        parts = (np.array_split(indices, part[1])[part[0]] for indices in whole)
        return _ahead(lambda indices: self.batch(indices, epoch), parts, self.workers)

    def size_of(self, batch: int) -> int:
        """Pairs in a batch of a pass, by its place."""
        return min(self.batch_size, self._pairs() - batch * self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """Indices of the pairs of a pass in this shard."""
        size = self._source.size
        order = np.random.default_rng([self.seed, epoch]).permutation(size) if self.shuffle else np.arange(size)
        return order[self.shard[0] :: self.shard[1]][: self._pairs()]

    def batch(self, indices: np.ndarray, epoch: int) -> tuple[np.ndarray, ...]:
        """The batch of some pairs in an epoch."""
        partial = np.empty((len(indices), self.num_points, 3), np.float32)
        complete = np.full((len(indices), self.truth_points or 0, 3), np.nan, np.float32)
        for row, index in enumerate(indices):
            partial[row], truth = self._pair(int(index), epoch)
            if truth is not None:
                complete[row, : len(truth)] = truth
        return (partial,) if self._truths is None else (partial, complete)

    def _pairs(self) -> int:
        index, count = self.shard
        size = self._source.size
        return size // count if self.drop_remainder else len(range(index, size, count))

    def _pair(self, index: int, epoch: int) -> tuple[np.ndarray, np.ndarray | None]:
        rng = generator(self.seed, epoch, index)
        number, truth_number = self._source.pick(index, epoch)
        scan = self._source.scan(index, epoch) if self._scans is None else self._scans[number]
        truth = None if self._truths is None else self._truths[truth_number][: self.truth_points]
        if self.augment:
            scan, truth = self.augment(scan, truth, rng)
        if truth is not None and self._repeat_to and len(truth) < self._repeat_to:
            truth = truth[np.arange(self._repeat_to) % len(truth)]
        if self._drawn:
            return resample(scan, self.num_points, seed=int(rng.integers(2**63))), truth
        return frames.resample(scan, self.num_points), truth


def to_tf_data(dataset: PairDataset, split: str, batch_size: int, **options: Any) -> Any:
    """A `tf.data.Dataset` of the batches of a split; its options and errors are those of `Batches`.

    Each iteration of it is a pass, and batches are made ahead of the accelerator. Its length is known.
    """
    import tensorflow as tf

    batches = Batches(dataset, split, batch_size, **options)
    rows = batch_size if batches.drop_remainder else None
    signature = (tf.TensorSpec((rows, batches.num_points, 3), tf.float32),)
    if batches.truth_points:
        signature += (tf.TensorSpec((rows, batches.truth_points, 3), tf.float32),)
    made = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    if len(signature) == 1:
        made = made.map(lambda partial: partial)
    return made.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(2)


def to_arrays(dataset: PairDataset, split: str, **options: Any) -> tuple[np.ndarray, ...]:
    """One pass over a split as whole arrays (partial, complete), in order unless `shuffle`; no framework is loaded.

    Options and errors are those of `Batches`.
    """
    made = list(Batches(dataset, split, 64, **{"shuffle": False, **options}))
    return tuple(np.concatenate(parts) for parts in zip(*made, strict=True))


def _kept(
    source: Source, points: int | None, cache_dir: str | os.PathLike | None, workers: int
) -> tuple[Any, Any, int]:
    """Scans and ground truth by number, None where they are not kept, and the points of the largest ground truth."""
    if source.arrays is not None:
        return *source.arrays, source.arrays[1].shape[1]
    folder = cache.folder(cache_dir) / "clouds"
    scans, truths = source.clouds()
    if truths is not None:
        prefix = max(points or 0, PREFIX)
        label = f"truth-{prefix}" + (f"-{points}" if points else "")
        truths = Store(folder, label, *truths, lambda clouds: order_all(clouds, prefix, points))
        truths.prepare(workers, desc=f"ordering {source.split}")
    if scans is not None:
        scans = Store(folder, "scan", *scans, rows=_SCANS_IN_A_FILE)
        scans.prepare(workers, desc=f"reading {source.split}")
    return scans, truths, truths.largest() if truths is not None and points is None else 0


def _ahead(make: Any, parts: Iterator[np.ndarray], workers: int) -> Iterator[tuple[np.ndarray, ...]]:
    """`map(make, parts)` by threads, in order, at most `workers` + 1 results ahead of their use."""
    with ThreadPoolExecutor(workers) as pool:
        waiting = deque(pool.submit(make, part) for part in itertools.islice(parts, workers + 1))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(make, part) for part in itertools.islice(parts, 1))
                yield result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
