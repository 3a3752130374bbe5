"""Triangle meshes: reading them, and points spread evenly over their surface."""

import json
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_wcd.data.io.limits import FormatError

EXTENSIONS = (".obj", ".off", ".stl", ".glb")


class Mesh(NamedTuple):
    """Vertices `(V, 3)` of floats and triangles `(F, 3)` of vertex numbers."""

    vertices: np.ndarray
    faces: np.ndarray


def read_mesh(path: Path) -> Mesh:
    """The mesh of an obj, off, stl or glb file, its parts joined; faces may be none.

    Raises:
        FormatError: where trimesh cannot read it.
    """
    import trimesh

    if not path.stat().st_size:
        raise FormatError("the file is empty")
    try:
        if path.suffix.lower() == ".glb":
            _check_glb(path)
        loaded = trimesh.load(path, force="mesh", process=False, skip_materials=True)
        vertices = np.asarray(loaded.vertices, np.float64)
        faces = np.asarray(getattr(loaded, "faces", np.zeros((0, 3))), np.int64).reshape(-1, 3)
    except Exception as error:  # Each of its parsers fails in ways of its own.
        raise FormatError(f"truncated or corrupt mesh ({type(error).__name__}: {error})") from None
    if faces.size and not (faces.min() >= 0 and faces.max() < len(vertices)):
        raise FormatError(f"a face names a vertex outside 0 to {len(vertices) - 1}")
    return Mesh(vertices, faces)


def _check_glb(path: Path) -> None:
    """Refuse accessors that stand for zeros out of no data: trimesh allocates as many as they declare."""
    with open(path, "rb") as file:
        _, _, _, length, _ = struct.unpack("<4sIIII", file.read(20))
        if length > path.stat().st_size:
            raise ValueError(f"a chunk of {length} bytes is promised")
        content = json.loads(file.read(length))
    for accessor in content.get("accessors", ()):
        if "bufferView" not in accessor and accessor["count"] > path.stat().st_size:
            raise ValueError(f"an accessor promises {accessor['count']} entries out of no data")


def face_areas(mesh: Mesh) -> np.ndarray:
    """Area of every triangle `(F,)`."""
    corner = mesh.vertices[mesh.faces[:, 0]]
    normal = np.cross(mesh.vertices[mesh.faces[:, 1]] - corner, mesh.vertices[mesh.faces[:, 2]] - corner)
    return np.sqrt((normal * normal).sum(axis=1)) / 2


def sample_surface(mesh: Mesh, count: int, rng: np.random.Generator) -> np.ndarray:
    r"""`count` independent points `(count, 3)`, uniform over the area of all triangles, hidden ones too.

    $$p = (1 - \sqrt{u})\,a + \sqrt{u}\,(1 - v)\,b + \sqrt{u}\,v\,c, \qquad u, v \sim U(0, 1)$$

    (Osada et al., 2002.)

    Raises:
        FormatError: where the surface has no area.
    """
    total = np.cumsum(face_areas(mesh))
    if not len(total) or not 0 < total[-1] < np.inf:
        raise FormatError("the mesh has no surface to sample; does it hold triangles?")
    place = np.searchsorted(total, rng.random(count) * total[-1], side="right")
    face = mesh.faces[np.minimum(place, len(total) - 1)]
    a, b, c = (mesh.vertices[face[:, k]] for k in range(3))
    root, v = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
    return (1 - root) * a + root * (1 - v) * b + root * v * c
