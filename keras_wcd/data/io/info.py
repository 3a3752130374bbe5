"""What reading a file decided, in words: `keras-wcd data info`."""

import os
from pathlib import Path

import numpy as np

from keras_wcd.data.io.formats import read_cloud


def inspect_file(path: str | os.PathLike, *, dataset: str | None = None, index: int | None = None) -> dict[str, str]:
    """Read a file as `read_cloud` does and say how, by name.

    Args:
        path: As for `read_cloud`.
        dataset: As for `read_cloud`.
        index: As for `read_cloud`.

    Returns:
        What was found, in order: the format, what was decided while reading it (the separator and decimal mark of a
        text, its header, fields, arrays), points, precision, extent, colors, normals, and what was left out.

    Raises:
        FileNotFoundError: as `read_cloud`.
        ValueError: as `read_cloud`.
    """
    cloud = read_cloud(path, dataset=dataset, index=index)
    low, high = cloud.points.min(axis=0).astype(np.float64), cloud.points.max(axis=0).astype(np.float64)
    notes = dict(cloud.notes)
    left = {name: notes.pop(name) for name in list(notes) if name.endswith("left out")}
    found = {"format": Path(path).suffix.lower().removeprefix("."), **notes}
    found["points"] = f"{len(cloud)}"
    found["precision"] = f"{cloud.points.dtype}"
    found |= {axis: f"{a:.10g} to {b:.10g}" for axis, a, b in zip("xyz", low, high, strict=True)}
    found["diagonal"] = f"{np.linalg.norm(high - low):.6g}"
    found["colors"] = "none" if cloud.colors is None else f"{cloud.colors.min()} to {cloud.colors.max()} of 255"
    found["normals"] = "none" if cloud.normals is None else "yes"
    return found | left
