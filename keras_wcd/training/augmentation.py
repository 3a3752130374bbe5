"""The published augmentations, by name: what the recipes do to a pair before a step."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keras_wcd.data.resampling import resample
from keras_wcd.names import find

Pair = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class NamedAugmentations:
    """Augmentations in order, as `keras_wcd.data.Augment` is called: `(scan, truth, rng)` -> both, float32.

    Attributes:
        names: Keys of `STEPS`.
        points: Points of a scan, and of a ground truth where an augmentation draws some.

    Raises:
        ValueError: for an unknown name.
    """

    names: tuple[str, ...]
    points: int

    def __post_init__(self) -> None:
        for name in self.names:
            find(STEPS, name, "augmentation")

    def __call__(self, scan: np.ndarray, truth: np.ndarray | None, rng: np.random.Generator) -> Pair:
        """One pair, changed; the arguments are left alone."""
        scan, truth = np.asarray(scan, np.float32), None if truth is None else np.asarray(truth, np.float32)
        for name in self.names:
            scan, truth = find(STEPS, name, "augmentation")(scan, truth, self.points, rng)
        return scan, truth


def _duplicate(scan: np.ndarray, truth: np.ndarray | None, points: int, rng: np.random.Generator) -> Pair:
    return resample(scan, points, seed=int(rng.integers(2**63))), truth


def _zero_pad(scan: np.ndarray, truth: np.ndarray | None, points: int, rng: np.random.Generator) -> Pair:
    filled = np.zeros((points, 3), np.float32)
    kept = scan[rng.permutation(len(scan))[:points]]
    filled[: len(kept)] = kept
    return filled, truth


def _mirror(scan: np.ndarray, truth: np.ndarray | None, points: int, rng: np.random.Generator) -> Pair:
    x, z = np.where(rng.random(2) < 0.5, -1, 1)
    signs = np.array([x, 1, z], np.float32)
    return scan * signs, None if truth is None else truth * signs


def _random(scan: np.ndarray, truth: np.ndarray | None, points: int, rng: np.random.Generator) -> Pair:
    scan = resample(scan, points, seed=int(rng.integers(2**63)))
    return scan, None if truth is None else truth[rng.permutation(len(truth))[:points]]


STEPS: dict[str, Callable[[np.ndarray, np.ndarray | None, int, np.random.Generator], Pair]] = {
    "duplicate": _duplicate,
    "mirror": _mirror,
    "random_2048": _random,
    "zero_pad": _zero_pad,
}
"""One pair and the points of a scan -> the pair. `random_2048` draws as many points as the network takes, 2048 of
them where it was published."""
