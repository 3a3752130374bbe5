"""Small data sets in memory and in files, and what their batches are compared by."""

import numpy as np

from keras_wcd.data.contract import Clouds, Sample, file_key
from keras_wcd.data.datasets.base import Dataset


class Memory(Dataset):
    """A data set that knows `load` and nothing else."""

    splits, categories = ("train", "val"), ("thing",)

    def __init__(self, size=11, points=90, seed=0):
        rng = np.random.default_rng(seed)
        sizes = np.broadcast_to(points, size)
        self.complete = [rng.normal(size=(n, 3)).astype(np.float32) for n in sizes]
        self.partial = [cloud[: 20 + i] for i, cloud in enumerate(self.complete)]
        self.loads = 0

    def size(self, split):
        return len(self.complete)

    def load(self, split, index):
        self.loads += 1
        return Sample(self.partial[index], self.complete[index], "thing", str(index))


class Files(Memory):
    """Two scans of every shape, each cloud in a file."""

    def __init__(self, root, **arguments):
        super().__init__(**arguments)
        self.root, self.reads = root, 0
        for kind, clouds in (("partial", self.partial), ("complete", self.complete)):
            for i, cloud in enumerate(clouds):
                np.save(root / f"{kind}{i}.npy", cloud)

    def size(self, split):
        return 2 * len(self.complete)

    def load(self, split, index):
        scan = self._read("partial", index // 2) * (1 + index % 2)
        return Sample(scan, self._read("complete", index // 2), "thing", str(index))

    def clouds(self, split):
        return self._clouds("partial"), self._clouds("complete")

    def pick(self, split, index, epoch):
        return (index // 2 + epoch) % len(self.complete), index // 2

    def _clouds(self, kind):
        paths = [self.root / f"{kind}{i}.npy" for i in range(len(self.complete))]
        return Clouds([file_key(path) for path in paths], lambda number: self._read(kind, number))

    def _read(self, kind, number):
        self.reads += 1
        return np.load(self.root / f"{kind}{number}.npy")


class Changing(Memory):
    """Scans cut anew in every epoch."""

    changing_splits = ("train",)

    def load(self, split, index, *, epoch=0):
        start = epoch if split == "train" else 0
        return Sample(self.complete[index][start : start + 30], self.complete[index], "thing", str(index))


class Untrue(Memory):
    """Scans without a ground truth."""

    def load(self, split, index):
        return super().load(split, index)._replace(complete=None)


def rows(cloud):
    return {tuple(point) for point in cloud.tolist()}


def everything(batches):
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def same(a, b):
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))
