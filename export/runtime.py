"""Complete a point cloud with an exported `.tflite` file: NumPy and ai-edge-litert are all this module needs.

It may be copied alone to a device:

    python runtime.py model.tflite scan.pcd completed.ply
    python runtime.py model.tflite scans/ -o completed/
    find scans/ -name '*.pcd' | python runtime.py model.tflite - -o completed/
    python runtime.py model.tflite --watch scans/ -o completed/
    python runtime.py --selftest model.tflite

The rule for a scan is that of `keras_wcd.frames`, stated once more: the same scan gives the same input, bit by bit.
"""

import argparse
import base64
import contextlib
import functools
import hashlib
import io
import json
import mmap
import os
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

METADATA = "keras_wcd"
"""Name of the library's entry in a file's metadata."""
NORMALIZATIONS = ("partial", "bbox", None)
BLANK = "0" * 64
"""What stands in a file's record for its SHA-256 while that is taken."""
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


def selftest(tflite_path: str | os.PathLike, *, threads: int | None = None) -> str:
    """Hold a file to its checksum, and what it computes here to the answer of the network that it was written from.

    Returns:
        A line that says what was found.

    Raises:
        ValueError: naming what is wrong: a missing or damaged file, one without checksum and answer, or an answer that
            is another here.
    """
    path, record = os.fspath(tflite_path), read_metadata(tflite_path)
    proof, written = record.get("proof"), record.get("sha256")
    if not isinstance(proof, dict) or not isinstance(written, str):
        raise ValueError(f"{path!r} holds no self-test (keras-wcd {record.get('version')} wrote none); export it again")
    found = checksum(Path(path).read_bytes(), written)
    if found != written:
        raise ValueError(f"{path!r} is damaged: its SHA-256 is {found[:16]}..., its record says {written[:16]}...")
    model = Model(path, threads=threads)
    far = deviation(model(drawn_cloud(model.points_in)), proof)
    if not far <= proof["tolerance"]:
        raise ValueError(
            f"{path!r} does not compute here what the network does: its answer to the test cloud lies {far:.3g} from "
            f"the network's, more than {proof['tolerance']:.3g}"
        )
    return f"{path}: checksum and answer are right ({far:.2g} from the network's, at most {proof['tolerance']:.2g})"


def checksum(content: bytes, written: str) -> str:
    """SHA-256 of a file's bytes in which `BLANK` stands for `written`, the checksum that its record holds."""
    return hashlib.sha256(content.replace(checksum_entry(written), checksum_entry(BLANK), 1)).hexdigest()


def checksum_entry(written: str) -> bytes:
    """A checksum as it stands in a file's record."""
    return f'"sha256": "{written}"'.encode()


def drawn_cloud(count: int) -> np.ndarray:
    """The cloud `(count, 3)` of the self-test, on three faces of a box as a scanner sees it; every bit is defined.

    The coordinates are the upper 24 bits of x, 1664525 x + 1013904223 modulo 2^32 from x = 1 on; that of point i along
    axis i modulo 3 is 1 instead.
    """
    x, numbers = 1, []
    for _ in range(3 * count):
        x = (1664525 * x + 1013904223) % 2**32
        numbers.append(x >> 8)
    points = np.array(numbers, np.float64).reshape(count, 3) / 2**24
    points[np.arange(count), np.arange(count) % 3] = 1
    return ((points - 0.5) * [0.75, 0.375, 0.25]).astype(np.float32)


def deviation(answer: np.ndarray, proof: dict) -> float:
    """How far an answer `(M, 3)` lies from the points of the network's own that a record holds.

    It is the distance within which 15 of 16 have a point of the answer; rounding may choose a few others. An answer of
    another extent, such as nothing but zeros, is infinitely far.
    """
    rows = np.frombuffer(base64.b64decode(proof["rows"]), "<f4").reshape(-1, 1, 3).astype(np.float64)
    extent = np.linalg.norm(np.ptp(answer.astype(np.float64), axis=0))
    if not proof["diagonal"] / 2 <= extent <= 2 * proof["diagonal"]:
        return float("inf")
    nearest = np.sqrt(((rows - answer) ** 2).sum(axis=-1)).min(axis=1)
    return float(np.quantile(nearest, 15 / 16, method="lower"))


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
    """The finite points `(N, 3)` of a file: `.npy`, `.pcd`, `.ply`, or text with a point a line.

    float64 where the file holds doubles, text or whole numbers above 2^24, or lies too far from the origin for float32.
    """
    _existing(path)
    try:
        points = READERS.get(Path(path).suffix.lower(), _text)(Path(path).read_bytes())
    except Exception as error:
        # A damaged file fails in many ways; the header of a .npy file is even a Python expression.
        raise ValueError(f"{path!r} cannot be read as points: {' '.join(str(error).split())[:200]}") from error
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"{path!r} must hold points of shape (N, 3), got {points.shape}")
    found = points[np.isfinite(points).all(axis=1)]
    if not len(found):
        raise ValueError(f"{path!r} holds no finite point ({len(points)} rows)")
    return found


