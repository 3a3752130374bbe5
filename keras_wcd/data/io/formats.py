"""Reading and writing clouds by the extension of a file's name."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_wcd.data.io import e57, hdf5, las, mesh, npy, pcd, ply, ptx, text, velodyne
from keras_wcd.data.io.arrays import Which
from keras_wcd.data.io.cloud import Cloud, as_points, narrowed
from keras_wcd.data.io.limits import FormatError, atomic_write

ARCHIVES = {".npy": npy.read_npy, ".npz": npy.read_npz, ".h5": hdf5.read, ".hdf5": hdf5.read}
"""Readers of formats that may hold several arrays, or several clouds in one; they are told which."""

READERS = {
    ".pcd": pcd.read,
    ".las": las.read,
    ".laz": las.read,
    ".e57": e57.read,
    ".ptx": ptx.read,
    ".bin": velodyne.read,
    **dict.fromkeys(text.EXTENSIONS, text.read_cloud),
    **ARCHIVES,
}
"""Readers of clouds; those of `MESH_READERS` return vertices and faces, which are sampled where there are faces."""

MESH_READERS = {".ply": ply.read, **dict.fromkeys(mesh.EXTENSIONS, mesh.read)}

MAX_SPREAD = 1e12
MIN_SIZE = 1e-30
"""How far apart, and how small, the middle half of a cloud's coordinates may be."""

WRITERS = {
    ".npy": (npy.write_npy, ("binary",)),
    ".npz": (npy.write_npz, ("binary",)),
    ".pcd": (pcd.write, ("binary", "ascii", "binary_compressed")),
    ".ply": (ply.write, ("binary", "ascii")),
    ".xyz": (text.write, ("ascii",)),
    ".txt": (text.write, ("ascii",)),
    ".csv": (text.write_csv, ("ascii",)),
    ".h5": (hdf5.write, ("binary",)),
    ".hdf5": (hdf5.write, ("binary",)),
}
"""Writers, each with its encodings, the default first."""


def read_points(path: str | os.PathLike, **choices) -> np.ndarray:
    """The points `(N, 3)` of `read_cloud`, which has the arguments and the errors."""
    return read_cloud(path, **choices).points


def write_points(path: str | os.PathLike, points: np.ndarray, *, encoding: str | None = None) -> None:
    """Write points `(N, 3)` as `write_cloud` does, without colors and normals."""
    write_cloud(path, Cloud(points), encoding=encoding)


def read_cloud(
    path: str | os.PathLike,
    *,
    points: int = 16384,
    seed: int = 0,
    dataset: str | None = None,
    index: int | None = None,
    prefer: Sequence[str] = (),
) -> Cloud:
    """The points of a cloud with their colors and normals, or points sampled from the surface of a mesh.

    Rows that are not finite are left out: scanners write NaN where a ray met nothing. docs/formats.md has the table of
    what is read and the rule for text. A file that takes much more memory than its own size is refused.

    Args:
        path: A cloud (`READERS`) or a mesh (`MESH_READERS`); the extension of its name chooses the format.
        points: Points to sample from a mesh; a cloud keeps its own.
        seed: Of the sampling.
        dataset: The array of an npz or h5 file that holds several.
        index: The row of an array `(B, N, 3)` of an npy, npz or h5 file.
        prefer: Names of arrays to take where `dataset` names none: `arrays.PARTIAL` for the scan of a pair.

    Returns:
        A cloud whose points are float64 where the file holds doubles, text or whole numbers above 2^24, or lies so far
        from the origin that float32 would lose detail; float32 otherwise. Its `notes` say what was decided.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: naming the file and what is wrong with it: a folder, an unknown extension, truncated or
            corrupt content, a header that promises more than the file holds, pickled objects, an array that is no
            cloud, several of which none is named, no finite point.
    """
    path = Path(path)
    extension = _extension(path, {**READERS, **MESH_READERS})
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; name one file in it")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    for name, value in (("dataset", dataset), ("index", index)):
        if value is not None and extension not in ARCHIVES:
            raise ValueError(f"{path}: {name} names an array of {', '.join(ARCHIVES)} files, got {value!r}")
    try:
        if not path.stat().st_size:
            raise FormatError("the file is empty")
        if extension in ARCHIVES:
            return _finite(ARCHIVES[extension](path, Which(dataset, index, prefer)))
        if extension in READERS:
            return _finite(READERS[extension](path))
        return _from_mesh(*MESH_READERS[extension](path), points, seed)
    except FormatError as error:
        raise ValueError(f"{path}: {_short(error)}") from None


