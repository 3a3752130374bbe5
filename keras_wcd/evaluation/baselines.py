"""What needs no training: the scan itself, and the scan with its mirror image."""

import numpy as np

from keras_wcd.frames import resample

MIRROR = np.array([1, 1, -1], np.float32)
"""Left and right of the canonical frame (y up, front +x) are mirror images in z."""


def scan_alone(partial: np.ndarray, count: int) -> np.ndarray:
    """`count` points of a scan `(N, 3)`, by the rule that resamples it for a network."""
    return resample(partial, count)


def scan_and_mirror(partial: np.ndarray, count: int) -> np.ndarray:
    """`count` points: half of them of the scan, the others their mirror image in z."""
    half = scan_alone(partial, (count + 1) // 2)
    return np.concatenate([half, half[: count // 2] * MIRROR.astype(half.dtype)])


BASELINES = {"scan": scan_alone, "scan + mirror image": scan_and_mirror}
