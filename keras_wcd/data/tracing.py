"""Visibility by Intel's ray tracer Embree, an extra: quicker than the z-buffer on large meshes."""

import importlib.util
from typing import TYPE_CHECKING

import numpy as np

from keras_wcd.data import graphics

if TYPE_CHECKING:
    from keras_wcd.data.views import Camera

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


def first_hits(vertices: np.ndarray, faces: np.ndarray, camera: "Camera") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Face, row and column of every pixel whose ray meets a triangle; vertices `(V, 3)` on the camera's axes.

    Embree computes in float32: take the depth from the face and not from the tracer.
    """
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    row, column = (index.ravel() for index in np.indices((camera.height, camera.width)))
    if not len(faces):
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing
    scene = EmbreeScene()
    TriangleMesh(scene, vertices.astype(np.float32), faces.astype(np.int32))
    rays = graphics.rays(np.stack([column, row], axis=1), camera, library="numpy").astype(np.float32)
    face = np.asarray(scene.run(np.zeros_like(rays), rays, query="INTERSECT"), np.int64)
    hit = face >= 0
    return face[hit], row[hit], column[hit]