def _in_npy(content: bytes) -> np.ndarray:
    points = np.load(io.BytesIO(content), allow_pickle=False)
    if not isinstance(points, np.ndarray) or points.dtype.kind not in "iuf":
        raise ValueError("it holds no array of numbers")
    return _typed(points)


def _in_pcd(content: bytes) -> np.ndarray:
    """The fields x, y and z of a PCD file: ascii, binary or binary_compressed."""
    lines, body = _split_header(content, "data")
    header = {words[0].upper(): words[1:] for words in lines}
    fields = [name.lower() for name in header.get("FIELDS") or header["COLUMNS"]]
    ones = ["1"] * len(fields)
    kinds = ["<" + {"F": "f", "I": "i", "U": "u"}[kind.upper()] for kind in header.get("TYPE", ["F"] * len(fields))]
    kinds = [kind + size for kind, size in zip(kinds, header.get("SIZE", ["4"] * len(fields)), strict=True)]
    shapes = [(int(c),) for c in header.get("COUNT", ones)]
    rows = int(header["POINTS"][0]) if "POINTS" in header else int(header["WIDTH"][0]) * int(header["HEIGHT"][0])
    places = [fields.index(axis) for axis in "xyz"]
    dtype = np.dtype([(str(k), *field) for k, field in enumerate(zip(kinds, shapes, strict=True))])
    if header["DATA"][0].lower() == "ascii":
        starts = np.cumsum([0, *(shape[0] for shape in shapes)])
        return _declared(_numbers(body, [int(starts[k]) for k in places], rows), [kinds[k] for k in places])
    if header["DATA"][0].lower() == "binary":
        found = _rows(body, dtype, rows)
        return _typed(np.stack([found[str(k)][:, 0] for k in places], axis=1))
    packed, size = struct.unpack_from("<II", body)
    data = _unpacked(body[8 : 8 + packed], size)
    starts = rows * np.cumsum([0, *(dtype[k].itemsize for k in range(len(fields)))])
    columns = [_rows(data[starts[k] :], np.dtype((kinds[k], shapes[k])), rows)[:, 0] for k in places]
    return _typed(np.stack(columns, axis=1))


