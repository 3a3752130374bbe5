"""A split as the pipeline reads it: clouds by number, and which of them make a pair."""

import hashlib

import numpy as np

from keras_wcd.data.contract import Clouds, PairDataset


class Source:
    """One split of a data set; `PairDataset` says what it may define to be read faster.

    Raises:
        ValueError: for something that is no `PairDataset`, a split that is unknown or empty, or a file that is not
            there.
    """

    def __init__(self, dataset: PairDataset, split: str):
        if not isinstance(dataset, PairDataset):
            raise ValueError(
                f"dataset must be a data set of keras_wcd.data (a keras_wcd.data.PairDataset), "
                f"got {type(dataset).__name__}"
            )
        self.dataset, self.split, self.size = dataset, split, dataset.size(split)
        if not self.size:
            raise ValueError(f"the split {split!r} of {dataset.title} is empty; {dataset.remedy(split)}")
        self.changing = split in dataset.changing_splits
        self.arrays = dataset.arrays(split)
        self._numbers: np.ndarray | None = None

    def clouds(self) -> tuple[Clouds | None, Clouds | None]:
        """Scans that may be kept, and ground truth."""
        listed = self.dataset.clouds(self.split)
        if listed is not None:
            scans, truths = listed
            return (
                None if scans is None else self._sound(scans, "scan"),
                None if truths is None else self._sound(truths, "ground truth"),
            )
        self._numbers = np.arange(self.size)
        if self.dataset.load(self.split, 0).complete is None:
            return None, None
        read = self._sound(Clouds([], self._load_complete), "ground truth of pair").read
        first: dict[str, tuple[int, int]] = {}
        for index in range(self.size):
            # Pairs of one shape have one ground truth: it is kept once.
            digest = hashlib.sha256(read(index).tobytes()).hexdigest()
            self._numbers[index] = first.setdefault(digest, (len(first), index))[0]
        pairs = [index for _, index in first.values()]
        return None, Clouds(list(first), lambda number: read(pairs[number]))

    def pick(self, index: int, epoch: int) -> tuple[int, int]:
        """Numbers of a pair's scan and ground truth."""
        if self._numbers is not None:
            return index, int(self._numbers[index])
        return self.dataset.pick(self.split, index, epoch)

    def scan(self, index: int, epoch: int) -> np.ndarray:
        """The scan of a pair, read or made."""
        options = {"epoch": epoch} if self.changing else {}
        return _checked(self.dataset.load(self.split, index, **options).partial, f"scan of pair {index}", self.split)

    def _load_complete(self, index: int) -> np.ndarray:
        complete = self.dataset.load(self.split, index).complete
        if complete is None:
            raise ValueError(f"pair {index} of {self.split!r} has no ground truth, and pair 0 has")
        return complete

    def _sound(self, clouds: Clouds, what: str) -> Clouds:
        return clouds._replace(read=lambda number: _checked(clouds.read(number), f"{what} {number}", self.split))


def _checked(cloud: np.ndarray, what: str, split: str) -> np.ndarray:
    cloud = np.ascontiguousarray(cloud, np.float32)
    if cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud):
        raise ValueError(f"the {what} in {split!r} must have shape (N, 3) with N >= 1, got {cloud.shape}")
    if not np.isfinite(cloud).all():
        raise ValueError(f"the {what} in {split!r} holds NaN or infinity; drop those rows")
    return cloud
