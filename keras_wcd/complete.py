"""From scans on disk to their completions on disk, with any trained model."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_wcd.data.datasets.kitti_boxes import from_box_frame, read_box, to_box_frame
from keras_wcd.data.io.cloud import Cloud
from keras_wcd.data.io.formats import MESH_READERS, READERS, WRITERS, read_cloud, write_cloud

DEMO_MODEL = Path("runs/demo/model.keras")
"""Where the demo leaves its model."""
SHIPPED = "default"
"""The preset that ships with the package."""
NEUTRAL = (160, 160, 160)
"""Colour of completed points among measured ones that have colours."""
UPRIGHT = {"x": [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], "y": np.eye(3).tolist(), "z": [[1, 0, 0], [0, 0, -1], [0, 1, 0]]}
"""Rotations of row vectors that turn an axis upwards, onto +y."""

Answer = Callable[[np.ndarray, str | None], np.ndarray]
"""A model as a function: points `(N, 3)` and a normalization to completed points `(M, 3)`."""


@dataclass(frozen=True)
class Settings:
    """How scans are completed.

    Attributes:
        normalize: As in `CompletionModel.complete`: `"partial"`, `"bbox"` or None.
        up: The scan's axis that points up: `"x"`, `"y"` or `"z"`. Networks see it as y.
        keep_partial: Put the measured points before the completed ones, with their colours.
        box: A text file with the 8 corners of a KITTI box, or a folder of such files that are called as the
            scans. The points are completed in the box's frame
            (`keras_wcd.data.datasets.kitti_boxes`), whose z is up, and put back; `normalize` and `up` are not used
            then.
        dataset: The array of an npz or h5 file.
    """

    normalize: str | None = "partial"
    up: str = "y"
    keep_partial: bool = False
    box: str | os.PathLike | None = None
    dataset: str | None = None

    def __post_init__(self):
        if self.up not in UPRIGHT:
            raise ValueError(f"up must be one of {', '.join(UPRIGHT)}, got {self.up!r}")


class Completion(NamedTuple):
    """What became of one scan.

    Attributes:
        path: The file that was written.
        scan: What was measured.
        completed: The model's points `(M, 3)`, in the frame and units of the scan.
        cloud: What was written: `completed`, after the scan's points where these are kept.
        up: Rotation `(3, 3)` of row vectors that turns the scan upright.
    """

    path: Path
    scan: Cloud
    completed: np.ndarray
    cloud: Cloud
    up: np.ndarray


@dataclass
class Batch:
    """What became of a folder of scans: written files, files that were there already, errors by scan."""

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


def complete_file(model: object, scan: str | os.PathLike, output: str | os.PathLike, **settings) -> Completion:
    """Read a scan, complete it in its own frame and units, and write the result.

    Args:
        model: A `.keras` file, a preset's name or folder, a `.tflite` file, a `CompletionModel`, or a function
            as `open_model` returns it; None takes the preset that ships, else what the demo trained.
        scan: A file that `read_cloud` knows.
        output: A file that `write_cloud` knows; without an extension it gets that of the scan. An existing
            folder gets a file that is called as the scan.
        **settings: Those of `Settings`.

    Raises:
        FileNotFoundError: where the scan, the model or the box is missing.
        ValueError: naming the file, where one cannot be read or written, the scan has no extent, or the output
            is the scan itself.
    """
    settings, scan = Settings(**settings), Path(scan)
    cloud = read_cloud(scan, dataset=settings.dataset)
    path = output_path(scan, output)
    try:
        corners = None if settings.box is None else read_box(_beside(settings.box, scan))
        completed = complete_points(open_model(model), cloud.points, settings, corners)
    except _ScanError as error:
        raise ValueError(f"{scan}: {error}") from None
    result = merged(cloud, completed) if settings.keep_partial else Cloud(completed)
    write_cloud(path, result)
    return Completion(path, cloud, completed, result, np.array(UPRIGHT["z" if settings.box else settings.up]))


def complete_folder(
    model: object,
    folder: str | os.PathLike,
    output: str | os.PathLike,
    *,
    suffix: str | None = None,
    overwrite: bool = False,
    each: Callable[[Path, Completion], None] | None = None,
    **settings,
) -> Batch:
    """Complete every scan in a folder and its sub-folders; one that fails does not stop the others.

    Args:
        model: As for `complete_file`.
        folder: Where the scans are.
        output: Folder for the results, under the same relative names; it is made where it is missing.
        suffix: Extension of the results, that of each scan by default.
        overwrite: Complete again what is there already.
        each: Called with a scan's path relative to `folder` and its completion.
        **settings: Those of `Settings`.

    Raises:
        FileNotFoundError: where the model is missing.
        ValueError: where the folder holds no scan, or a setting is wrong.
    """
    from tqdm import tqdm

    folder, output, batch = Path(folder), Path(output), Batch()
    Settings(**settings)
    scans = [path for path in scans_in(folder) if output.resolve() not in path.resolve().parents]
    if not scans:
        raise ValueError(f"{folder}: holds no scan; known are {', '.join(sorted({**READERS, **MESH_READERS}))}")
    if suffix is not None and suffix not in WRITERS:
        raise ValueError(f"suffix must be one of {', '.join(sorted(WRITERS))}, got {suffix!r}")
    answer, taken = open_model(model), {}
    for scan in tqdm(scans, unit="scan", disable=None):
        target = output / scan.relative_to(folder).with_suffix(suffix or _written_as(scan))
        other = taken.setdefault(target, scan)
        try:
            if other is not scan:
                raise ValueError(f"{scan}: its result would be {target}, as that of {other}; rename one")
            if target.exists() and not overwrite:
                batch.skipped.append(target)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            done = complete_file(answer, scan, target, **settings)
            if each:
                each(scan.relative_to(folder), done)
            batch.written.append(target)
        except (ValueError, OSError) as error:
            batch.failed[scan] = str(error)
    return batch


def complete_points(
    answer: Answer, points: np.ndarray, settings: Settings | None = None, corners: np.ndarray | None = None
) -> np.ndarray:
    """The completed points `(M, 3)` of a scan `(N, 3)`, in its frame, units and dtype.

    Args:
        answer: The model.
        points: Finite points.
        settings: `normalize` and `up` of it are used.
        corners: Of the box `(8, 3)` in whose frame the points are completed.
    """
    settings = settings or Settings()
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    if (low == high).all():
        count = "it holds a single point" if len(points) == 1 else f"all its {len(points)} points are at one place"
        raise _ScanError(f"{count}; a scan needs an extent to be completed")
    if corners is not None:
        inside = answer(to_box_frame(points, corners).astype(np.float32), None)
        return from_box_frame(np.asarray(inside, np.float64), corners).astype(points.dtype)
    # Coordinates far from the origin (UTM) are moved to it in float64: models answer in float32.
    origin = np.zeros(3) if settings.normalize is None else (low + high) / 2
    turn = np.array(UPRIGHT[settings.up], np.float64)
    upright = ((points - origin) @ turn).astype(np.float32)
    return (np.asarray(answer(upright, settings.normalize), np.float64) @ turn.T + origin).astype(points.dtype)


def merged(scan: Cloud, completed: np.ndarray) -> Cloud:
    """The scan's points, then the completed ones `(M, 3)`, grey where the scan has colours; normals are left out."""
    colors = None
    if scan.colors is not None:
        colors = np.concatenate([scan.colors, np.full((len(completed), 3), NEUTRAL, np.uint8)])
    return Cloud(np.concatenate([scan.points, completed]), colors)