def _unpacked(data: bytes, size: int) -> bytes:
    """The `size` bytes of an LZF stream: runs of letters, and references backward to what was there."""
    output, position = bytearray(), 0
    while position < len(data) and len(output) <= size:
        control, position = data[position], position + 1
        if control < 32:
            output += data[position : position + control + 1]
            position += control + 1
            continue
        length = control >> 5
        if length == 7:
            length, position = length + data[position], position + 1
        start = len(output) - ((control & 31) << 8) - data[position] - 1
        position += 1
        if start < 0:
            raise ValueError("a reference of the compressed data points before its start")
        piece = output[start : start + length + 2]
        output += (piece * ((length + 2) // len(piece) + 1))[: length + 2]
    if len(output) != size:
        raise ValueError(f"the compressed data hold {len(output)} bytes, the header promises {size}")
    return bytes(output)


def _in_ply(content: bytes) -> np.ndarray:
    """The vertices of a PLY file, ascii or binary of either byte order."""
    lines, body = _split_header(content, "end_header")
    orders = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
    elements, order = [], None
    for words in lines:
        if words[0] == "format":
            order = orders[words[1]]
        elif words[0] == "element":
            elements.append((words[1].lower(), int(words[2]), []))
        elif words[0] == "property":
            elements[-1][2].append((words[-1].lower(), words[1].lower()))
    if lines[0] != ["ply"] or order is None:
        raise ValueError("it has no header of a PLY file")
    if any(name == "face" and count for name, count, _ in elements):
        raise ValueError("it is a mesh; sample points from its surface first")
    for name, count, properties in elements:
        if any(kind == "list" for _, kind in properties):
            raise ValueError(f"its element {name} holds lists")
        kinds = {axis: order + PLY_TYPES[kind] for axis, kind in properties}
        if not order and name != "vertex" and count:
            body = body.lstrip().split(b"\n", count)[-1]
        if name == "vertex" and not order:
            places = [list(kinds).index(axis) for axis in "xyz"]
            return _declared(_numbers(body, places, count), [kinds[axis] for axis in "xyz"])
        if name == "vertex":
            found = _rows(body, np.dtype(list(kinds.items())), count)
            return _typed(np.stack([found[axis] for axis in "xyz"], axis=1))
        body = body[count * np.dtype(list(kinds.items())).itemsize :] if order else body
    raise ValueError("it has no vertices")


def _split_header(content: bytes, last: str) -> tuple[list[list[str]], bytes]:
    """The words of a header's lines, comments left out, up to that beginning with `last`; the bytes behind it."""
    lines, start = [], 0
    while (end := content.find(b"\n", start)) >= 0 and len(lines) < 1000:
        words = content[start:end].decode("ascii", "replace").split("#")[0].split()
        start = end + 1
        if words and words[0] not in ("comment", "obj_info"):
            lines.append(words)
            if words[0].lower() == last:
                return lines, content[start:]
    raise ValueError(f"its header has no end (a line {last!r})")


def _rows(data: bytes, dtype: np.dtype, count: int) -> np.ndarray:
    if not 0 <= count * dtype.itemsize <= len(data):
        raise ValueError(
            f"the header promises {count} points ({count * dtype.itemsize} bytes), {len(data)} bytes follow"
        )
    return np.frombuffer(data, dtype, count)


def _numbers(content: bytes, columns: list[int], count: int) -> np.ndarray:
    """Three columns of the first `count` lines of numbers, float64."""
    found = np.loadtxt(io.BytesIO(content), usecols=columns, ndmin=2, max_rows=count) if count else np.zeros((0, 3))
    if len(found) < count:
        raise ValueError(f"the header promises {count} points, {len(found)} follow")
    return found


def _typed(points: np.ndarray) -> np.ndarray:
    """float64 for doubles and for whole numbers that float32 does not hold, else float32."""
    wide = (
        points.dtype.itemsize >= 8 if points.dtype.kind == "f" else np.abs(points.astype(float)).max(initial=0) > 2**24
    )
    return np.ascontiguousarray(points, np.float64 if wide else np.float32)


def _declared(points: np.ndarray, kinds: list[str]) -> np.ndarray:
    """Points that were written as text and declared to be of `kinds`; digits that float32 loses far away are kept."""
    if any(np.dtype(kind) != np.float32 for kind in kinds):
        return _typed(np.stack([column.astype(kind) for column, kind in zip(points.T, kinds, strict=True)], axis=1))
    finite = points[np.isfinite(points).all(axis=1)]
    extent, far = np.ptp(finite, axis=0).max(initial=0), np.abs(finite).max(initial=0)
    wide = (0 < 16 * extent <= far or far > np.finfo(np.float32).max) and (finite != finite.astype(np.float32)).any()
    return points if wide else points.astype(np.float32)


def _text(content: bytes) -> np.ndarray:
    """Columns x, y and z of a table, by a line of their names or the first three; `docs/formats.md` has the rule."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    lines = [line for line in content.decode(encoding).splitlines() if line.strip()]
    first, mark = next(((k, m) for k, line in enumerate(lines) for m in MARKS if _is_row(line, m)), (0, ""))
    if mark == "":
        raise ValueError("no line holds three numbers")
    names = [[cell.strip(" \t\"'").lower() for cell in line.lstrip("#/% \t").split(mark)] for line in lines[:first]]
    named = next((found for found in reversed(names) if {"x", "y", "z"} <= set(found)), None)
    plain = [line.strip() for line in lines[:first] if not line.lstrip().startswith(COMMENTS)]
    if named is None and any(not line.isdigit() for line in plain):
        raise ValueError(f"its first line is not numbers and names no columns x, y, z: {plain[0][:60]!r}")
    rows = [line.split("#")[0].rstrip() for line in lines[first:] if not line.lstrip().startswith(COMMENTS)]
    if mark != ",":
        rows = [row.replace(",", ".") for row in rows]
    if len({len(row.split(mark)) for row in rows}) > 1:
        raise ValueError("its rows differ in length")
    places = [0, 1, 2] if named is None else [named.index(axis) for axis in "xyz"]
    if named is None and plain and int(plain[0]) > len(rows):
        raise ValueError(f"truncated: its first line promises {plain[0]} points, {len(rows)} follow")
    return np.loadtxt(rows, delimiter=mark, usecols=places, ndmin=2)


def _is_row(line: str, mark: str | None) -> bool:
    try:
        cells = line.split(mark) if mark == "," else line.replace(",", ".").split(mark)
        return len([float(cell) for cell in cells[:3]]) == 3
    except ValueError:
        return False


MARKS = (";", "|", "\t", ",", None)
COMMENTS = ("#", "//", "%")
READERS = {".npy": _in_npy, ".pcd": _in_pcd, ".ply": _in_ply}
"""Formats of scans, by the extension of the name; any other is text."""
SCANS = (*READERS, ".xyz", ".txt", ".csv", ".pts", ".asc")
"""What is taken for a scan in a folder."""
PLY_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4"},
    **{"double": "f8", "float64": "f8"},
}


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
    """Write a result, which appears under its name when it is whole."""
    partial = f"{path}.partial"
    try:
        with open(partial, "wb") as file:
            WRITERS[Path(path).suffix.lower()](file, points)
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)


def complete_all(completer: Completer, scans: Iterable[str], folder: str, suffix: str = ".ply") -> Iterator[bool]:
    """Complete scans one by one into a folder, each under its own name; whether that went well, for each.

    A line on standard output names each result; a line on standard error says what is wrong with a scan.
    """
    given = {}
    for scan in scans:
        out = Path(folder) / Path(scan).with_suffix(suffix).name
        # Of two scans that differ in their extension or folder alone, the later keeps its extension in the name.
        out = out if given.setdefault(out, scan) == scan else Path(folder) / (Path(scan).name + suffix)
        try:
            if given.setdefault(out, scan) != scan or out.resolve() == Path(scan).resolve():
                raise ValueError(f"{scan!r}: its result would overwrite {str(out)!r}")
            _write(_writable(str(out)), completer(_read(scan)))
        except (ValueError, OSError, MemoryError) as error:
            sys.stderr.write(f"error: {error}\n" if scan in str(error) else f"error: {scan!r}: {error}\n")
            yield False
        else:
            sys.stdout.write(f"{out}\n")
            sys.stdout.flush()
            yield True


def scans_of(folder: str) -> list[str]:
    """The scans in a folder, by name."""
    return sorted(str(path) for path in Path(folder).iterdir() if path.suffix.lower() in SCANS and path.is_file())


def arriving(folder: str, pause: float = 0.2) -> Iterator[str]:
    """The scans of a folder as they arrive, without end: each once its size has stopped changing, again when it does.

    A scan that is renamed into the folder is whole at once; one that is written there is waited for.
    """
    before, done = {}, {}
    while True:
        now = {}
        for scan in scans_of(folder):
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(scan)
                now[scan] = (status.st_size, status.st_mtime_ns)
        for scan, state in now.items():
            if state[0] and before.get(scan) == state != done.get(scan):
                done[scan] = state
                yield scan
        before = now
        time.sleep(pause)


def main(arguments: list[str] | None = None) -> int:
    """Complete from the shell; 2 where the user's input is at fault, 1 where a file fails its self-test."""
    parser = argparse.ArgumentParser(prog="runtime.py", description="Complete point clouds with a .tflite file.")
    parser.add_argument("model", help="file written by keras_wcd.export.to_tflite")
    parser.add_argument(
        "scan", nargs="?", help="partial cloud (.npy, .pcd, .ply, text), a folder of such, or - for names"
    )
    parser.add_argument("out", nargs="?", help="file to write, .npy or .ply (binary), or a folder")
    parser.add_argument("-o", "--output", help="the same as out")
    parser.add_argument("--watch", metavar="FOLDER", help="complete scans as they arrive in FOLDER, until Ctrl-C")
    parser.add_argument("--format", choices=("ply", "npy"), default="ply", help="of results in a folder")
    parser.add_argument("--selftest", action="store_true", help="prove the file: its checksum, its answer here")
    parser.add_argument("--threads", type=int, default=None)
    given = parser.parse_args(arguments)
    out = given.output or given.out
    if not given.selftest and (out is None or (given.scan is None) == (given.watch is None)):
        parser.error("give a scan, a folder of scans, - or --watch FOLDER, and where the result goes")
    try:
        if given.selftest:
            sys.stdout.write(f"{selftest(given.model, threads=given.threads)}\n")
            return 0
        source = given.watch or given.scan
        if given.watch is None and source != "-" and not Path(source).is_dir():
            out = _writable(out)
            _write(out, complete(given.model, _read(source), threads=given.threads))
            return 0
        return _stream(given, source, out)
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1 if given.selftest else 2


def _stream(given: argparse.Namespace, source: str, out: str) -> int:
    """Complete many scans with one interpreter."""
    if source != "-" and not Path(source).is_dir():
        raise ValueError(f"{source!r} is no folder")
    if source != "-" and Path(source).resolve() == Path(out).resolve():
        raise ValueError(f"{out!r} holds the scans; give another folder for the results")
    if source == "-":
        scans = (name for line in sys.stdin if (name := line.rstrip("\r\n")))
    else:
        scans = scans_of(source) if given.watch is None else arriving(source)
    if scans == []:
        raise ValueError(f"{source!r} holds no scan ({', '.join(SCANS)})")
    completer, failed = Completer(given.model, threads=given.threads), 0
    Path(out).mkdir(exist_ok=True)
    try:
        for went_well in complete_all(completer, scans, out, f".{given.format}"):
            failed += not went_well
    except KeyboardInterrupt:
        if given.watch is None:
            raise
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
