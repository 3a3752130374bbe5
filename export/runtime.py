"""Complete a point cloud with an exported `.tflite` file: NumPy and ai-edge-litert are all this module needs.

It may be copied alone to a device:

    python runtime.py model.tflite scan.npy completed.npy
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

METADATA = "keras_wcd"
"""Name of the library's entry in a file's metadata."""
NORMALIZATIONS = ("partial", "bbox", None)
CANDIDATES = 8
"""Farthest point sampling looks at no more than this many points for each that it keeps."""


def complete(
    tflite_path: str | os.PathLike,
    points: np.ndarray,
    *,
    normalize: str | None = "partial",
    threads: int | None = None,
) -> np.ndarray:
    """The completed cloud of a partial one, in the same frame and units.

    Args:
        tflite_path: File written by `keras_wcd.export.to_tflite`.
        points: Partial cloud `(N, 3)` of any N >= 1. Its axes must be those of the file's metadata (`frame`:
            y up, front +x for the library's networks); its place and size are free.
        normalize: `"partial"` moves the cloud's bounding box to the origin and scales its diagonal to what a
            view of a whole shape spans of the file's frame, and takes the answer back; `"bbox"` scales it to
            the frame itself; `None` leaves the cloud as it is.
        threads: Threads of the interpreter, LiteRT's own choice by default.

    Returns:
        The cloud `(M, 3)` in float32.

    Raises:
        ValueError: where the file is missing, damaged or without metadata, or `points` is no finite cloud.
    """
    return Completer(tflite_path, threads=threads)(points, normalize=normalize)


class Completer:
    """An open `.tflite` file, for many clouds; called as `complete` is."""

    def __init__(self, tflite_path: str | os.PathLike, *, threads: int | None = None):
        self.metadata = read_metadata(tflite_path)
        self.model = Model(tflite_path, threads=threads)

    def __call__(self, points: np.ndarray, *, normalize: str | None = "partial") -> np.ndarray:
        if normalize not in NORMALIZATIONS:
            raise ValueError(f"normalize must be one of {NORMALIZATIONS}, got {normalize!r}")
        points = as_cloud(points)
        center, scale = np.zeros(3), 1.0
        if normalize:
            center, diagonal = bounding_box(points)
            seen = self.metadata["normalization"]["seen"] if normalize == "partial" else 1.0
            # A single point has no size: its completion keeps the frame's.
            scale = diagonal / seen / self.metadata["frame"]["diagonal"] or 1.0
        answer = self.model(resample((points - center) / scale, self.metadata["points_in"]))
        return (answer * scale + center).astype(np.float32)


class Model:
    """The interpreter of a file: a cloud `(N, 3)` of exactly `points_in` points in, the answer `(M, 3)` out."""

    def __init__(self, tflite_path: str | os.PathLike, *, threads: int | None = None):
        path = os.fspath(tflite_path)
        self._interpreter = open_model(path, threads)
        try:
            self._interpreter.allocate_tensors()
        except RuntimeError as error:
            raise ValueError(f"{path!r} does not run here: {error}") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        shape = tuple(int(n) for n in inputs[0]["shape"])
        if len(inputs) != 1 or len(shape) != 3 or shape[0] != 1 or shape[2] != 3:
            raise ValueError(f"{path!r} must take one cloud (1, N, 3), but its first input has shape {shape}")
        self.points_in = shape[1]
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input, np.asarray(points, np.float32)[None])
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)[0]


def read_metadata(tflite_path: str | os.PathLike) -> dict:
    """The record that an exported file carries: points in and out, normalization, frame, backbone, loss, version.

    Raises:
        ValueError: where the file is missing, damaged or carries none.
    """
    path = os.fspath(tflite_path)
    open_model(path)
    model = schema.Model.GetRootAs(Path(path).read_bytes())
    for entry in (model.Metadata(i) for i in range(model.MetadataLength())):
        if entry.Name() == METADATA.encode():
            return json.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    raise ValueError(f"{path!r} carries no keras-wcd metadata; write it with keras_wcd.export.to_tflite")


def open_model(tflite_path: str | os.PathLike, threads: int | None = None) -> Interpreter:
    """The interpreter of a file that exists and is whole: LiteRT checks every offset in it."""
    path = _existing(tflite_path)
    try:
        return Interpreter(model_path=path, num_threads=threads)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path!r} is not a LiteRT model, or it is damaged: {error}") from error


def as_cloud(points: np.ndarray) -> np.ndarray:
    """`points` as a finite `(N, 3)` array in float64, N >= 1; ValueError otherwise."""
    try:
        points = np.asarray(points, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"points must be numbers of shape (N, 3): {error}") from error
    if points.ndim != 2 or points.shape[1] != 3:
        hint = "; transpose it" if points.ndim == 2 and points.shape[0] == 3 else ""
        raise ValueError(f"points must have shape (N, 3), got {points.shape}{hint}")
    if not len(points):
        raise ValueError("points is empty; at least one point is needed")
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if bad.size:
        raise ValueError(f"points must be finite, but {bad.size} of {len(points)} are not (first: row {bad[0]})")
    return points


def bounding_box(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Center `(3,)` and length of the diagonal of the box around a cloud `(N, 3)`."""
    low, high = points.min(axis=0), points.max(axis=0)
    return (low + high) / 2, float(np.linalg.norm(high - low))


