"""Files of a run as they are named and read again."""

import csv
import pathlib
import zipfile
import zlib
from typing import Any

import numpy as np


def cloud_key(number: int) -> str:
    """Under what the completions after so many passes are kept."""
    return f"epoch_{number:04d}"


def picture_name(number: int) -> str:
    """The file of the picture after so many passes."""
    return f"{cloud_key(number)}.png"


def read_table(path: pathlib.Path) -> list[dict[str, Any]]:
    """Rows of a CSV file of numbers, an empty cell None; no rows without a file.

    Raises:
        ValueError: for a cell that is no number.
    """
    if not path.is_file():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [{name: _number(cell) if cell else None for name, cell in row.items()} for row in rows]
    except (TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"{path}: no table of numbers ({error})") from None


def _number(cell: str) -> float:
    """Counts stay whole: a file that is read and written again is the same."""
    return int(cell) if cell.isdigit() else float(cell)


def read_clouds(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Clouds of the pictures: `scan` and `truth`, the completions by epoch, `labels`; nothing without a file.

    Raises:
        ValueError: for a damaged file.
    """
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged ({error}); remove it, the pictures beside it stay") from None
