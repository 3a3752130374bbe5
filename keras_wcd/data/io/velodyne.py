"""Sweeps of a LiDAR as KITTI and nuScenes publish them: rows of float32 without any header."""

from pathlib import Path

import numpy as np

from keras_wcd.data.io.cloud import Cloud
from keras_wcd.data.io.limits import FormatError

COLUMNS = {".pcd.bin": ("x", "y", "z", "intensity", "ring"), ".bin": ("x", "y", "z", "intensity")}
"""By the end of a file's name; the first that fits counts."""


def read(path: Path) -> Cloud:
    """x, y and z of every row `x y z intensity`; of nuScenes' `.pcd.bin` files, a ring behind them.

    Raises:
        FormatError: where the file's size or its intensities are not those of such rows.
    """
    names = next(names for end, names in COLUMNS.items() if path.name.lower().endswith(end))
    size = path.stat().st_size
    if size % (4 * len(names)):
        raise FormatError(f"its {size} bytes are no rows of {len(names)} float32 ({' '.join(names)})")
    rows = np.fromfile(path, "<f4").reshape(-1, len(names))
    intensity = rows[:, 3]
    if not (np.isfinite(intensity) & (intensity >= 0)).all():
        raise FormatError(f"its fourth column is no intensity; rows of float32 {' '.join(names)} are read")
    return Cloud(rows[:, :3]).noted(fields=" ".join(names), columns_left_out=", ".join(names[3:]))
