"""Whether a folder holds a published data set, and what it lacks. Nothing is downloaded."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

from tqdm import tqdm

from keras_wcd.data.datasets.on_disk import DatasetOnDisk
from keras_wcd.data.datasets.table import DATASETS, MADE_UP, open_dataset, signs_of
from keras_wcd.names import key_of


class SplitCount(NamedTuple):
    """Shapes that a split should hold, and those of which no file is missing."""

    listed: int
    whole: int


@dataclass(frozen=True)
class DatasetReport:
    """What was found in the folder of a data set.

    Attributes:
        dataset: Its name in `DATASETS`.
        root: The folder.
        counts: Shapes by split.
        missing: Files that are named by a list and absent or empty, relative to the root, in the lists' order.
        surplus: Files that lie among the data and are named by no list, sorted; they do no harm.
        repeated: Shapes that a split lists more than once.
        hints: What else is odd, and how to mend it: shapes listed both to train and to test on, files that are no
            scans.
    """

    dataset: str
    root: Path
    counts: dict[str, SplitCount]
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    repeated: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing is missing and nothing is listed twice."""
        return not self.missing and not self.repeated


def guess_datasets(root: str | os.PathLike) -> tuple[str, ...]:
    """Names of the data sets of which a folder shows a sign; ShapeNet-55, 34 and the unseen 21 may share one.

    Raises:
        ValueError: where there is none.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder")
    signs = {name: found for name in DATASETS if (found := signs_of(name))}
    found = tuple(name for name, some in signs.items() if any((root / sign).exists() for sign in some))
    if not found:
        looked = ", ".join(f"{' or '.join(some)} ({name})" for name, some in signs.items())
        raise ValueError(f"{root}: no known data set; looked in it for {looked}")
    return found


def check_tree(root: str | os.PathLike, dataset: str | None = None, *, progress: bool = False) -> DatasetReport:
    """Compare a folder with the lists of a data set.

    Args:
        root: The folder of the data set.
        dataset: Its name in `DATASETS`; None takes the first that the folder shows a sign of.
        progress: Whether to draw a bar when it takes more than a second.

    Raises:
        ValueError: for an unknown name, for a folder that lacks the lists themselves or shows another layout
            (the message says how it should look), and for a damaged list or HDF5 file.
    """
    name = guess_datasets(root)[0] if dataset is None else key_of(DATASETS, dataset, "data set")
    if name in MADE_UP:
        raise ValueError(f"{name} is made on the spot: there are no files to check")
    data = cast(DatasetOnDisk, open_dataset(name, root))
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
    names = {split: Counter(data.listed(split)) for split in data.splits}
    hints = (*(hint for split in data.splits for hint in data.hints(split)), *_shared(names))
    return DatasetReport(name, data.root, counts, tuple(missing), surplus, tuple(_repeated(names)), hints)


def _is_there(path: Path) -> bool:
    """Whether a file exists and is not empty, as those of an interrupted copy are."""
    return path.is_file() and path.stat().st_size > 0


def _found(data: DatasetOnDisk) -> Iterator[str]:
    """Files in the folders of a data set, hidden ones left out."""
    for folder in data.folders:
        for place, _, names in os.walk(data.root / folder):
            inside = Path(place).relative_to(data.root)
            yield from ((inside / name).as_posix() for name in names if not name.startswith("."))


def _repeated(names: dict[str, Counter]) -> Iterator[str]:
    """Shapes that count more than once in a split."""
    for split, counts in names.items():
        yield from (f"{name}, {count} times in {split}" for name, count in counts.items() if count > 1)


def _shared(names: dict[str, Counter]) -> Iterator[str]:
    """Shapes that a network would be trained on and judged by."""
    trained_on = names.get("train", Counter())
    for split, counts in names.items():
        if split != "train":
            yield from (f"{name} is listed in train and in {split}" for name in trained_on if name in counts)