def resample(points: np.ndarray, count: int) -> np.ndarray:
    """`count` points of a cloud `(N, 3)` in float32, the same at every call.

    Fewer are repeated, evenly over the cloud; more are thinned by farthest point sampling, after every k-th
    was taken where there are far too many.
    """
    points = as_cloud(points)
    if len(points) > CANDIDATES * count:
        points = points[_spread(len(points), CANDIDATES * count)]
    chosen = _spread(len(points), count) if len(points) <= count else farthest_points(points, count)
    return points[chosen].astype(np.float32)


def farthest_points(points: np.ndarray, count: int) -> np.ndarray:
    """Indices of `count` points, each the farthest from those before it; the first is 0."""
    axes = np.ascontiguousarray(points.T, np.float32)
    chosen = np.zeros(count, np.int64)
    distance = np.full(len(points), np.inf, np.float32)
    for i in range(1, count):
        difference = axes - axes[:, chosen[i - 1], None]
        np.minimum(distance, np.einsum("cn,cn->n", difference, difference), out=distance)
        chosen[i] = distance.argmax()
    return chosen


def _spread(size: int, count: int) -> np.ndarray:
    """`count` indices below `size`, evenly spaced and in order."""
    return np.arange(count) * size // count


def _existing(path: str | os.PathLike) -> str:
    if not Path(path).is_file():
        raise ValueError(f"no such file: {os.fspath(path)!r}")
    return os.fspath(path)


def _read(path: str) -> np.ndarray:
    """A cloud from a `.npy` file, or from text with three numbers a line."""
    _existing(path)
    try:
        if path.endswith(".npy"):
            return np.load(path, allow_pickle=False)
        return np.loadtxt(path, delimiter="," if path.endswith(".csv") else None, usecols=(0, 1, 2), ndmin=2)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path!r} cannot be read as points: {error}") from error


def _write(path: str, points: np.ndarray) -> None:
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        np.save(file, points)
    os.replace(partial, path)


def main(arguments: list[str] | None = None) -> int:
    """Complete one file from the shell; 2 where the user's input is at fault."""
    parser = argparse.ArgumentParser(prog="runtime.py", description="Complete a point cloud with a .tflite file.")
    parser.add_argument("model", help="file written by keras_wcd.export.to_tflite")
    parser.add_argument("scan", help="partial cloud: .npy of shape (N, 3), or text with three numbers a line")
    parser.add_argument("out", help=".npy file to write")
    parser.add_argument("--threads", type=int, default=None)
    given = parser.parse_args(arguments)
    try:
        _write(given.out, complete(given.model, _read(given.scan), threads=given.threads))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
