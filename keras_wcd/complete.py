"""From scans on disk to their completions on disk, with any trained model."""

import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import InitVar, asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_wcd.data.artifacts import Artifact, find_artifacts, without_artifacts
from keras_wcd.data.datasets.kitti_boxes import from_box_frame, read_box, to_box_frame
from keras_wcd.data.io.arrays import PARTIAL
from keras_wcd.data.io.cloud import Cloud
from keras_wcd.data.io.formats import MESH_READERS, READERS, WRITERS, read_cloud, write_cloud
from keras_wcd.files import replacing, writable
from keras_wcd.frames import UPRIGHT, precision, turned_back, upright
from keras_wcd.predictors import Complete, model_digest, open_model
from keras_wcd.record import Record

NEUTRAL = (160, 160, 160)
"""Color of completed points among measured ones that have colors."""
TEXTS = (".txt", ".csv", ".tsv", ".asc", ".dat")
"""Extensions of clouds that other texts have too: a file without a line of three numbers is none of ours."""

NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+|nan|inf)(?:e[-+]?\d+)?"
ROW = re.compile(rf"(?:^|[,;\s]){NUMBER}(?:[,;\s]+{NUMBER}){{2}}(?:$|[,;\s])", re.IGNORECASE)
"""Three numbers, one after the other."""


@dataclass(frozen=True)
class Settings:
    """How scans are completed.

    Attributes:
        normalize: As in `CompletionModel.complete`: `"partial"`, `"bbox"` or None.
        up: The scan's axis that points up: `"x"`, `"y"` or `"z"`. Networks see it as y.
        keep_partial: Put the measured points before the completed ones, with their colors.
        kitti_box: A text file with the 8 corners of a KITTI box, or a folder of such files that are called as the
            scans. The points are completed in the box's frame
            (`keras_wcd.data.datasets.kitti_boxes`), whose z is up, and put back; `normalize` and `up` are not used
            then.
        dataset: The array of an npz or h5 file.
        index: The row of an array `(B, N, 3)` of an npy, npz or h5 file.
        clean: Drop what `keras_wcd.data.artifacts.find_artifacts` finds before the scan is completed; otherwise there
            is a warning of it.
    """

    normalize: str | None = "partial"
    up: str = "y"
    keep_partial: bool = False
    kitti_box: str | os.PathLike | None = None
    dataset: str | None = None
    index: int | None = None
    clean: bool = False
    box: InitVar[str | os.PathLike | None] = None

    def __post_init__(self, box: str | os.PathLike | None):
        if box is not None:
            object.__setattr__(self, "kitti_box", _renamed(box, self.kitti_box))
        if self.up not in UPRIGHT:
            raise ValueError(f"up must be one of {', '.join(UPRIGHT)}, got {self.up!r}")


class Completion(NamedTuple):
    """What became of one scan.

    Attributes:
        path: The file that was written.
        scan: What was measured, without what `clean` dropped.
        completed: The model's points `(M, 3)`, in the frame and units of the scan.
        cloud: What was written: `completed`, after the scan's points where these are kept.
        up: Rotation `(3, 3)` of row vectors that turns the scan upright.
        artifacts: What the file holds beside the object and sets its frame; `clean` dropped it.
    """

    path: Path
    scan: Cloud
    completed: np.ndarray
    cloud: Cloud
    up: np.ndarray
    artifacts: tuple[Artifact, ...] = ()


class ArtifactWarning(UserWarning):
    """A scan was completed with points that are not its object's and decide its place and size."""


