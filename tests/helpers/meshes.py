"""Small meshes in several formats, and the bytes of a folder."""

import numpy as np
import trimesh

from keras_wcd.data.io.mesh import Mesh
from keras_wcd.data.procedural.primitives import box, join, rod

EXTENSIONS = ("obj", "ply", "stl", "off", "glb", "obj")


def shape(number, scale=1.0):
    sizes = 0.2 + 0.6 * np.random.default_rng(number).random(3)
    mesh = join([box(tuple(sizes)), rod((0, 0, 0), (0.5, 0.4, 0.1 * (number % 5)), 0.05)])
    return Mesh(mesh.vertices * scale, mesh.faces)


def export(mesh, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(path)


def write_meshes(root, count=6):
    """Different shapes of two categories, each ten times as large as the one before."""
    for number in range(count):
        export(shape(number, 10.0**number), root / ("chair", "table")[number % 2] / f"m{number}.{EXTENSIONS[number]}")


def tree(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
