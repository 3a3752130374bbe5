"""Complete a point cloud with an exported `.tflite` file: NumPy and ai-edge-litert are all this module needs.

It may be copied alone to a device:

    python runtime.py model.tflite scan.npy completed.ply

The rule for a scan is that of `keras_wcd.frames`, stated once more: the same scan gives the same input, bit by bit.
"""

import argparse
import functools
import json
import mmap
import os
import struct
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
        The cloud `(M, 3)`: float32 for points of float32 or float16, float64 for any others.

    Raises:
        ValueError: where the file is missing, damaged or without metadata, or `points` is no finite cloud.
    """
    return Completer(tflite_path, threads=threads)(points, normalize=normalize)


class Completer:
    """An open `.tflite` file, for many clouds; called as `complete` is."""

    def __init__(self, tflite_path: str | os.PathLike, *, threads: int | None = None):
        self.path = os.fspath(tflite_path)
        self.model = Model(tflite_path, threads=threads)

    @functools.cached_property
    def metadata(self) -> dict:
        """As `read_metadata`; needed for a cloud that is not in the network's frame yet."""
        return _metadata(self.path)

    def __call__(self, points: np.ndarray, *, normalize: str | None = "partial") -> np.ndarray:
        points = as_cloud(points)
        center, scale = self._frame(points, normalize)
        with np.errstate(over="ignore"):
            framed = ((_thinned(points, self.model.points_in) - center) / scale).astype(np.float32)
        if not np.isfinite(framed).all():
            raise ValueError("points do not fit into float32 in the network's frame; normalize them")
        answer = self.model(resample(framed, self.model.points_in)).astype(np.float64)
        if not np.isfinite(answer).all():
            raise ValueError("the network's answer is not finite: the weights in the file are not")
        return (answer * scale + center).astype(points.dtype)

    def _frame(self, points: np.ndarray, normalize: str | None) -> tuple[np.ndarray, float]:
        """The point `(3,)` that becomes the origin, float64, and the length that becomes 1."""
        if normalize not in NORMALIZATIONS:
            raise ValueError(f"normalize must be one of {NORMALIZATIONS}, got {normalize!r}")
        if normalize is None:
            return np.zeros(3), 1.0
        center, diagonal = bounding_box(points)
        seen = self.metadata["normalization"]["seen"] if normalize == "partial" else 1.0
        # A single point has no size: its completion keeps the frame's.
        return center, diagonal / seen / self.metadata["frame"]["diagonal"] or 1.0


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
    open_model(tflite_path)
    return _metadata(tflite_path)


def _metadata(tflite_path: str | os.PathLike) -> dict:
    """The record of a file that an interpreter has opened, which has checked it."""
    path = os.fspath(tflite_path)
    try:
        written = _written(Path(path).read_bytes())
        record = None if written is None else json.loads(written)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, struct.error) as error:
        # LiteRT checks what it computes with; what it carries may be anything.
        raise ValueError(f"{path!r} has damaged metadata: {str(error)[:200]}") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path!r} carries no keras-wcd metadata; write it with keras_wcd.export.to_tflite")
    return record


def _written(content: bytes) -> bytes | None:
    """The library's entry in the metadata of a file, as it is written there."""
    model = schema.Model.GetRootAs(content)
    for entry in (model.Metadata(i) for i in range(model.MetadataLength())):
        if entry.Name() == METADATA.encode():
            return model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    return None


def open_model(tflite_path: str | os.PathLike, threads: int | None = None) -> Interpreter:
    """The interpreter of a file that exists and is whole: LiteRT checks every offset in it."""
    path = _existing(tflite_path)
    if not _has_graph(path):
        raise ValueError(f"{path!r} is not a LiteRT model, or it is damaged: it holds no graph")
    try:
        return Interpreter(model_path=path, num_threads=threads)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path!r} is not a LiteRT model, or it is damaged: {error}") from error


def _has_graph(path: str) -> bool:
    """Whether a file names a graph: LiteRT checks what is named, and follows what is not to nowhere."""
    if not os.path.getsize(path):
        return False
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return schema.Model.GetRootAs(content).SubgraphsLength() > 0
        except (ValueError, LookupError, TypeError, OverflowError, struct.error):
            return False


def as_cloud(points: np.ndarray) -> np.ndarray:
    """`points` as a finite `(N, 3)` array, N >= 1; ValueError otherwise.

    float32 and narrower floats become float32, all other numbers float64, which holds integers up to 2^53 as they are.
    """
    try:
        points = np.asarray(points)
    except (TypeError, ValueError) as error:
        raise ValueError(f"points must be numbers of shape (N, 3): {error}") from error
    if points.ndim != 2 or points.shape[1] != 3:
        hint = "; transpose it" if points.ndim == 2 and points.shape[0] == 3 else ""
        raise ValueError(f"points must have shape (N, 3), got {points.shape}{hint}")
    if not len(points):
        raise ValueError("points is empty; at least one point is needed")
    if points.dtype.kind not in "iuf":
        raise ValueError(f"points must be numbers of shape (N, 3), got dtype {points.dtype}")
    points = points.astype(np.float32 if points.dtype in (np.float16, np.float32) else np.float64, copy=False)
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if bad.size:
        raise ValueError(f"points must be finite, but {bad.size} of {len(points)} are not (first: row {bad[0]})")
    return points