@dataclass
class FolderResult:
    """What became of a folder of files.

    Attributes:
        written: Results that were made now.
        skipped: Results that were there already.
        failed: Scans that could not be completed, and why.
        passed_over: Files that are no scans, and why.
        artifacts: What scans that were completed now hold beside the object, where they do.
    """

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    passed_over: dict[Path, str] = field(default_factory=dict)
    artifacts: dict[Path, tuple[Artifact, ...]] = field(default_factory=dict)

    def reasons(self) -> dict[str, int]:
        """For every reason how many files were passed over."""
        return dict(Counter(self.passed_over.values()).most_common())

    def in_words(self) -> str:
        """The reasons on one line: `unknown extension .md (2), no extension (1)`."""
        return ", ".join(f"{why} ({count})" for why, count in self.reasons().items())

    def kinds(self) -> dict[str, int]:
        """For every kind of artifact in how many scans it was found."""
        found = ({artifact.kind for artifact in artifacts} for artifacts in self.artifacts.values())
        return dict(Counter(kind for kinds in found for kind in sorted(kinds)).most_common())


def complete_file(model: object, scan: str | os.PathLike, output: str | os.PathLike, **settings) -> Completion:
    """Read a scan, complete it in its own frame and units, and write the result.

    Args:
        model: Anything that `keras_wcd.predictors.open_model` opens: a `.keras` file, a preset's name or folder, a
            `.tflite` file, a SavedModel folder, a Keras model, or a function from points and a normalization to
            points; None takes the preset that ships, else what the demo trained.
        scan: A file that `read_cloud` knows.
        output: A file that `write_cloud` knows; without an extension it gets that of the scan. An existing
            folder gets a file that is called as the scan.
        **settings: Those of `Settings`.

    Warns:
        ArtifactWarning: where the scan holds artifacts and `clean` is not set: what, how many, and what to do.

    Raises:
        FileNotFoundError: where the scan, the model or the box is missing.
        PermissionError: where the output's folder takes no new file.
        ValueError: naming the file, where one cannot be read or written, the scan has no extent, or the output
            is the scan itself.
    """
    scan = Path(scan)
    return _complete_file(model, scan, output_path(scan, output), _settings(settings))


def complete_folder(
    model: object,
    folder: str | os.PathLike,
    output: str | os.PathLike,
    *,
    suffix: str | None = None,
    overwrite: bool = False,
    each: Callable[[Path, Completion], None] | None = None,
    **settings,
) -> FolderResult:
    """Complete every scan in a folder and its sub-folders; one that fails does not stop the others.

    A record beside the results (`keras_wcd.record`) holds the settings and the model that each was made with.

    Args:
        model: As for `complete_file`.
        folder: Where the scans are.
        output: Folder for the results, under the same relative names; it is made where it is missing.
        suffix: Extension of the results, that of each scan by default.
        overwrite: Complete again what is there already.
        each: Called with a scan's path relative to `folder` and its completion.
        **settings: Those of `Settings`.

    Warns:
        ArtifactWarning: for every scan that holds artifacts, unless `clean` is set.

    Raises:
        FileNotFoundError: where the model is missing.
        PermissionError: where the output's folder takes no new file.
        ValueError: where the folder holds no scan, a setting is wrong, or results are there that were made with other
            settings or another model.
    """
    from tqdm import tqdm

    settings, folder, output = _settings(settings), Path(folder), writable(output, folder=True)
    if suffix is not None and suffix not in WRITERS:
        raise ValueError(f"suffix must be one of {', '.join(sorted(WRITERS))}, got {suffix!r}")
    scans, batch = _scans_outside(output, folder)
    targets = {scan: output / scan.relative_to(folder).with_suffix(suffix or _written_as(scan)) for scan in scans}
    made_with = _made_with(settings, model)
    record = Record(output)
    record.begin(filter(Path.exists, targets.values()), made_with, overwrite)
    answer, taken = open_model(model), {}
    try:
        for scan, target in tqdm(targets.items(), unit="scan", disable=None):
            try:
                other = taken.setdefault(target, scan)
                if other is not scan:
                    raise ValueError(f"{scan}: its result would be {target}, as that of {other}; rename one")
                if target.exists() and not overwrite:
                    batch.skipped.append(target)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                done = _complete_file(answer, scan, target, settings)
                record.add(target, made_with)
                if each:
                    each(scan.relative_to(folder), done)
                batch.written.append(target)
                if done.artifacts:
                    batch.artifacts[scan] = done.artifacts
            except (ValueError, OSError) as error:
                if _is_prose(scan):
                    batch.passed_over[scan] = "no line of three numbers"
                else:
                    batch.failed[scan] = str(error)
    finally:
        record.write()
    return batch


