"""ShapeNet-55, ShapeNet-34 and its 21 unseen categories (Yu et al., PoinTr, ICCV 2021): complete clouds, cut online."""

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_wcd.data.categories import SHAPENET, UNSEEN_21
from keras_wcd.data.contract import SPHERE, Clouds, Sample, file_key
from keras_wcd.data.datasets.listings import read_names, split_name
from keras_wcd.data.datasets.on_disk import DatasetOnDisk
from keras_wcd.data.datasets.view_cuts import (
    DIFFICULTIES,
    SCAN_POINTS,
    VIEW_POINTS,
    fixed_cut,
    random_cut,
    thinned,
    unit_sphere,
)

CLOUDS = "shapenet_pc"
SUBSETS = {"55": "ShapeNet-55", "34": "ShapeNet-34", "unseen21": "ShapeNet-Unseen21"}
"""The folder of each subset's lists."""


class Shape(NamedTuple):
    """One line of a list."""

    file: str
    category: str


class ShapeNet55(DatasetOnDisk):
    """Complete clouds of 8192 points in the unit sphere, and scans cut from them when they are loaded.

    In "train" a scan is what is left when a quarter to three quarters of the points nearest to a random view point
    are cut, anew for each epoch. "val" cuts the shapes of the test list once in the same way. "test" cuts each of
    them from eight fixed view points at one difficulty. All are farthest point sampled to 2048 points.

    Args:
        root: The folder with `shapenet_pc`.
        subset: "55", "34" or "unseen21"; the last has the split "test" alone.
        difficulty: Of "test": "easy", "median" or "hard", a quarter, half or three quarters cut.
        num_points: Points N of a scan; None keeps all that the cut leaves, which is far quicker.
        seed: Of the random cuts.

    Raises:
        ValueError: for a root that is not of this layout, a list that cannot be read, another argument.
    """

    splits = ("train", "val", "test")
    layout = (
        "a ShapeNet-55/34 tree is ROOT/shapenet_pc/<synset>-<id>.npy, ROOT/ShapeNet-55/{train,test}.txt, "
        "ROOT/ShapeNet-34/{train,test}.txt and ROOT/ShapeNet-Unseen21/test.txt"
    )
    folders = (CLOUDS,)
    frame = SPHERE

    def __init__(
        self,
        root: str | os.PathLike,
        subset: str = "55",
        *,
        difficulty: str = "median",
        num_points: int | None = SCAN_POINTS,
        seed: int = 0,
    ):
        if subset not in SUBSETS:
            raise ValueError(f"subset must be one of {tuple(SUBSETS)}, got {subset!r}")
        if num_points is not None and num_points < 1:
            raise ValueError(f"num_points must be at least 1 or None, got {num_points}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        super().__init__(root, f"{SUBSETS[subset]}/test.txt")
        self.subset, self.num_points, self.seed = subset, num_points, seed
        self.difficulty = _difficulty(difficulty)
        folder = self.root / SUBSETS[subset]
        self._shapes = {"test": _read_list(folder / "test.txt")}
        if subset == "unseen21":
            self.splits = ("test",)
        else:
            self._shapes |= {"train": _read_list(folder / "train.txt"), "val": self._shapes["test"]}
            self.changing_splits = ("train",)
        self.categories = tuple(SHAPENET[synset] for synset in _synsets(subset))

    def at(self, difficulty: str) -> "ShapeNet55":
        """The same data set with test scans of another difficulty."""
        other = copy.copy(self)
        other.difficulty = _difficulty(difficulty)
        return other

    def size(self, split: str) -> int:
        return len(self._of(self._shapes, split)) * self._pairs(split)

    def load(self, split: str, index: int, *, epoch: int = 0) -> Sample:
        """One pair; its name is `<synset>-<id>`, in "test" `<synset>-<id>/<difficulty>/<view>`.

        Args:
            split: "train", "val" or "test".
            index: 0 to size - 1; in "test" the eight views of a shape follow each other.
            epoch: Which random cut, in the split "train".
        """
        index = self._position(split, index)
        number, view = divmod(index, self._pairs(split))
        file, category = self._shapes[split][number]
        complete, name = self._complete(file), file.removesuffix(".npy")
        if split == "test":
            rest, name = fixed_cut(complete, view, self.difficulty), f"{name}/{self.difficulty}/{view}"
        else:
            drawing = (self.seed, 1 + epoch if split == "train" else 0, index)
            rest = random_cut(complete, np.random.default_rng(drawing))
        return Sample(thinned(rest, self.num_points), complete, category, name)

    def clouds(self, split: str) -> tuple[Clouds | None, Clouds]:
        files = [shape.file for shape in self._of(self._shapes, split)]
        keys = [file_key(self.root / CLOUDS / file, "unit sphere") for file in files]
        complete = Clouds(keys, lambda number: self._complete(files[number]))
        if split != "val":
            return None, complete
        how = ("cut", self.seed, self.num_points)
        keys = [file_key(self.root / CLOUDS / file, *how, number) for number, file in enumerate(files)]
        return Clouds(keys, lambda number: self.load("val", number).partial), complete

    def pick(self, split: str, index: int, epoch: int) -> tuple[int, int]:
        return index, self._position(split, index) // self._pairs(split)

    def files(self, split: str) -> Iterator[tuple[str, ...]]:
        for shape in self._of(self._shapes, split):
            yield (f"{CLOUDS}/{shape.file}",)

    def listed(self, split: str) -> Iterator[str]:
        return (shape.file for shape in self._of(self._shapes, split))

    @classmethod
    def signs(cls, *, subset: str = "55", **options: Any) -> tuple[str, ...]:
        return (SUBSETS[subset], CLOUDS) if subset == "55" else (SUBSETS[subset],)

    def ignored(self) -> set[str]:
        """Clouds of the other subsets, which lie in the same folder."""
        lists = [path for folder in SUBSETS.values() for path in (self.root / folder).glob("*.txt")]
        return {f"{CLOUDS}/{shape.file}" for path in lists for shape in _read_list(path)}

    def _complete(self, file: str) -> np.ndarray:
        """The ground truth in a file: its mean at the origin, its farthest point at distance 1."""
        points = unit_sphere(self._points(f"{CLOUDS}/{file}"))
        if len(points) < 4:
            raise ValueError(f"{self.root / CLOUDS / file}: {len(points)} points are too few to cut")
        return points

    def _pairs(self, split: str) -> int:
        return len(VIEW_POINTS) if split == "test" else 1


def _synsets(subset: str) -> tuple[str, ...]:
    if subset == "unseen21":
        return UNSEEN_21
    return tuple(synset for synset in SHAPENET if subset == "55" or synset not in UNSEEN_21)


def _difficulty(name: str) -> str:
    if name not in DIFFICULTIES:
        raise ValueError(f"difficulty must be one of {tuple(DIFFICULTIES)}, got {name!r}")
    return name


def _read_list(path: Path) -> list[Shape]:
    shapes = []
    for line in read_names(path):
        # An id may hold dashes of its own.
        synset, _ = split_name(line, "-", path)
        if synset not in SHAPENET or not line.endswith(".npy"):
            raise ValueError(f"{path}: {line!r} is not of the form <synset>-<id>.npy with a synset of ShapeNet")
        shapes.append(Shape(line, SHAPENET[synset]))
    return shapes
