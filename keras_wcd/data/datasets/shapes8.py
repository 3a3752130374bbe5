"""Shapes8: a procedural data set of the eight PCN categories, made on the spot."""

import os

import numpy as np

from keras_wcd import parallel
from keras_wcd.data import cache
from keras_wcd.data.contract import Sample
from keras_wcd.data.datasets.base import Dataset
from keras_wcd.data.procedural import generator

SYNSETS = {
    "airplane": "02691156",
    "cabinet": "02933112",
    "car": "02958343",
    "chair": "03001627",
    "lamp": "03636649",
    "sofa": "04256520",
    "table": "04379243",
    "watercraft": "04530566",
}
"""The WordNet synsets under which PCN files these categories."""
_SHARE = 16
"""Fewer shapes than this for each process are not worth starting it."""


class Shapes8(Dataset):
    """Random shapes of eight categories, each of many sub-types, with virtual depth scans; nothing is downloaded.

    Shapes stand in PCN's frame: y up, front +x, centered, bounding-box diagonal 1. The ground truth is uniform over
    the area of all surfaces, hidden ones too, and farthest-point ordered: `complete[:k]` is a farthest point
    sampling for every k up to 2048. A scan is what a depth camera sees from a random side, resampled to 2048.

    A split is made at its first use, on all cores, and kept in the cache folder. Item i of a split depends on
    `seed`, the split and i alone: a smaller split is the beginning of a larger one.

    Args:
        train: Shapes in the split "train".
        val: Shapes in the split "val".
        test: Shapes in the split "test".
        num_points: Points M of the ground truth.
        views: Scans of each shape; a split has `views` pairs for each of its shapes.
        seed: Of everything random.
        cache_dir: Folder to keep made splits in; None takes the environment's KERAS_WCD_CACHE, or else the
            platform's folder for caches.
        workers: Processes that make shapes; None takes one for each core.
        cluster: Address of a Dask scheduler whose workers make the shapes instead, as in `keras_wcd.parallel.run`.

    Raises:
        ValueError: for a count below 1.
    """

    splits = ("train", "val", "test")
    categories = tuple(generator.SUBTYPES)
    synsets = SYNSETS

    def __init__(
        self,
        train: int = 1600,
        val: int = 160,
        test: int = 160,
        *,
        num_points: int = 2048,
        views: int = 1,
        seed: int = 0,
        cache_dir: str | os.PathLike | None = None,
        workers: int | None = None,
        cluster: str | None = None,
    ):
        counts = {"train": train, "val": val, "test": test, "num_points": num_points, "views": views}
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        self.counts = {"train": train, "val": val, "test": test}
        self.num_points, self.views, self.seed = num_points, views, seed
        self.cache_dir, self.workers, self.cluster = cache.folder(cache_dir), workers, cluster
        self._made = {}

    def size(self, split: str) -> int:
        """Pairs in a split: its shapes times `views`."""
        return self._count(split) * self.views

    def load(self, split: str, index: int) -> Sample:
        """One pair; pairs of the same shape follow each other.

        Raises:
            ValueError: for an unknown split.
            IndexError: for an index outside 0 to size - 1.
        """
        index = self._position(split, index)
        partial, complete = self._make(split)
        shape, view = divmod(index, self.views)
        category, kind = generator.plan(shape)
        return Sample(partial[shape, view], complete[shape], category, f"{category}/{kind}_{shape:05d}/{view:02d}")

    def arrays(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """All scans `(size, 2048, 3)` and their ground truth `(size, M, 3)`, read-only float32."""
        partial, complete = self._make(split)
        complete = complete if self.views == 1 else np.repeat(complete, self.views, axis=0)
        return partial.reshape(-1, *partial.shape[2:]), complete

    def labels(self, split: str) -> np.ndarray:
        """The number of every pair's category in `categories`, `(size,)` int32."""
        shapes = np.repeat(np.arange(self._count(split)), self.views)
        return (shapes % len(self.categories)).astype(np.int32)

    def _count(self, split: str) -> int:
        return self.counts[self._known(split)]

    def _make(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """The arrays of a split: from memory, from the cache, or new."""
        count = self._count(split)
        if split not in self._made:
            key = f"v{generator.VERSION}-s{self.seed}-{split}-n{count}-m{self.num_points}-k{self.views}"
            shapes = {
                "partial": (count, self.views, generator.PARTIAL_POINTS, 3),
                "complete": (count, self.num_points, 3),
            }
            arrays = cache.cached(self.cache_dir / f"shapes8-{key}.npz", shapes, lambda: self._new(split, count))
            for array in arrays:
                array.flags.writeable = False
            self._made[split] = arrays
        return self._made[split]

    def _new(self, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        partial = np.empty((count, self.views, generator.PARTIAL_POINTS, 3), np.float32)
        complete = np.empty((count, self.num_points, 3), np.float32)
        item = {"seed": self.seed, "split": split, "num_points": self.num_points, "views": self.views}
        made = parallel.run(
            generator.item,
            [{**item, "index": index} for index in range(count)],
            workers=min(self.workers or parallel.cores(), max(1, count // _SHARE)),
            cluster=self.cluster,
            desc=f"Shapes8 {split}",
            unit="shape",
        )
        for index, arrays, error in made:
            if error:
                raise RuntimeError(f"shape {index} of {split!r} could not be made: {error}")
            partial[index], complete[index] = arrays
        return partial, complete