def complete_points(
    answer: Complete, points: np.ndarray, settings: Settings | None = None, corners: np.ndarray | None = None
) -> np.ndarray:
    """The completed points `(M, 3)` of a scan `(N, 3)`, in its frame and units.

    Args:
        answer: The model.
        points: Finite points.
        settings: `normalize` and `up` of it are used.
        corners: Of the KITTI box `(8, 3)` in whose frame the points are completed.

    Returns:
        float32 for points of float32 or float16, else float64.
    """
    settings, points = settings or Settings(), np.asarray(points)
    if (points == points[:1]).all():
        count = "it holds a single point" if len(points) == 1 else f"all its {len(points)} points are at one place"
        raise _ScanError(f"{count}; a scan needs an extent to be completed")
    if corners is not None:
        inside = answer(to_box_frame(points, corners), None)
        completed = from_box_frame(np.asarray(inside, np.float64), corners)
    else:
        completed = turned_back(answer(upright(points, settings.up), settings.normalize), settings.up)
    return completed.astype(precision(points), copy=False)


def merged(scan: Cloud, completed: np.ndarray) -> Cloud:
    """The scan's points, then the completed ones `(M, 3)`, gray where the scan has colors; normals are left out."""
    colors = None
    if scan.colors is not None:
        colors = np.concatenate([scan.colors, np.full((len(completed), 3), NEUTRAL, np.uint8)])
    return Cloud(np.concatenate([scan.points, completed]), colors)


def write_views(
    done: Completion, title: str, page: str | os.PathLike | None = None, picture: str | os.PathLike | None = None
) -> None:
    """Write a page with a view one can turn, a PNG of the scan and its completion, or both."""
    from keras_wcd.visual.pictures import clouds_png
    from keras_wcd.visual.viewer import Layer, write_page

    scan, completed = done.scan.points @ done.up, done.completed @ done.up
    if page is not None:
        write_page(page, [Layer("scan", scan, done.scan.colors), Layer("completion", completed)], title)
    if picture is not None:
        png = clouds_png([{"scan": scan, "completion": completed, "both": np.concatenate([scan, completed])}], dpi=150)
        with replacing(picture) as temporary:
            temporary.write_bytes(png)


def scans_in(folder: str | os.PathLike) -> tuple[list[Path], dict[Path, str]]:
    """Files of a folder and its sub-folders, hidden ones left out: scans in order, and why the others are none."""
    folder, scans, others = Path(folder), [], {}
    known = {*READERS, *MESH_READERS}
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or not path.is_file():
            continue
        if path.suffix.lower() in known:
            scans.append(path)
        else:
            others[path] = f"unknown extension {path.suffix.lower()}" if path.suffix else "no extension"
    return scans, others


