"""The table of data sets by name: a data set becomes known to every command by its row here."""

import functools
import os
from typing import Any, cast

from keras_wcd.data.datasets.base import Dataset
from keras_wcd.data.datasets.completion3d import Completion3D
from keras_wcd.data.datasets.kitti import KITTI
from keras_wcd.data.datasets.mvp import MVP
from keras_wcd.data.datasets.pcn import PCN
from keras_wcd.data.datasets.shapenet55 import ShapeNet55
from keras_wcd.data.datasets.shapes8 import Shapes8
from keras_wcd.names import key_of

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
"""Classes of data sets, some with their options. Those that lie on the disk take the root folder first."""


def class_of(name: str) -> tuple[type[Dataset], dict[str, Any]]:
    """The class of a row and the options that the row gives it.

    Raises:
        ValueError: for an unknown name.
    """
    row = DATASETS[key_of(DATASETS, name, "data set")]
    kind, options = (row.func, row.keywords) if isinstance(row, functools.partial) else (row, {})
    return cast(type[Dataset], kind), options


MADE_UP = tuple(name for name in DATASETS if not class_of(name)[0].needs_root)
"""Those without files."""


def signs_of(name: str) -> tuple[str, ...]:
    """What in a folder gives a data set away."""
    kind, options = class_of(name)
    return kind.signs(**options)


def open_dataset(name: str, root: str | os.PathLike | None = None, **options: Any) -> Dataset:
    """A data set by name.

    Args:
        name: A key of `DATASETS`; case, blanks, `-` and `_` do not matter.
        root: The folder of its files; None for one that is made on the spot.
        options: Further arguments of the data set.

    Raises:
        ValueError: for an unknown name, a folder too many or too few, or one that does not hold the data set.
    """
    name = key_of(DATASETS, name, "data set")
    if name in MADE_UP:
        if root is not None:
            raise ValueError(f"{name} is made on the spot and takes no folder, got {root}")
        return DATASETS[name](**options)
    if root is None:
        raise ValueError(f"{name} needs the folder of its files; docs/data.md says how to get them")
    return DATASETS[name](root, **options)
