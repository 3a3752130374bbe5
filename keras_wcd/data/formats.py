"""Reading and writing clouds by the extension of a file's name."""

import os
from pathlib import Path

import numpy as np

from keras_wcd.data import arrays, meshes, pcd, ply, text
from keras_wcd.data.files import FormatError, atomic_write


def _write_text(file, points: np.ndarray, encoding: str) -> None:
    text.dump(file, points)


def _write_csv(file, points: np.ndarray, encoding: str) -> None:
    file.write(b"x,y,z\n")
    text.dump(file, points, ",")


READERS = {
    ".npy": arrays.read_npy,
    ".npz": arrays.read_npz,
    ".pcd": pcd.read,
    ".xyz": text.read,
    ".txt": text.read,
    ".csv": text.read,
}
"""Readers of clouds; those of `MESH_READERS` return a mesh, which is sampled where it has faces."""

MESH_READERS = {".ply": ply.read, **dict.fromkeys(meshes.EXTENSIONS, meshes.read_mesh)}

WRITERS = {
    ".npy": (arrays.write_npy, ("binary",)),
    ".npz": (arrays.write_npz, ("binary",)),
    ".pcd": (pcd.write, ("binary", "ascii", "binary_compressed")),
    ".ply": (ply.write, ("binary", "ascii")),
    ".xyz": (_write_text, ("ascii",)),
    ".txt": (_write_text, ("ascii",)),
    ".csv": (_write_csv, ("ascii",)),
}
"""Writers, each with its encodings, the default first."""


def read_points(path: str | os.PathLike, *, points: int = 16384, seed: int = 0) -> np.ndarray:
    """The points of a cloud, or points sampled from the surface of a mesh.

    Rows that are not finite are left out: scanners write NaN where a ray met nothing.

    Args:
        path: A cloud (npy, npz, pcd, ply, xyz, txt, csv) or a mesh (ply with faces, obj, off, stl, glb).
        points: Points to sample from a mesh; a cloud keeps its own.
        seed: Of the sampling.

    Returns:
        `(N, 3)`, float64 where the file holds doubles or text, float32 otherwise. Meshes give float32.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: naming the file and what is wrong with it: a folder, an unknown extension, truncated or
            corrupt content, a header that promises more than the file holds, pickled objects, an array that is
            not `(N, 3)`, no finite point.
    """
    path = Path(path)
    extension = _extension(path, {**READERS, **MESH_READERS})
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; name one file in it")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        if extension in READERS:
            return _finite(READERS[extension](path))
        return _from_mesh(meshes.Mesh(*MESH_READERS[extension](path)), points, seed)
    except FormatError as error:
        raise ValueError(f"{path}: {error}") from None


def write_points(path: str | os.PathLike, points: np.ndarray, *, encoding: str | None = None) -> None:
    """Write a cloud `(N, 3)`; the file appears whole or not at all.

    Args:
        path: Where to write; the extension chooses the format: npy, npz, pcd, ply, xyz, txt or csv.
        points: Coordinates; float64 stays float64, everything else becomes float32.
        encoding: `"binary"` or `"ascii"`, for pcd also `"binary_compressed"`; the format's usual one if None.

    Raises:
        ValueError: for an unknown extension or encoding, a missing folder, or points of another shape.
    """
    path = Path(path)
    writer, encodings = WRITERS[_extension(path, WRITERS)]
    encoding = encodings[0] if encoding is None else encoding
    if encoding not in encodings:
        raise ValueError(f"encoding of a {path.suffix} file must be one of {encodings}, got {encoding!r}")
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points) or points.dtype.kind not in "fiu":
        hint = "; transpose it" if points.ndim == 2 and points.shape[0] == 3 else ""
        raise ValueError(f"points must be numbers of shape (N, 3) with N >= 1, got {points.dtype} {points.shape}{hint}")
    with atomic_write(path) as file:
        writer(file, _as_float(points), encoding)


def _extension(path: Path, known: dict) -> str:
    extension = path.suffix.lower()
    if extension not in known:
        raise ValueError(f"{path}: unknown extension {extension!r}; known are {', '.join(sorted(known))}")
    return extension


def _from_mesh(mesh: meshes.Mesh, points: int, seed: int) -> np.ndarray:
    if not len(mesh.faces):
        return _finite(mesh.vertices)
    if points < 1:
        raise ValueError(f"points must be at least 1, got {points}")
    if not np.isfinite(mesh.vertices[mesh.faces]).all():
        raise FormatError("a triangle has a corner that is not finite; repair the mesh")
    return meshes.sample_surface(mesh, points, np.random.default_rng(seed)).astype(np.float32)


def _finite(points: np.ndarray) -> np.ndarray:
    """The finite rows of a cloud, in the machine's byte order."""
    finite = np.isfinite(points).all(axis=1)
    if not finite.any():
        raise FormatError(f"it holds no finite point ({len(points)} rows)")
    return _as_float(points if finite.all() else points[finite])


def _as_float(points: np.ndarray) -> np.ndarray:
    double = points.dtype.kind == "f" and points.dtype.itemsize == 8
    return np.ascontiguousarray(points, np.float64 if double else np.float32)
