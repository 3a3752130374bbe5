"""Visibility by Intel's ray tracer Embree, an extra: quicker than the z-buffer for many views of a large mesh."""

import importlib.util
from typing import Any

import numpy as np

from keras_wcd.data.io.mesh import Mesh
from keras_wcd.data.scanner.camera import Camera, rays, rotate

METHODS = ("auto", "z_buffer", "embree")


def chosen(method: str) -> str:
    """The method that does the work: "z_buffer" or "embree".

    Raises:
        ValueError: for another name, or "embree" where embreex is not installed.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}")
    if method == "z_buffer":
        return method
    if importlib.util.find_spec("embreex") is not None:
        return "embree"
    if method == "embree":
        raise ValueError("method='embree' needs embreex; install keras-wcd[embree], or take method='z_buffer'")
    return "z_buffer"


def first_hits(mesh: Mesh, rotation: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Face, row and column of every pixel whose ray meets a triangle; the arguments of `depth_camera.depth_image`.

    Embree computes in float32: take the depth from the face and not from the tracer. The tree over the triangles is
    what takes time; that of the last mesh is kept for its other views.
    """
    row, column = (index.ravel() for index in np.indices((camera.height, camera.width)))
    if not len(mesh.faces):
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing
    back = np.asarray(rotation, np.float64).T
    turned = rotate(rays(np.stack([column, row], axis=1), camera, library="numpy"), back, library="numpy")
    directions = np.ascontiguousarray(turned, np.float32)
    origins = np.tile((back @ (0.0, 0.0, -camera.distance)).astype(np.float32), (len(directions), 1))
    face = np.asarray(_scene(mesh).run(origins, directions, query="INTERSECT"), np.int64)
    hit = face >= 0
    return face[hit], row[hit], column[hit]


_last: list[tuple[Mesh, Any]] = []


def _scene(mesh: Mesh) -> Any:
    """Embree's tree over the triangles of a mesh, which must not be changed while it is in use."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    for known, scene in list(_last):
        if known.vertices is mesh.vertices and known.faces is mesh.faces:
            return scene
    scene = EmbreeScene()
    TriangleMesh(scene, mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32))
    _last[:] = [(mesh, scene)]
    return scene
