"""Clouds for training: their points in farthest-point order, and a random draw of them."""

import numpy as np

from keras_wcd.frames import Frame as Frame
from keras_wcd.ops.sampling import farthest_point_indices


def fps_order(points: np.ndarray, count: int | None = None, *, rule: str = "standard") -> np.ndarray:
    """Indices that begin with a farthest point sampling and hold every point once.

    `points[fps_order(points)][:k]` is the farthest point sampling of size k from index 0, for every k up to
    `count`; the rest follows as it stood.

    Args:
        points: A cloud `(N, 3)`.
        count: Length of the sampled prefix; None samples all N. 2048 of 16384 take about 25 ms.
        rule: As in `keras_wcd.ops.sampling.farthest_point_indices`.

    Returns:
        Indices `(N,)`, int32, a permutation.

    Raises:
        ValueError: for another shape, an empty cloud or a count above N.
    """
    points = np.asarray(points)
    first = farthest_point_indices(points, len(points) if count is None else count, rule)
    # Once all distinct places are taken the sampling repeats itself: keep first choices only.
    _, where = np.unique(first, return_index=True)
    first = first[np.sort(where)]
    rest = np.ones(len(points), bool)
    rest[first] = False
    return np.concatenate([first, np.flatnonzero(rest).astype(np.int32)])


def resample(points: np.ndarray, count: int, *, seed: int = 0) -> np.ndarray:
    """Exactly `count` points `(count, 3)`: a random subset, or all of them and random repetitions.

    This is training's draw, another one in every epoch. A scan that is completed or measured is resampled by
    `keras_wcd.frames.resample`, which draws nothing.

    Args:
        points: A cloud `(N, 3)`, N >= 1.
        count: Points wanted.
        seed: The same seed draws the same points.

    Raises:
        ValueError: for another shape, an empty cloud or a count below 1.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise ValueError(f"points must be a cloud of shape (N, 3) with N >= 1, got shape {points.shape}")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    rng = np.random.default_rng(seed)
    whole, part = divmod(count, len(points))
    index = np.concatenate([np.tile(np.arange(len(points)), whole), rng.permutation(len(points))[:part]])
    return points[index]