def write_cloud(path: str | os.PathLike, cloud: Cloud, *, encoding: str | None = None) -> None:
    """Write a cloud; the file appears whole or not at all.

    Colors and normals are written where the format has a place for them: pcd, ply, npz, h5 and csv.

    Args:
        path: Where to write; the extension chooses the format: npy, npz, h5, pcd, ply, xyz, txt or csv.
        cloud: Points of float64 and whole numbers above 2^24 are written as doubles, everything else as float32.
        encoding: `"binary"` or `"ascii"`, for pcd also `"binary_compressed"`; the format's usual one if None.

    Raises:
        ValueError: for an unknown extension or encoding, a missing folder, or arrays of another shape.
    """
    path = Path(path)
    writer, encodings = WRITERS[_extension(path, WRITERS)]
    encoding = encodings[0] if encoding is None else encoding
    if encoding not in encodings:
        raise ValueError(f"encoding of a {path.suffix} file must be one of {encodings}, got {encoding!r}")
    cloud = cloud.checked()
    with atomic_write(path) as file:
        writer(file, cloud, encoding)


def _extension(path: Path, known: dict) -> str:
    extension = path.suffix.lower()
    if extension not in known:
        raise ValueError(f"{path}: unknown extension {extension!r}; known are {', '.join(sorted(known))}")
    return extension


def _short(error: FormatError, length: int = 300) -> str:
    """One line of printable text: what is wrong may quote the bytes of a damaged file."""
    line = " ".join(str(error).split())
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    return line if len(line) <= length else f"{line[: length - 3]}..."


def _from_mesh(vertices: Cloud, faces: np.ndarray, points: int, seed: int) -> Cloud:
    if vertices.points.ndim != 2 or vertices.points.shape[1] != 3:
        raise FormatError(f"its vertices have shape {vertices.points.shape}, three coordinates each are needed")
    if not len(faces):
        return _finite(vertices)
    if points < 1:
        raise ValueError(f"points must be at least 1, got {points}")
    surface = mesh.Mesh(np.asarray(vertices.points, np.float64), faces)
    if not np.isfinite(surface.vertices[surface.faces]).all():
        raise FormatError("a triangle has a corner that is not finite; repair the mesh")
    sampled = mesh.sample_surface(surface, points, np.random.default_rng(seed))
    note = f"{len(vertices)} vertices, {len(faces)} triangles, sampled at {points} points"
    return _finite(Cloud(narrowed(sampled), notes=vertices.notes).noted(mesh=note))


def _finite(cloud: Cloud) -> Cloud:
    """The finite rows of a cloud, in the machine's byte order."""
    found = Cloud(as_points(cloud.points), cloud.colors, cloud.normals, cloud.notes).finite()
    if not len(found):
        raise FormatError(f"it holds no finite point ({len(cloud)} rows)")
    _check_byte_order(found.points)
    left = len(cloud) - len(found)
    return found.noted(rows_left_out=f"{left} that are not finite") if left else found


def _check_byte_order(points: np.ndarray) -> None:
    """Refuse coordinates whose sizes are those of floats read in the wrong byte order.

    The exponent is then made of mantissa bits: the middle half of the numbers lies tens of orders of magnitude apart,
    or, of whole numbers, far below any unit of length.
    """
    sizes = np.abs(points.ravel()[:: points.size // 10_000 + 1]).astype(np.float64)
    sizes = sizes[sizes > 0]
    if len(sizes) < 9:
        return
    low, high = np.quantile(sizes, (0.25, 0.75), method="nearest")
    if float(high) > MAX_SPREAD * float(low) or high < MIN_SIZE:
        raise FormatError(f"half of its coordinates lie between {low:.0e} and {high:.0e}; is the byte order wrong?")