def write_views(
    done: Completion, title: str, page: str | os.PathLike | None = None, picture: str | os.PathLike | None = None
) -> None:
    """Write a page with a view one can turn, a PNG of the scan and its completion, or both."""
    from keras_wcd.files import replacing
    from keras_wcd.visual.pictures import clouds_png
    from keras_wcd.visual.viewer import Layer, write_page

    scan, completed = done.scan.points @ done.up, done.completed @ done.up
    if page is not None:
        write_page(page, [Layer("scan", scan, done.scan.colors), Layer("completion", completed)], title)
    if picture is not None:
        png = clouds_png([{"scan": scan, "completion": completed, "both": np.concatenate([scan, completed])}], dpi=150)
        with replacing(picture) as temporary:
            temporary.write_bytes(png)


def scans_in(folder: Path) -> Iterator[Path]:
    """Files of a format that can be read, in order, hidden ones left out."""
    known = {*READERS, *MESH_READERS}
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in known and path.is_file() and not hidden:
            yield path


def output_path(scan: Path, output: str | os.PathLike) -> Path:
    """Where the result of a scan goes: `output` with the scan's extension where it has none, or in it if a folder."""
    path = Path(output)
    if path.is_dir():
        path = path / scan.with_suffix(_written_as(scan)).name
    elif not path.suffix:
        path = path.with_name(path.name + _written_as(scan))
    if path.suffix.lower() not in WRITERS:
        known = ", ".join(sorted(WRITERS))
        raise ValueError(f"{path}: unknown extension {path.suffix!r} to write; known are {known}")
    if path.exists() and path.samefile(scan):
        raise ValueError(f"{path}: is the scan itself; give the result another name")
    return path


def open_model(model: object = None) -> Answer:
    """A model as a function, loaded once: see `complete_file` for what it may be."""
    if hasattr(model, "complete"):
        return model.complete
    if callable(model):
        return model
    path = find_model(model)
    if path.suffix == ".tflite":
        from keras_wcd.export import runtime

        completer = runtime.Completer(path)
        return lambda points, normalize: completer(points, normalize=normalize)
    return load_model(path).complete


def find_model(model: str | os.PathLike | None = None) -> Path:
    """The path of a model; by default the preset that ships, or what the demo trained where none ships.

    Raises:
        FileNotFoundError: where there is none.
    """
    from keras_wcd.models import presets

    name = SHIPPED if model is None else str(model)
    if name in presets.PRESETS:
        return presets.locate(name)
    path = DEMO_MODEL if model is None else Path(model)
    if not path.exists():
        hint = "name one with --model, or run keras-wcd demo here first" if model is None else "check the path"
        raise FileNotFoundError(f"{path}: there is no model; {hint}")
    return path


def load_model(path: Path):
    """The network of a `.keras` file or of a preset folder."""
    from keras_wcd.models import CompletionModel

    if path.is_dir():
        return CompletionModel.from_preset(path)
    import keras

    try:
        model = keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, TypeError) as error:
        raise ValueError(f"{path}: not a model that Keras can read: {str(error).splitlines()[0]}") from error
    if not isinstance(model, CompletionModel):
        raise ValueError(f"{path}: holds a {type(model).__name__}, not a completion network")
    return model


class _ScanError(ValueError):
    """What is wrong with a scan's points; whoever knows the file's name puts it in front."""


def _written_as(scan: Path) -> str:
    """The extension of a result: the scan's, or ply where the scan is a mesh."""
    return scan.suffix if scan.suffix.lower() in WRITERS else ".ply"


def _beside(box: str | os.PathLike, scan: Path) -> Path:
    box = Path(box)
    return box / f"{scan.stem}.txt" if box.is_dir() else box
