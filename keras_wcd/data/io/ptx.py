"""Leica's ptx files: grids of a scanner, each with its pose, one after the other."""

import contextlib
from pathlib import Path

import numpy as np

from keras_wcd.data.io import numbers
from keras_wcd.data.io.cloud import COLORS, POINTS, Cloud, from_columns
from keras_wcd.data.io.limits import FormatError
from keras_wcd.data.io.text import decoded

_HEADER_LINES = 10
_MAX_SCANS = 10_000


def read(path: Path) -> Cloud:
    """The points of all scans in the frame that their poses share, without rays that met nothing (0, 0, 0).

    A scan has ten lines before its points: columns and rows of the grid, the scanner's place and axes (which the pose
    repeats), and the pose as four rows of a matrix M, with (x, y, z, 1) M the point's place.

    Raises:
        FormatError: for a header that is none, or more points than lines.
    """
    lines, start, scans = decoded(path.read_bytes()).split(b"\n"), 0, []
    while any(line.strip() for line in lines[start : start + _HEADER_LINES]):
        if len(scans) == _MAX_SCANS:
            raise FormatError(f"it holds more than {_MAX_SCANS} scans")
        count, pose = _header(lines[start : start + _HEADER_LINES])
        start += _HEADER_LINES
        if count > len(lines) - start:
            raise FormatError(f"the header promises {count} points, {len(lines) - start} lines follow")
        scans.append(_scan(lines[start : start + count], count, pose))
        start += count
    if not scans:
        return Cloud(np.zeros((0, 3)))
    points = np.concatenate([scan.points for scan in scans])
    colored = all(scan.colors is not None for scan in scans)
    cloud = Cloud(points, np.concatenate([scan.colors for scan in scans]) if colored else None)
    return cloud.noted(scans=f"{len(scans)}, each put in its place")


def _header(lines: list[bytes]) -> tuple[int, np.ndarray]:
    """The points of a scan and its pose `(4, 4)`."""
    words, grid, pose = [], [], np.zeros(0)
    with contextlib.suppress(ValueError, IndexError, OverflowError):
        words = [[float(word) for word in line.split()] for line in lines]
        grid = [int(line[0]) for line in words[:2]]
        pose = np.array(words[6:10], np.float64)
    if len(lines) < _HEADER_LINES or pose.shape != (4, 4) or [len(line) for line in words[:6]] != [1, 1, 3, 3, 3, 3]:
        raise FormatError(
            "a scan does not begin with ten lines: columns, rows, place, three axes, four rows of a matrix"
        )
    if min(grid) < 0 or not np.isfinite(pose).all():
        raise FormatError("the header of a scan holds a negative size or a pose that is not finite")
    return grid[0] * grid[1], pose


def _scan(lines: list[bytes], count: int, pose: np.ndarray) -> Cloud:
    if not count:
        return Cloud(np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    width = len(lines[0].split())
    if width not in (3, 4, 7):
        raise FormatError(f"its points have {width} columns; x y z intensity and red green blue are read")
    columns = {name: k for k, name in enumerate(POINTS)} | {name: 4 + k for k, name in enumerate(COLORS) if width == 7}
    rows = numbers.rows(b"\n".join(lines), None, list(columns.values()), width=width)
    if len(rows) != count:
        raise FormatError(f"truncated: the header promises {count} points, {len(rows)} follow")
    rows = rows[(rows[:, :3] != 0).any(axis=1)]
    with np.errstate(over="ignore", invalid="ignore"):
        rows[:, :3] = rows[:, :3] @ pose[:3, :3] + pose[3, :3]
    return from_columns({name: rows[:, k] for k, name in enumerate(columns)})
