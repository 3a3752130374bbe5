"""Completion of one cloud of any size in the user's own frame: checked, resampled, framed, completed, put back."""

from collections.abc import Callable

import numpy as np

from keras_wcd.frames import frame_of
from keras_wcd.ops.sampling import farthest_point_indices

THINNED = 8
"""A cloud of more than this many times the network's input is thinned at random before its farthest points
are chosen, which takes time in proportion to its size."""


def complete(
    predict: Callable[[np.ndarray], np.ndarray],
    points: np.ndarray,
    count: int,
    normalize: str | None,
    *,
    box: np.ndarray | None,
    keep_partial: bool,
    seed: int,
) -> np.ndarray:
    """`CompletionModel.complete` for any function `predict`: clouds `(1, count, 3)` -> `(1, M, 3)`."""
    points = checked_points(points)
    frame = frame_of(points, normalize, box)
    partial = resample(frame.apply(points), count, seed)
    completed = np.asarray(predict(partial[None]))[0]
    if not np.isfinite(completed).all():
        raise ValueError(
            f"the network's answer holds {np.count_nonzero(~np.isfinite(completed))} values that are not "
            "finite: its weights are not finite (a training that diverged), load others"
        )
    completed = frame.invert(completed)
    if keep_partial:
        completed = np.concatenate([points.astype(np.float64), completed])
    return completed.astype(np.float64 if points.dtype == np.float64 else np.float32)


def checked_points(points: np.ndarray) -> np.ndarray:
    """`points` as a float32 or float64 array `(N, 3)`, or a `ValueError` that says what is wrong with it."""
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3:
        hint = ""
        if points.ndim == 2 and points.shape[0] == 3:
            hint = "; transpose it: points.T"
        elif points.ndim == 2 and points.shape[1] > 3:
            hint = "; pass the coordinates alone: points[:, :3]"
        elif points.ndim == 3:
            hint = "; pass one cloud at a time, or use predict for a batch"
        raise ValueError(f"points must be one cloud of shape (N, 3), got shape {points.shape}{hint}")
    if not len(points):
        raise ValueError("points is empty: shape (0, 3); a cloud needs at least one point")
    if points.dtype.kind not in "iuf":
        raise ValueError(f"points must hold numbers, got dtype {points.dtype}")
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        raise ValueError(
            f"points holds {bad.sum()} rows with NaN or infinity (the first is row {bad.argmax()}); "
            "drop them: points[np.isfinite(points).all(axis=1)]"
        )
    return points.astype(np.float32 if points.dtype in (np.float16, np.float32) else np.float64, copy=False)


def resample(points: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """A cloud `(N, 3)` as `count` of its points: the farthest ones if it has more, repeated if it has fewer."""
    rng = np.random.default_rng(seed)
    if len(points) > THINNED * count:
        points = points[rng.choice(len(points), THINNED * count, replace=False)]
    if len(points) > count:
        return points[farthest_point_indices(points, count)]
    whole, rest = divmod(count, len(points))
    return np.concatenate([points] * whole + [points[rng.permutation(len(points))[:rest]]])
