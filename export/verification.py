"""Whether an exported file answers as its model does."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from scipy.spatial import KDTree

from keras_wcd.export.clouds import each_cloud, flat
from keras_wcd.export.graph import answer
from keras_wcd.export.onnx_file import open_onnx
from keras_wcd.export.proof import DISTURBANCES, ROUNDING, TOLERANCES
from keras_wcd.export.runtime import Completer, as_cloud, selftest
from keras_wcd.export.savedmodel import open_saved_model
from keras_wcd.export.targets import is_saved_model


@dataclass(frozen=True)
class Verification:
    """How far the answers of a file lie from those of its model.

    Attributes:
        clouds: Number of clouds compared.
        largest_difference: Largest absolute difference of a coordinate, points compared by index.
        mean_difference: Mean absolute difference of the coordinates, points compared by index.
        largest_distance: Largest distance of a point of either answer to the nearest of the other, whatever the
            order of the points.
        cd_l1: CD-L1 x 1000 between the two answers, mean over the clouds.
        cd_l1_change: CD-L1 x 1000 to the truth, of the file minus of the model, mean over the clouds; None where
            no truth was given.
        tolerance: What `largest_distance` was held to.
        rounding_distance: The largest distance between the model's own answers to a cloud and to the same cloud
            disturbed by `ROUNDING`; None where the tolerance alone decided.
        rounding_cd_l1: CD-L1 x 1000 between these answers, the largest mean over the clouds of one disturbance.
    """

    clouds: int
    largest_difference: float
    mean_difference: float
    largest_distance: float
    cd_l1: float
    cd_l1_change: float | None
    tolerance: float
    rounding_distance: float | None = None
    rounding_cd_l1: float | None = None


def verify(
    model: keras.Model,
    path: str | os.PathLike,
    clouds: Iterable,
    tolerance: float | None = None,
    truth: Iterable | None = None,
) -> Verification:
    """Compare a `.tflite` or `.onnx` file or a SavedModel folder with the model it was written from.

    The answers are compared as sets: where a network selects points, rounding may change their order. It may
    also change the selection itself. Beyond the default tolerance a file is therefore compared with what rounding
    does to the model: it passes if neither the largest distance nor CD-L1 exceed those between the model's answers to
    the clouds and to the clouds disturbed by `ROUNDING` of its quantization. For a network whose answer
    depends smoothly on its input those lie far below the tolerance and change nothing; a `tolerance` that is given
    is held as it is. A `.tflite` file that holds a self-test has to pass it as well, unless a `tolerance` is given.

    Args:
        model: The model.
        path: What `to_tflite`, `to_onnx` or `to_saved_model` wrote.
        clouds: Partial clouds `(N, 3)` or `(B, N, 3)` in the model's frame; resampled to the size the file takes.
        tolerance: Largest distance of a point to the nearest of the other answer; by default the effect of rounding or
            1e-4, for float16 1e-2, for dynamic 5e-2, for int8 1e-1, for dynamic4 2e-1.
        truth: Complete clouds in the order of `clouds`, to report the change in CD-L1 as well.

    Raises:
        ValueError: beyond the tolerance, where the answers have different shapes or are not finite, or for wrong
            input.
    """
    exported, points_in, quantization = _open(path, prove=tolerance is None)
    truth = None if truth is None else [as_cloud(points) for points in flat(truth)]
    answers, rows = [], []
    for i, points in enumerate(each_cloud(clouds, "clouds", points_in)):
        if truth is not None and i >= len(truth):
            raise ValueError(f"truth must hold one cloud for each of clouds, got {len(truth)}")
        expected = keras.ops.convert_to_numpy(answer(model, points))[0]
        answers.append((points, expected))
        found = exported(points)
        rows.append(_compare(expected, found, None if truth is None else truth[i], f"cloud {i} of {os.fspath(path)!r}"))
    if truth is not None and len(truth) != len(rows):
        raise ValueError(f"truth must hold one cloud for each of clouds ({len(rows)}), got {len(truth)}")
    largest, mean, distance, cd_l1, change = np.array(rows, np.float64).T
    report = Verification(
        clouds=len(rows),
        largest_difference=float(largest.max()),
        mean_difference=float(mean.mean()),
        largest_distance=float(distance.max()),
        cd_l1=float(cd_l1.mean()),
        cd_l1_change=None if truth is None else float(change.mean()),
        tolerance=TOLERANCES[quantization] if tolerance is None else tolerance,
    )
    if tolerance is None and not report.largest_distance <= report.tolerance:
        far, cd_l1 = _effect_of_rounding(model, answers, ROUNDING[quantization])
        report = replace(report, rounding_distance=far, rounding_cd_l1=cd_l1)
    _judge(report, path)
    return report


def _effect_of_rounding(
    model: keras.Model, answers: list[tuple[np.ndarray, np.ndarray]], scale: float
) -> tuple[float, float]:
    """Largest distance and CD-L1 x 1000 between a model's answers to clouds and to those disturbed by `scale`."""
    rng = np.random.default_rng(0)
    rows = np.empty((DISTURBANCES, len(answers), 2))
    for trial in range(DISTURBANCES):
        for i, (points, expected) in enumerate(answers):
            disturbed = points + rng.normal(scale=scale, size=points.shape).astype(points.dtype)
            found = keras.ops.convert_to_numpy(answer(model, disturbed))[0]
            rows[trial, i] = _compare(expected, found, None, "the model")[2:4]
    return float(rows[..., 0].max()), float(rows[..., 1].mean(axis=1).max())


