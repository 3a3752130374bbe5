"""MVP (Pan et al., VRCNet, CVPR 2021): 26 views of every shape, in two HDF5 files."""

import os
from collections.abc import Iterator
from typing import Any

from keras_wcd.data.categories import MVP_SIXTEEN, SHAPENET
from keras_wcd.data.contract import Clouds, Sample, file_key
from keras_wcd.data.datasets.on_disk import DatasetOnDisk
from keras_wcd.data.io import hdf5_rows

TRAIN, TEST = "MVP_Train_CP.h5", "MVP_Test_CP.h5"
VIEWS = 26


class MVP(DatasetOnDisk):
    """Pairs of 2048 points each, 26 scans from fixed cameras for every shape, read from the disk a row at a time.

    The released files have 62400 pairs to train on and 41600 to test on. The protocol has no other validation data:
    "val" is "test".

    Args:
        root: The folder with the two files.

    Raises:
        ValueError: for a root that is not of this layout. A damaged file is noticed when it is first read.
    """

    splits = ("train", "val", "test")
    categories = tuple(SHAPENET[synset] for synset in MVP_SIXTEEN)
    layout = (
        f"an MVP tree is ROOT/{TRAIN} and ROOT/{TEST}, each with incomplete_pcds (26 S, 2048, 3), "
        "complete_pcds (S, 2048, 3) and labels (26 S,)"
    )
    folders = ()

    def __init__(self, root: str | os.PathLike):
        super().__init__(root, TEST)
        shapes = {"incomplete_pcds": (None, None, 3), "complete_pcds": (None, None, 3), "labels": (None,)}
        train, test = (hdf5_rows.Rows(self.root / name, shapes) for name in (TRAIN, TEST))
        self._files = {"train": train, "val": test, "test": test}

    def size(self, split: str) -> int:
        arrays = self._of(self._files, split)
        pairs, shapes, labels = (len(arrays[key]) for key in ("incomplete_pcds", "complete_pcds", "labels"))
        if pairs != VIEWS * shapes or labels not in (pairs, shapes):
            raise ValueError(
                f"{arrays.path}: {pairs} scans, {shapes} shapes and {labels} labels do not belong together; "
                f"every shape has {VIEWS} scans"
            )
        return pairs

    def load(self, split: str, index: int) -> Sample:
        """One pair; its name is `<split>/<shape>/<view>`. Scans of the same shape follow each other."""
        index = self._position(split, index)
        shape, view = divmod(index, VIEWS)
        arrays = self._files[split]
        partial = hdf5_rows.cloud(arrays["incomplete_pcds"], arrays.path, index)
        complete = hdf5_rows.cloud(arrays["complete_pcds"], arrays.path, shape)
        category = self.categories[self._label(split, index)]
        return Sample(partial, complete, category, f"{split}/{shape:04d}/{view:02d}")

    def clouds(self, split: str) -> tuple[Clouds, Clouds]:
        arrays = self._of(self._files, split)
        key = file_key(arrays.path)

        def rows(name: str) -> Clouds:
            keys = [f"{key}|{name}|{row}" for row in range(len(arrays[name]))]
            return Clouds(keys, lambda row: hdf5_rows.cloud(arrays[name], arrays.path, row))

        return rows("incomplete_pcds"), rows("complete_pcds")

    def pick(self, split: str, index: int, epoch: int) -> tuple[int, int]:
        return index, index // VIEWS

    def files(self, split: str) -> Iterator[tuple[str, ...]]:
        path = self._of(self._files, split).path
        for _ in range(self.size(split) // VIEWS if path.is_file() else 1):
            yield (path.name,)

    @classmethod
    def signs(cls, **options: Any) -> tuple[str, ...]:
        return TRAIN, TEST

    def _label(self, split: str, index: int) -> int:
        labels = self._files[split]["labels"]
        label = int(labels[index if len(labels) == self.size(split) else index // VIEWS])
        if not 0 <= label < len(self.categories):
            raise ValueError(f"{self._files[split].path}: label {label} of pair {index} is none of the 16 categories")
        return label