def bounding_box(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Center `(3,)` and length of the diagonal of the box around a cloud `(N, 3)`, float64."""
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        x, y, z = high - low
        diagonal = float(np.sqrt(x * x + y * y + z * z))
    if not np.isfinite(diagonal):
        raise ValueError("points must be finite and within the range of float64")
    return (low + high) / 2, diagonal


def resample(points: np.ndarray, count: int) -> np.ndarray:
    """`count` points of a cloud `(N, 3)`, the same at every call.

    Fewer are repeated, evenly over the cloud and in order; more are thinned by farthest point sampling, after every
    k-th was taken where there are more than 8 for each that is kept.
    """
    points = _thinned(as_cloud(points), count)
    return points[_spread(len(points), count) if len(points) <= count else farthest_points(points, count)]


def farthest_points(points: np.ndarray, count: int) -> np.ndarray:
    """Indices of `count` points, each the farthest from those before it; the first is 0, ties go to the lowest."""
    x, y, z = np.ascontiguousarray(points.T)
    chosen = np.zeros(count, np.int64)
    distance = np.full(len(points), np.inf, points.dtype)
    for i in range(1, count):
        last = chosen[i - 1]
        # Squares are summed in this order everywhere: another one rounds otherwise, and chooses other points.
        square = (x - x[last]) ** 2 + (y - y[last]) ** 2 + (z - z[last]) ** 2
        np.minimum(distance, square, out=distance)
        chosen[i] = distance.argmax()
    return chosen


def _thinned(points: np.ndarray, count: int) -> np.ndarray:
    """A cloud that is too large for farthest point sampling as 8 `count` of its points, evenly spaced by index."""
    most = CANDIDATES * count
    return points[_spread(len(points), most)] if len(points) > most else points


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
    suffix = Path(path).suffix.lower()
    try:
        if suffix == ".npy":
            return np.load(path, allow_pickle=False)
        return np.loadtxt(path, delimiter="," if suffix == ".csv" else None, usecols=(0, 1, 2), ndmin=2)
    except Exception as error:
        # The header of a .npy file is a Python expression, which fails to parse in many ways.
        raise ValueError(f"{path!r} cannot be read as points: {str(error)[:200]}") from error


def _npy(file, points: np.ndarray) -> None:
    np.save(file, points)


def _ply(file, points: np.ndarray) -> None:
    """Binary ply, of doubles where the points are."""
    kind = "double" if points.dtype == np.float64 else "float"
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    header += [*(f"property {kind} {axis}" for axis in "xyz"), "end_header", ""]
    file.write("\n".join(header).encode())
    file.write(points.astype(points.dtype.newbyteorder("<")).tobytes())


WRITERS = {".npy": _npy, ".ply": _ply}
"""Formats of results, by the extension of the name."""


def _writable(path: str) -> str:
    """`path`, where a result can be written there; said before the work is done."""
    folder = Path(path).parent
    if Path(path).suffix.lower() not in WRITERS:
        raise ValueError(f"{path!r}: the result must be called {' or '.join('*' + suffix for suffix in WRITERS)}")
    if Path(path).is_dir():
        raise ValueError(f"{path!r} is a folder; give the name of a file in it")
    if not folder.is_dir():
        raise ValueError(f"{path!r}: there is no folder {str(folder)!r}; create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{path!r}: the folder {str(folder)!r} cannot be written to")
    return path


def _write(path: str, points: np.ndarray) -> None:
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        WRITERS[Path(path).suffix.lower()](file, points)
    os.replace(partial, path)


def main(arguments: list[str] | None = None) -> int:
    """Complete one file from the shell; 2 where the user's input is at fault."""
    parser = argparse.ArgumentParser(prog="runtime.py", description="Complete a point cloud with a .tflite file.")
    parser.add_argument("model", help="file written by keras_wcd.export.to_tflite")
    parser.add_argument("scan", help="partial cloud: .npy of shape (N, 3), or text with three numbers a line")
    parser.add_argument("out", help="file to write, .npy or .ply (binary)")
    parser.add_argument("--threads", type=int, default=None)
    given = parser.parse_args(arguments)
    try:
        out = _writable(given.out)
        _write(out, complete(given.model, _read(given.scan), threads=given.threads))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