def _judge(report: Verification, path: str | os.PathLike) -> None:
    if report.largest_distance <= report.tolerance:
        return
    rounding = ""
    if report.rounding_distance is not None and report.rounding_cd_l1 is not None:
        if report.largest_distance <= report.rounding_distance and report.cd_l1 <= report.rounding_cd_l1:
            return
        rounding = (
            f"; rounding of the input alone moves the model's answer by {report.rounding_distance:.3g} "
            f"({report.rounding_cd_l1:.3g})"
        )
    excess = report.largest_distance - report.tolerance
    raise ValueError(
        f"{os.fspath(path)!r} differs from the model by {report.largest_distance:.3g} (CD-L1 x 1000: "
        f"{report.cd_l1:.3g}), which is {excess:.3g} beyond the tolerance {report.tolerance:g}{rounding}"
    )


def _open(path: str | os.PathLike, prove: bool) -> tuple[Callable, int, str | None]:
    """The exported function from `(1, N, 3)` to `(M, 3)`, its N and its quantization."""
    if is_saved_model(path) or Path(path).suffix.lower() == ".onnx":
        exported, points_in = open_saved_model(path) if is_saved_model(path) else open_onnx(path)
        return lambda points: exported(points)[0], points_in, None
    file = Completer(path)
    if prove and "proof" in file.metadata:
        selftest(path)
    return lambda points: file.model(points[0]), file.model.points_in, file.metadata["quantization"]


def _compare(expected: np.ndarray, found: np.ndarray, truth: np.ndarray | None, where: str) -> tuple:
    if expected.shape != found.shape:
        raise ValueError(f"{where}: the model answers with shape {expected.shape}, the file with {found.shape}")
    for name, points in (("model", expected), ("file", found)):
        if not np.isfinite(points).all():
            raise ValueError(f"{where}: the answer of the {name} is not finite")
    difference = np.abs(expected.astype(np.float64) - found)
    there, back = _distances(expected, found)
    change = np.nan if truth is None else _cd_l1(truth, found) - _cd_l1(truth, expected)
    return difference.max(), difference.mean(), max(there.max(), back.max()), _cd_l1(expected, found), change


def _cd_l1(x: np.ndarray, y: np.ndarray) -> float:
    there, back = _distances(x, y)
    return 1000 * (there.mean() + back.mean()) / 2


def _distances(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return KDTree(y).query(x)[0], KDTree(x).query(y)[0]
