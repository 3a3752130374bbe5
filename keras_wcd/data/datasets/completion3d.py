"""Completion3D (Tchapmi et al., TopNet, CVPR 2019): one HDF5 file for every cloud of 2048 points."""

import os
from collections.abc import Iterator
from typing import Any

from keras_wcd.data.categories import PCN_EIGHT, SHAPENET
from keras_wcd.data.contract import Clouds, Sample
from keras_wcd.data.datasets.listings import read_names, split_name
from keras_wcd.data.datasets.on_disk import DatasetOnDisk

HIDDEN = "all"
"""The folder of test scans, which the benchmark gives without category or ground truth."""


class Completion3D(DatasetOnDisk):
    """Pairs of 2048 points each: 28974 to train on, 800 to validate on.

    The 1184 scans of "test" have no ground truth (`complete` is None) and no category (""): the benchmark's server
    judged them. What can be measured is "val".

    Args:
        root: The folder with `train.list` and `val.list`; `test.list` may be absent, and the split is then empty.

    Raises:
        ValueError: for a root that is not of this layout or a list that cannot be read.
    """

    splits = ("train", "val", "test")
    categories = tuple(SHAPENET[synset] for synset in PCN_EIGHT)
    evaluation_split = "val"
    layout = (
        "a Completion3D tree is ROOT/{train,val}.list, ROOT/{train,val}/partial/<synset>/<id>.h5 and "
        "ROOT/{train,val}/gt/<synset>/<id>.h5, and for the test scans ROOT/test.list and ROOT/test/partial/all/<id>.h5"
    )
    folders = tuple(f"{split}/{part}" for split in ("train", "val") for part in ("partial", "gt")) + ("test/partial",)

    def __init__(self, root: str | os.PathLike):
        super().__init__(root, "val.list")
        self._shapes = {split: self._read_list(split) for split in self.splits}

    def size(self, split: str) -> int:
        return len(self._of(self._shapes, split))

    def load(self, split: str, index: int) -> Sample:
        """One pair; its name is `<synset>/<id>`."""
        synset, id = self._of(self._shapes, split)[self._position(split, index)]
        files = next(iter(_files(split, [(synset, id)])))
        partial, *truth = (self._points(file) for file in files)
        return Sample(partial, truth[0] if truth else None, SHAPENET.get(synset, ""), f"{synset}/{id}")

    def clouds(self, split: str) -> tuple[Clouds, Clouds | None]:
        files = list(self.files(split))
        scans = self._clouds([pair[0] for pair in files])
        return scans, None if split == "test" else self._clouds([pair[1] for pair in files])

    def files(self, split: str) -> Iterator[tuple[str, ...]]:
        return _files(split, self._of(self._shapes, split))

    def listed(self, split: str) -> Iterator[str]:
        return (f"{synset}/{id}" for synset, id in self._of(self._shapes, split))

    def remedy(self, split: str) -> str:
        return f"list its scans in {self.root / split}.list"

    @classmethod
    def signs(cls, **options: Any) -> tuple[str, ...]:
        return ("train.list", "val.list", "train/gt", "val/gt")

    def _read_list(self, split: str) -> list[tuple[str, str]]:
        path = self.root / f"{split}.list"
        if split == "test" and not path.exists():
            return []
        known = (HIDDEN,) if split == "test" else PCN_EIGHT
        shapes = [split_name(line, "/", path) for line in read_names(path)]
        for synset, id in shapes:
            if synset not in known:
                raise ValueError(f"{path}: {synset}/{id} does not begin with one of {', '.join(known)}")
        return shapes


def _files(split: str, shapes: list[tuple[str, str]]) -> Iterator[tuple[str, ...]]:
    parts = ("partial",) if split == "test" else ("partial", "gt")
    return (tuple(f"{split}/{part}/{synset}/{id}.h5" for part in parts) for synset, id in shapes)
