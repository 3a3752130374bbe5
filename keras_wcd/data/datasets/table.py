"""The table of data sets by name."""

import functools
import os
from typing import Any

from keras_wcd.data.contract import PairDataset
from keras_wcd.data.datasets.completion3d import Completion3D
from keras_wcd.data.datasets.kitti import KITTI
from keras_wcd.data.datasets.mvp import MVP
from keras_wcd.data.datasets.pcn import PCN
from keras_wcd.data.datasets.shapenet55 import ShapeNet55
from keras_wcd.data.datasets.shapes8 import Shapes8

DATASETS = {
    "shapes8": Shapes8,
    "pcn": PCN,
    "shapenet55": ShapeNet55,
    "shapenet34": functools.partial(ShapeNet55, subset="34"),
    "unseen21": functools.partial(ShapeNet55, subset="unseen21"),
    "mvp": MVP,
    "completion3d": Completion3D,
    "kitti": KITTI,
}
"""Makers of data sets. All but shapes8, which is made on the spot, take the root folder of their files first."""

MADE_UP = ("shapes8",)
"""Those without files."""


def open_dataset(name: str, root: str | os.PathLike | None = None, **options: Any) -> PairDataset:
    """A data set by name.

    Args:
        name: A key of `DATASETS`.
        root: The folder of its files; None for shapes8.
        options: Further arguments of the data set.

    Raises:
        ValueError: for an unknown name, a folder too many or too few, or one that does not hold the data set.
    """
    if name not in DATASETS:
        raise ValueError(f"there is no data set {name!r}; known are {', '.join(sorted(DATASETS))}")
    if name in MADE_UP:
        if root is not None:
            raise ValueError(f"{name} is made on the spot and takes no folder, got {root}")
        return DATASETS[name](**options)
    if root is None:
        raise ValueError(f"{name} needs the folder of its files; docs/data.md says how to get them")
    return DATASETS[name](root, **options)
