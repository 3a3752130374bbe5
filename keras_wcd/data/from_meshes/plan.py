"""Which meshes of a folder can be used, which are the same shape, and in which split each lies."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_wcd import parallel
from keras_wcd.data.contract import file_key
from keras_wcd.data.from_meshes.catalog import Entry, assign_splits, find, fingerprint, same_shape
from keras_wcd.data.io.limits import atomic_write
from keras_wcd.data.scanner.pairs import Scanning
from keras_wcd.files import read_json

_VERSION = 1


class Plan(NamedTuple):
    """What is to be made of a folder of meshes.

    Attributes:
        entries: The meshes that can be used.
        splits: The split of each.
        skipped: The others, and why.
        repeated: Meshes whose shape another one has too.
    """

    entries: list[Entry]
    splits: list[str]
    skipped: dict[str, str]
    repeated: int


def plan(
    root: str | os.PathLike,
    shares: tuple[float, float, float],
    scanning: Scanning,
    *,
    folder: Path,
    **options: Any,
) -> Plan:
    """Read every mesh once and deal the usable ones into splits; what is known is kept in `folder`.

    Options are those of `parallel.run`.

    Raises:
        ValueError: where there is no folder, no mesh in it, or none that can be used.
    """
    root = Path(root)
    entries = find(root)
    known = _inspected(root, entries, scanning.up, folder, options)
    usable = [entry for entry in entries if not isinstance(known[entry.path], str)]
    skipped = {entry.path: reason for entry in entries if isinstance(reason := known[entry.path], str)}
    if not usable:
        path, reason = next(iter(skipped.items()))
        raise ValueError(f"{root}: none of its {len(entries)} meshes can be used; the first, {path}: {reason}")
    shapes = same_shape(np.array([known[entry.path] for entry in usable]))
    splits = assign_splits(usable, shapes, shares, scanning.seed)
    return Plan(usable, splits, skipped, len(usable) - len(np.unique(shapes)))


def inspect(path: str, up: str) -> list[float] | str:
    """The fingerprint of a mesh file, or what is wrong with it."""
    try:
        return fingerprint(Scanning(up=up).mesh(Path(path))).tolist()
    except ValueError as error:
        return parallel.message(error)


def _inspected(root: Path, entries: list[Entry], up: str, folder: Path, options: dict) -> dict[str, list[float] | str]:
    """The fingerprint of every mesh, or what is wrong with it."""
    place = hashlib.sha256(f"{_VERSION}|{up}|{root.resolve()}".encode()).hexdigest()[:32]
    path = folder / f"meshes-{place}.json"
    keys = {entry.path: file_key(root / entry.path) for entry in entries}
    kept = _load(path)
    known = {name: kept[key] for name, key in keys.items() if key in kept}
    new = [entry.path for entry in entries if entry.path not in known]
    tasks = [{"path": os.path.abspath(root / name), "up": up} for name in new]
    unread = {}
    for number, result, error in parallel.run(inspect, tasks, unit="mesh", **options):
        # A process that was killed or a disk that was away says nothing of the mesh: another run tries again.
        (unread if error else known)[new[number]] = error or result
    if new:
        _save(path, {keys[name]: value for name, value in known.items()})
    return known | unread


def _load(path: Path) -> dict:
    try:
        kept = read_json(path)
    except ValueError:
        return {}
    sound = isinstance(kept, dict) and all(
        isinstance(value, str) or (isinstance(value, list) and len(value) == 22) for value in kept.values()
    )
    return kept if sound else {}


def _save(path: Path, known: dict) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(json.dumps(known).encode())
    except OSError:
        return  # It is read again next time.
