"""A data set in PCN's layout from a folder of meshes, made by all cores."""

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from keras_wcd import parallel
from keras_wcd.data import cache
from keras_wcd.data.from_meshes.catalog import SPLITS, Entry, checked_shares, titles
from keras_wcd.data.from_meshes.plan import Plan, plan
from keras_wcd.data.io.formats import write_points
from keras_wcd.data.io.limits import atomic_write
from keras_wcd.data.io.pcd import ENCODINGS
from keras_wcd.data.scanner.pairs import Scanning
from keras_wcd.files import read_json

INDEX = "PCN.json"
RECORD = "making.json"
_VERSION = 1


class Made(NamedTuple):
    """What came of a folder of meshes.

    Attributes:
        counts: Shapes in every split.
        skipped: Meshes that cannot be used, by their path, and why.
        repeated: Meshes whose shape another one has too; they lie in that one's split.
    """

    counts: dict[str, int]
    skipped: dict[str, str]
    repeated: int


def make_dataset(
    meshes: str | os.PathLike,
    output: str | os.PathLike,
    *,
    views: int = 8,
    points: int = 16384,
    seed: int = 0,
    up: str = "y",
    splits: tuple[float, float, float] = (0.8, 0.1, 0.1),
    encoding: str = "binary",
    method: str = "z_buffer",
    workers: int | None = None,
    cluster: str | None = None,
    progress: bool = True,
) -> Made:
    """Write the pairs of `MeshFolder` as `{train,val,test}/{partial,complete}/<category>/<id>...pcd` and PCN.json.

    The bytes depend on the meshes and the arguments, not on `workers`. A run that was stopped goes on where it
    stopped when it is called again; every file is whole or absent, and PCN.json is written last. One run at a time
    may work in a folder.

    Args:
        meshes: A folder of meshes, its sub-folders the categories.
        output: The folder to write; new, empty, or one that the same call has begun.
        views: Scans of each mesh.
        points: Points of the ground truth.
        seed: Of everything random.
        up: Axis of the meshes that points up, "y" or "z"; the front is +x.
        splits: Shares of train, val and test.
        encoding: Of the PCD files: "binary", "ascii" or "binary_compressed".
        method: Of the visibility, as in `views.depth_image`; "embree" needs the extra `embree`.
        workers: Processes; None takes one for each core.
        cluster: Address of a Dask scheduler whose workers do it instead, as in `keras_wcd.parallel.run`; they must
            find both folders under the same names.
        progress: Show a bar.

    Raises:
        ValueError: where no mesh can be used, for a folder that holds something else or was begun with other
            arguments or meshes, and for another argument.
    """
    scanning, shares, output = Scanning(views, points, seed, up, method), checked_shares(splits), Path(output)
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding must be one of {ENCODINGS}, got {encoding!r}")
    if Path(meshes).resolve() == output.resolve():
        raise ValueError(f"{output}: the data set needs a folder of its own, not that of the meshes")
    with parallel.on_cluster(cluster):
        reading, writing = ({"workers": workers, "desc": d if progress else None} for d in ("reading", "scanning"))
        planned = plan(meshes, shares, scanning, folder=cache.folder(), **reading)
        _begin(output, planned, {**scanning.settings(), "splits": list(shares), "encoding": encoding})
        skipped = planned.skipped | _make_shapes(Path(meshes), output, planned, scanning, encoding, writing)
    made = [pair for pair in zip(planned.entries, planned.splits, strict=True) if pair[0].path not in skipped]
    if not made:
        path, reason = next(iter(skipped.items()))
        raise ValueError(f"{meshes}: none of its meshes can be used; the first, {path}: {reason}")
    with atomic_write(output / INDEX) as file:
        file.write(json.dumps(_index(made), indent=1).encode())
    counts = {split: sum(s == split for _, s in made) for split in SPLITS}
    return Made(counts, skipped, planned.repeated)


def make_shape(path: str, complete: str, partial: str, name: str, encoding: str, scanning: dict) -> None:
    """Write the files of one mesh that are not there yet, the ground truth last."""
    how = Scanning(**scanning)
    mesh = how.mesh(Path(path))
    Path(partial).mkdir(parents=True, exist_ok=True)
    Path(complete).parent.mkdir(parents=True, exist_ok=True)
    for view in range(how.views):
        file = Path(partial) / f"{view:02d}.pcd"
        if not file.exists():
            write_points(file, how.partial(mesh, name, view), encoding=encoding)
    write_points(complete, how.complete(mesh, name), encoding=encoding)


def _begin(output: Path, planned: Plan, settings: dict) -> None:
    """Note what is being made, or find that the same was begun before; sweep away what a killed run left."""
    listed = [
        f"{split}/{entry.name}={entry.path}" for entry, split in zip(planned.entries, planned.splits, strict=True)
    ]
    record = {**settings, "version": _VERSION, "shapes": hashlib.sha256("\n".join(listed).encode()).hexdigest()}
    path = output / RECORD
    if path.is_file():
        _check_same(path, record)
        for split in SPLITS:
            for stale in (output / split).rglob(".*.????????.pcd"):
                stale.unlink(missing_ok=True)
        return
    if output.is_dir() and any(output.iterdir()):
        raise ValueError(f"{output}: is not empty; give a new folder to write")
    output.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(json.dumps(record, indent=1).encode())


def _check_same(path: Path, record: dict) -> None:
    """Raise where another data set was begun."""
    try:
        before = read_json(path)
    except ValueError:
        before = None
    if not isinstance(before, dict):
        raise ValueError(f"{path}: is damaged; give another folder to write, or delete {path.parent}")
    for name, value in record.items():
        if before.get(name) != value:
            change = f"with {name} = {before.get(name)}, now it is {value}"
            if name == "shapes":
                change = "and the meshes have changed since"
            raise ValueError(f"{path.parent}: a data set was begun here {change}; give another folder")


def _make_shapes(
    meshes: Path, output: Path, planned: Plan, scanning: Scanning, encoding: str, options: dict
) -> dict[str, str]:
    """Write what is missing; the meshes of which nothing could be made, and why."""
    tasks, skipped, paths = [], {}, []
    for entry, split in zip(planned.entries, planned.splits, strict=True):
        complete, partial = _places(output, split, entry)
        if not complete.exists() or not all((partial / f"{v:02d}.pcd").exists() for v in range(scanning.views)):
            files = {"path": meshes / entry.path, "complete": complete, "partial": partial}
            files = {name: os.path.abspath(path) for name, path in files.items()}
            tasks.append({**files, "name": entry.name, "encoding": encoding, "scanning": scanning.settings()})
            paths.append(entry.path)
    for number, _, error in parallel.run(make_shape, tasks, unit="mesh", **options):
        if error:
            skipped[paths[number]] = error
    return skipped


def _places(output: Path, split: str, entry: Entry) -> tuple[Path, Path]:
    """The file of the ground truth and the folder of the scans."""
    complete = output / split / "complete" / entry.category / f"{entry.id}.pcd"
    return complete, output / split / "partial" / entry.category / entry.id


def _index(made: list[tuple[Entry, str]]) -> list[dict]:
    rows: dict[str, dict] = {}
    names = titles(entry.category for entry, _ in made)
    for entry, split in made:
        category = entry.category
        empty = {"taxonomy_id": category, "taxonomy_name": names[category], **{name: [] for name in SPLITS}}
        rows.setdefault(entry.category, empty)[split].append(entry.id)
    return list(rows.values())
