"""Whether a folder holds a published data set, and what it lacks. Nothing is downloaded."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from keras_wcd.data.datasets.on_disk import TreeDataset
from keras_wcd.data.datasets.table import MADE_UP, open_dataset

SIGNS = {
    "pcn": ("PCN.json", "train/complete", "test/complete"),
    "shapenet55": ("ShapeNet-55", "shapenet_pc"),
    "shapenet34": ("ShapeNet-34",),
    "unseen21": ("ShapeNet-Unseen21",),
    "mvp": ("MVP_Train_CP.h5", "MVP_Test_CP.h5"),
    "completion3d": ("train.list", "val.list", "train/gt", "val/gt"),
    "kitti": ("cars", "bboxes", "tracklets"),
}
"""What of each layout gives it away."""


class SplitCount(NamedTuple):
    """Shapes that a split should hold, and those of which no file is missing."""

    listed: int
    whole: int


@dataclass(frozen=True)
class TreeReport:
    """What was found in the folder of a data set.

    Attributes:
        dataset: Its name in `DATASETS`.
        root: The folder.
        counts: Shapes by split.
        missing: Files that are named by a list and absent or empty, relative to the root, in the lists' order.
        surplus: Files that lie among the data and are named by no list, sorted; they do no harm.
    """

    dataset: str
    root: Path
    counts: dict[str, SplitCount]
    missing: tuple[str, ...]
    surplus: tuple[str, ...]


def guess_datasets(root: str | os.PathLike) -> tuple[str, ...]:
    """Names of the data sets of which a folder shows a sign; ShapeNet-55, 34 and the unseen 21 may share one.

    Raises:
        ValueError: where there is none.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder")
    found = tuple(name for name, signs in SIGNS.items() if any((root / sign).exists() for sign in signs))
    if not found:
        signs = ", ".join(f"{' or '.join(signs)} ({name})" for name, signs in SIGNS.items())
        raise ValueError(f"{root}: no known data set; looked in it for {signs}")
    return found


def check_tree(root: str | os.PathLike, dataset: str | None = None, *, progress: bool = False) -> TreeReport:
    """Compare a folder with the lists of a data set.

    Args:
        root: The folder of the data set.
        dataset: Its name in `DATASETS`; None takes the first that the folder shows a sign of.
        progress: Whether to draw a bar when it takes more than a second.

    Raises:
        ValueError: for an unknown name, for a folder that lacks the lists themselves or shows another layout
            (the message says how it should look), and for a damaged list or HDF5 file.
    """
    dataset = guess_datasets(root)[0] if dataset is None else dataset
    if dataset in MADE_UP:
        raise ValueError(f"{dataset} is made on the spot: there are no files to check")
    data = open_dataset(dataset, root)
    counts, missing, expected = {}, {}, data.ignored()
    for split in data.splits:
        listed = whole = 0
        bar = tqdm(data.files(split), f"checking {split}", unit="shape", disable=not progress, delay=1, leave=False)
        for files in bar:
            expected.update(files)
            absent = [file for file in files if not _is_there(data.root / file)]
            missing.update(dict.fromkeys(absent))
            listed, whole = listed + 1, whole + (not absent)
        counts[split] = SplitCount(listed, whole)
    surplus = tuple(sorted(set(_found(data)) - expected))
    return TreeReport(dataset, data.root, counts, tuple(missing), surplus)


def _is_there(path: Path) -> bool:
    """Whether a file exists and is not empty, as those of an interrupted copy are."""
    return path.is_file() and path.stat().st_size > 0


def _found(data: TreeDataset) -> Iterator[str]:
    """Files in the folders of a data set, hidden ones left out."""
    for folder in data.folders:
        for place, _, names in os.walk(data.root / folder):
            inside = Path(place).relative_to(data.root)
            yield from ((inside / name).as_posix() for name in names if not name.startswith("."))
