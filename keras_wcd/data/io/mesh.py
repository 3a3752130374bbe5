"""Triangle meshes: reading them, and points spread evenly over their surface."""

import io
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from keras_wcd.data.io import gltf, obj, off, text
from keras_wcd.data.io.cloud import Cloud
from keras_wcd.data.io.limits import FormatError

EXTENSIONS = (".obj", ".off", ".stl", *gltf.EXTENSIONS)


class Mesh(NamedTuple):
    """Vertices `(V, 3)` of floats and triangles `(F, 3)` of vertex numbers."""

    vertices: np.ndarray
    faces: np.ndarray


def read_mesh(path: Path) -> Mesh:
    """The mesh of a file, its parts joined; faces may be none.

    Raises:
        FormatError: where it cannot be read.
    """
    cloud, faces = read(path)
    return Mesh(np.asarray(cloud.points, np.float64), faces)


def read(path: Path) -> tuple[Cloud, np.ndarray]:
    """Vertices and triangles `(F, 3)` of a mesh; without triangles a cloud, with its colors and normals.

    Files of other extensions than those of `EXTENSIONS` are left to trimesh.

    Raises:
        FormatError: where it cannot be read.
    """
    if not path.stat().st_size:
        raise FormatError("the file is empty")
    extension = path.suffix.lower()
    if extension == ".off":
        return off.read(path)
    source = path
    try:
        if extension == ".obj":
            content = text.decoded(path.read_bytes())
            if not obj.has_faces(content):
                return obj.read_vertices(content), np.zeros((0, 3), np.int64)
            source = io.BytesIO(content)
        if extension in gltf.EXTENSIONS:
            gltf.check(path)
        vertices, faces = _by_trimesh(source, extension)
    except FormatError:
        raise
    except Exception as error:  # Each of its parsers fails in ways of its own.
        raise FormatError(f"truncated or corrupt mesh ({type(error).__name__}: {error})") from None
    if faces.size and not (faces.min() >= 0 and faces.max() < len(vertices)):
        raise FormatError(f"a face names a vertex outside 0 to {len(vertices) - 1}")
    return vertices, faces


def _by_trimesh(source: Path | BinaryIO, extension: str) -> tuple[Cloud, np.ndarray]:
    import trimesh

    kind = extension.removeprefix(".")
    if extension in gltf.EXTENSIONS:
        return gltf.read_scene(trimesh.load_scene(source, file_type=kind, process=False, skip_materials=True))
    loaded = trimesh.load(source, file_type=kind, force="mesh", process=False, skip_materials=True)
    loaded = cast("trimesh.Trimesh | trimesh.PointCloud", loaded)  # What there is of a file in one piece.
    faces = np.asarray(getattr(loaded, "faces", np.zeros((0, 3))), np.int64).reshape(-1, 3)
    return Cloud(np.asarray(loaded.vertices, np.float64)), faces


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
