"""The folder of a run: who may write to it, what the run was begun with, and which files it holds."""

import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_wcd.data.contract import PairDataset
from keras_wcd.files import read_json, replacing, writable
from keras_wcd.record import difference, digest

CONFIG, CHECKPOINT, LOG, BEST, LAST, DIVERGED = (
    *("config.json", "checkpoint.npz", "log.csv"),
    *("best.keras", "last.keras", "diverged"),
)
EPOCHS, REPORT, PICTURES, EVALUATION, TENSORBOARD = (
    *("epochs.csv", "report.html"),
    *("pictures", "evaluation", "tensorboard"),
)
CLOUDS = "clouds.npz"
"""The clouds of all pictures, in their folder."""
LEFT = (CONFIG, CHECKPOINT, LOG, BEST, LAST, DIVERGED, EPOCHS, REPORT)
"""What a run leaves in its folder."""
INSIDE = (
    f"{PICTURES}/epoch_*.png",
    f"{PICTURES}/{CLOUDS}",
    f"{EVALUATION}/*/*.csv",
    f"{EVALUATION}/*/*.json",
    f"{EVALUATION}/*/*.png",
    f"{TENSORBOARD}/events.out.tfevents.*",
)
"""What it leaves in folders of names that others use, too: of these only the run's own files are removed."""
LOCK = ".lock"
_LOOKED_AT = 16
"""Pairs of a split by whose points a data set is known again."""


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """The folder, for this process alone.

    The system holds the lock, and gives it up when the process ends in whatever way: one that was left behind, with
    the number of a process that is gone, is no lock.

    Raises:
        ValueError: where another run holds it, with its process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "a+", encoding="utf-8") as file:
        if not _taken(file):
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise ValueError(f"{folder}: {holder} trains there; wait for it, or name another folder")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        try:
            yield
        finally:
            # The file stays: one that was removed could be locked by two.
            file.truncate(0)


def _taken(file: Any, *, shared: bool = False) -> bool:
    """Whether the lock could be had; those who only look share it, where the system lets them."""
    try:
        if os.name == "nt":
            import msvcrt

            # Past what is written there: Windows lets nobody read a part that is locked.
            file.seek(1 << 20)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def prepared(folder: pathlib.Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that takes no files, or that holds a run which is neither gone on with nor overwritten.

    Raises:
        ValueError: where the folder holds a run, or is a file.
        PermissionError: where it cannot be written to.
    """
    writable(folder, folder=True)
    held = [name for name in LEFT if (folder / name).exists()]
    if resume and held and CONFIG not in held:
        raise ValueError(
            f"{folder}: holds {', '.join(held)} and no {CONFIG}: no run to go on with; name another folder"
        )
    if held and not resume and not overwrite:
        raise ValueError(
            f"{folder}: holds the {', '.join(held)} of an earlier run; go on with it (resume=True, --resume), name "
            "another folder, or overwrite them (overwrite=True, --overwrite)"
        )


def emptied(folder: pathlib.Path) -> None:
    """Remove the files of an earlier run."""
    for name in LEFT:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for pattern in INSIDE:
        for path in folder.glob(pattern):
            path.unlink()


def check_space(folder: pathlib.Path, size: int) -> None:
    """Refuse a disk that cannot hold what the run will write.

    Raises:
        OSError: where less is free than two checkpoints and two models of `size` bytes take.
    """
    free = shutil.disk_usage(folder).free
    if free < 4 * size:
        raise OSError(
            f"{folder}: {free / 1e6:.0f} MB are free on that disk, and a run with this network writes up to "
            f"{4 * size / 1e6:.0f} MB; make room, or name a folder elsewhere"
        )


def data_of(dataset: PairDataset) -> dict[str, Any]:
    """By what a data set is known again: its name, the sizes of the splits, some pairs of each."""
    found: dict[str, Any] = {"kind": type(dataset).__name__, "title": str(dataset.title)}
    for split in ("train", "val"):
        size = dataset.size(split)
        found[f"{split} size"] = size
        places = sorted({int(place) for place in np.linspace(0, size - 1, min(size, _LOOKED_AT))}) if size else []
        samples = [dataset.load(split, place) for place in places]
        truths = [b"" if s.complete is None else np.sort(s.complete, axis=0).tobytes() for s in samples]
        scans = [] if split in dataset.changing_splits else [s.partial.tobytes() for s in samples]
        found[f"{split} points"] = digest([*truths, *scans])
    return found


def versions() -> dict[str, str]:
    """What computes."""
    import keras

    found = {"backend": keras.backend.backend(), "python": platform.python_version(), "system": platform.platform()}
    for name in ("keras-wcd", "keras", "tensorflow", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def write_config(folder: pathlib.Path, config: dict[str, Any]) -> None:
    """Write what a run is begun with."""
    with replacing(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def read_config(folder: pathlib.Path) -> dict[str, Any]:
    """What the run in a folder was begun with.

    Raises:
        ValueError: where there is none, or it is damaged.
    """
    try:
        config = read_json(folder / CONFIG)
    except ValueError as error:
        reason = str(error).removeprefix(f"{folder / CONFIG}: ")
        raise ValueError(f"{folder / CONFIG}: no configuration of a run ({reason})") from error
    parts = [config.get(part) or {} for part in ("recipe", "loss", "data")] if isinstance(config, dict) else [None]
    if not all(isinstance(part, dict) for part in parts) or "recipe" not in config:
        raise ValueError(f"{folder / CONFIG}: no configuration of a run")
    return config


def check_same(folder: pathlib.Path, new: dict[str, Any]) -> None:
    """Refuse to go on with a run by another recipe, loss, seed, start or data set.

    Raises:
        ValueError: with what was changed.
    """
    part, changed = _changed(read_config(folder), new)
    if part:
        raise ValueError(
            f"{folder}: the run there was begun with another {part} ({changed}); go on with the same, or name another "
            "folder"
        )


def check_equal(chief: dict[str, Any], own: dict[str, Any]) -> None:
    """Refuse a worker that trains by another recipe, loss, seed, start or data set than the chief.

    Raises:
        ValueError: with what differs.
    """
    part, changed = _changed(chief, own)
    if part:
        raise ValueError(f"this worker has another {part} than the chief ({changed}); give all workers the same")


def _changed(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, str]:
    """The first part of two configurations that differs, and how; empty where they are the same."""
    for part in ("recipe", "loss", "data", "seed", "start"):
        was, is_ = ({part: c.get(part)} if part in ("seed", "start") else c.get(part) or {} for c in (old, new))
        if was != is_:
            return part, difference(was, is_)
    return "", ""


def holder(folder: pathlib.Path) -> str | None:
    """Who trains in a folder, such as `process 123 on that-machine`; None where nobody does."""
    try:
        with open(folder / LOCK, encoding="utf-8") as file:
            told = file.read().strip()
            # What a process that was killed has left behind is no lock.
            return told if told and not _taken(file, shared=True) else None
    except OSError:
        return None