def _scans_outside(output: Path, folder: Path) -> tuple[list[Path], FolderResult]:
    """The scans of a folder, results that lie in it left out, and a result that counts what is passed over."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder")

    def outside(path: Path) -> bool:
        return output.resolve() not in path.resolve().parents

    scans, others = scans_in(folder)
    scans = list(filter(outside, scans))
    batch = FolderResult(passed_over={path: why for path, why in others.items() if outside(path)})
    if not scans:
        known = ", ".join(sorted({**READERS, **MESH_READERS}))
        others = f", but files of {batch.in_words()}" if batch.passed_over else ""
        raise ValueError(f"{folder}: holds no scan{others}; known are {known}")
    return scans, batch


def output_path(scan: Path, output: str | os.PathLike) -> Path:
    """Where the result of a scan goes: `output` with the scan's extension where it has none, or in it if a folder.

    Raises:
        ValueError: where that is no file that can be written, or the scan itself.
        PermissionError: where its folder takes no new file.
    """
    path = Path(output)
    if path.is_dir():
        path = path / scan.with_suffix(_written_as(scan)).name
    elif not path.suffix and str(path) != "-":
        path = path.with_name(path.name + _written_as(scan))
    writable(path)
    if path.suffix.lower() not in WRITERS:
        known = ", ".join(sorted(WRITERS))
        raise ValueError(f"{path}: unknown extension {path.suffix!r} to write; known are {known}")
    if path.exists() and scan.exists() and path.samefile(scan):
        raise ValueError(f"{path}: is the scan itself; give the result another name")
    return path


def _complete_file(model: object, scan: Path, path: Path, settings: Settings) -> Completion:
    cloud = read_cloud(scan, dataset=settings.dataset, index=settings.index, prefer=PARTIAL)
    corners = None if settings.kitti_box is None else read_box(_beside(settings.kitti_box, scan))
    artifacts = tuple(find_artifacts(cloud.points))
    if settings.clean:
        cloud = cloud.select(without_artifacts(len(cloud), artifacts))
    elif artifacts:
        warnings.warn(in_words(scan, artifacts), ArtifactWarning, stacklevel=3)
    try:
        completed = complete_points(open_model(model), cloud.points, settings, corners)
    except _ScanError as error:
        raise ValueError(f"{scan}: {error}") from None
    result = merged(cloud, completed) if settings.keep_partial else Cloud(completed)
    write_cloud(path, result)
    up = np.array(UPRIGHT["z" if settings.kitti_box else settings.up])
    return Completion(path, cloud, completed, result, up, artifacts)


def in_words(scan: Path, artifacts: Sequence[Artifact], *, clean: bool = False) -> str:
    """One line on the artifacts of a scan: what was dropped, or what to do."""
    found = "; ".join(map(str, artifacts))
    if clean:
        return f"{scan}: dropped {found}"
    return f"{scan}: {found}; the scan is completed with them in it: drop them, or let --clean (clean=True) do it"


def _made_with(settings: Settings, model: object) -> dict[str, Any]:
    """What a record keeps of a result; without `clean` where it is not set, as in records of before it was there."""
    found = {**asdict(settings), "model": model_digest(model)}
    return found if settings.clean else {name: value for name, value in found.items() if name != "clean"}


def _settings(given: dict[str, Any]) -> Settings:
    """The settings of a call, under their names of before as well."""
    if given.get("box") is not None:
        given = {**given, "kitti_box": _renamed(given["box"], given.get("kitti_box"))}
    return Settings(**{name: value for name, value in given.items() if name != "box"})


def _renamed(box: str | os.PathLike, kitti_box: str | os.PathLike | None) -> str | os.PathLike:
    """The value of `box`, under the name that it has now."""
    # Two calls lie between here and the user's, whether through `Settings` or through `complete_file`.
    warnings.warn("box is called kitti_box now, and goes with the next release", FutureWarning, stacklevel=4)
    if kitti_box is not None:
        raise ValueError("box and kitti_box are the same setting; give kitti_box alone")
    return box


class _ScanError(ValueError):
    """What is wrong with a scan's points; whoever knows the file's name puts it in front."""


def _written_as(scan: Path) -> str:
    """The extension of a result: the scan's, or ply where the scan is a mesh."""
    return scan.suffix if scan.suffix.lower() in WRITERS else ".ply"


def _beside(box: str | os.PathLike, scan: Path) -> Path:
    box = Path(box)
    return box / f"{scan.stem}.txt" if box.is_dir() else box


def _is_prose(path: Path) -> bool:
    """Whether a file is a text, of a name that clouds share with others, without a line of three numbers."""
    if path.suffix.lower() not in TEXTS:
        return False
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return any(map(str.strip, lines)) and not any(map(ROW.search, lines))
