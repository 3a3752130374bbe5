"""PCN (Yuan et al., 3DV 2018) in the layout in which GRNet, PoinTr, SnowflakeNet and SeedFormer read it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_wcd.data.categories import PCN_EIGHT
from keras_wcd.data.contract import Clouds, Sample
from keras_wcd.data.datasets.listings import component, read_json
from keras_wcd.data.datasets.on_disk import DatasetOnDisk
from keras_wcd.data.datasets.scan_files import ScanFiles

INDEX = "PCN.json"
PUBLISHED_VIEWS = {"train": 8, "val": 1, "test": 1}
VIEWS = ("random", "first", "all")


class Shape(NamedTuple):
    """One shape of the index."""

    synset: str
    category: str
    id: str


class PCN(DatasetOnDisk):
    """Pairs of the PCN data set, or of the user's own data in its layout.

    Ground truth has 16384 points, scans 750 to 1700. Every shape of the split "train" was scanned from eight sides,
    those of "val" and "test" from one. The user's own may have any number of scans, each shape another; they are
    numbered files, `00.pcd`, `01.pcd` and so on, with or without leading zeros, from 0 or from 1.

    Args:
        root: The folder with `PCN.json`.
        views: Of the split "train": "random" pairs every shape with one of its scans, drawn anew for each epoch,
            which is how the networks of the paper were trained; "first" takes the first scan; "all" makes a pair of
            every scan. "val" and "test" always hold every scan.
        seed: Of the drawing.

    Raises:
        ValueError: for a root that is not of this layout, an index that cannot be read, another `views`.
    """

    splits = ("train", "val", "test")
    layout = (
        "a PCN tree is ROOT/PCN.json, ROOT/{train,val,test}/complete/<synset>/<id>.pcd and "
        "ROOT/{train,val,test}/partial/<synset>/<id>/00.pcd (to 07.pcd in train)"
    )
    folders = tuple(f"{split}/{part}" for split in ("train", "val", "test") for part in ("partial", "complete"))

    def __init__(self, root: str | os.PathLike, *, views: str = "random", seed: int = 0):
        super().__init__(root, INDEX)
        if views not in VIEWS:
            raise ValueError(f"views must be one of {VIEWS}, got {views!r}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        self.views, self.seed = views, seed
        self.categories, self._shapes = _read_index(self.root / INDEX)
        self._scans = {
            split: ScanFiles(self.root, [_folder(split, shape) for shape in shapes], PUBLISHED_VIEWS[split])
            for split, shapes in self._shapes.items()
        }
        self.changing_splits = ("train",) if views == "random" else ()

    def size(self, split: str) -> int:
        shapes = self._of(self._shapes, split)
        return len(shapes) if self._single(split) else self._scans[split].before(len(shapes))

    def load(self, split: str, index: int, *, epoch: int = 0) -> Sample:
        """One pair; its name is `<synset>/<id>/<scan>`.

        Args:
            split: "train", "val" or "test".
            index: 0 to size - 1; scans of the same shape follow each other.
            epoch: Which drawing of scans, in the split "train" with `views="random"`.
        """
        number, view = self._find(split, index, epoch)
        shape, scan = self._shapes[split][number], self._scans[split][number][view]
        partial, complete = self._points(scan), self._points(_complete(split, shape))
        return Sample(partial, complete, shape.category, f"{shape.synset}/{shape.id}/{Path(scan).stem}")

    def clouds(self, split: str) -> tuple[Clouds, Clouds]:
        shapes, scans = self._of(self._shapes, split), self._scans[split]
        used = [scan for number in range(len(shapes)) for scan in scans[number][: self._used(split)]]
        return self._clouds(used), self._clouds([_complete(split, shape) for shape in shapes])

    def pick(self, split: str, index: int, epoch: int) -> tuple[int, int]:
        number, view = self._find(split, index, epoch)
        return (number if self._used(split) else self._scans[split].before(number)) + view, number

    def files(self, split: str) -> Iterator[tuple[str, ...]]:
        for number, shape in enumerate(self._of(self._shapes, split)):
            yield _complete(split, shape), *self._scans[split].expected(number)

    def listed(self, split: str) -> Iterator[str]:
        return (f"{shape.synset}/{shape.id}" for shape in self._of(self._shapes, split))

    def hints(self, split: str) -> Iterator[str]:
        self._known(split)
        return self._scans[split].hints()

    def remedy(self, split: str) -> str:
        return f"list ids under {split!r} in {self.root / INDEX}, such as every tenth of another split"

    @classmethod
    def signs(cls, **options: Any) -> tuple[str, ...]:
        return INDEX, "train/complete", "test/complete"

    def _find(self, split: str, index: int, epoch: int) -> tuple[int, int]:
        """The number of a pair's shape, and of its scan."""
        index = self._position(split, index)
        if not self._single(split):
            return self._scans[split].find(index)
        if split not in self.changing_splits:
            return index, 0
        return index, int(np.random.default_rng((self.seed, epoch, index)).integers(len(self._scans[split][index])))

    def _single(self, split: str) -> bool:
        """Whether a shape makes one pair, and not one with each of its scans."""
        return split == "train" and self.views != "all"

    def _used(self, split: str) -> int | None:
        """Scans of a shape that some epoch sees; None for all."""
        return 1 if split == "train" and self.views == "first" else None


def _folder(split: str, shape: Shape) -> str:
    return f"{split}/partial/{shape.synset}/{shape.id}"


def _complete(split: str, shape: Shape) -> str:
    return f"{split}/complete/{shape.synset}/{shape.id}.pcd"


def _read_index(path: Path) -> tuple[tuple[str, ...], dict[str, list[Shape]]]:
    """Names of the categories in the order of the tables, and the shapes of every split in the same order."""
    rows = read_json(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or not rows:
        raise ValueError(f"{path}: must be a list with an entry for every category")
    categories, shapes = {}, {split: [] for split in PCN.splits}
    for row in sorted(rows, key=_rank):
        synset = component(row.get("taxonomy_id"), path)
        name = row.get("taxonomy_name", synset)
        if not isinstance(name, str) or synset in categories or name in categories.values():
            raise ValueError(f"{path}: the category {synset!r} ({name!r}) stands in it twice or has no name")
        categories[synset] = name
        for split in PCN.splits:
            ids = row.get(split, [])
            if not isinstance(ids, list):
                raise ValueError(f"{path}: {split!r} of {synset!r} must be a list of ids, got {type(ids).__name__}")
            shapes[split] += [Shape(synset, name, component(id, path)) for id in ids]
    return tuple(categories.values()), shapes


def _rank(row: dict) -> int:
    """Published categories in the order of the tables, others after them as they stand."""
    synset = row.get("taxonomy_id")
    return PCN_EIGHT.index(synset) if synset in PCN_EIGHT else len(PCN_EIGHT)
