"""Completion of one cloud of any size in the user's own frame: checked, framed, resampled, completed, put back."""

from collections.abc import Callable

import numpy as np

from keras_wcd.frames import frame_of, precision, resample, thinned


def complete(
    predict: Callable[[np.ndarray], np.ndarray],
    points: np.ndarray,
    count: int,
    normalize: str | None = "partial",
    *,
    box: np.ndarray | None = None,
    keep_partial: bool = False,
) -> np.ndarray:
    """`CompletionModel.complete` for any function `predict`: clouds `(1, count, 3)` -> `(1, M, 3)`."""
    points = checked_points(points)
    frame = frame_of(points, normalize, box)
    partial = resample(frame.apply(thinned(points, count)), count)
    if not np.isfinite(partial).all():
        raise ValueError("points do not fit into float32 in the network's frame; normalize them, or give a larger box")
    completed = np.asarray(predict(partial[None]))[0]
    if not np.isfinite(completed).all():
        raise ValueError(
            f"the network's answer holds {np.count_nonzero(~np.isfinite(completed))} values that are not "
            "finite: its weights are not finite (a training that diverged), load others"
        )
    completed = frame.invert(completed)
    if keep_partial:
        completed = np.concatenate([points, completed])
    return completed.astype(points.dtype, copy=False)


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
    return points.astype(precision(points), copy=False)
