"""One shape or training pair of the procedural data set, from its seed alone."""

import zlib

import numpy as np

from keras_wcd.data.io.mesh import Mesh, sample_surface
from keras_wcd.data.procedural.airplanes import AIRPLANES
from keras_wcd.data.procedural.cabinets import CABINETS
from keras_wcd.data.procedural.cars import CARS
from keras_wcd.data.procedural.chairs import CHAIRS
from keras_wcd.data.procedural.lamps import LAMPS
from keras_wcd.data.procedural.primitives import join
from keras_wcd.data.procedural.sofas import SOFAS
from keras_wcd.data.procedural.tables import TABLES
from keras_wcd.data.procedural.watercraft import WATERCRAFT
from keras_wcd.data.resampling import Frame, fps_order, resample
from keras_wcd.data.scanner.camera import Camera
from keras_wcd.data.scanner.depth_camera import random_rotation, scan
from keras_wcd.data.scanner.sides import seen_well

VERSION = 2
"""Rises when the same seed makes other points, so that caches of older ones are left alone."""

SUBTYPES = {
    "airplane": AIRPLANES,
    "cabinet": CABINETS,
    "car": CARS,
    "chair": CHAIRS,
    "lamp": LAMPS,
    "sofa": SOFAS,
    "table": TABLES,
    "watercraft": WATERCRAFT,
}
"""For every category the makers of its sub-types: functions of a random generator that return parts."""

PARTIAL_POINTS = 2048
FPS_PREFIX = 2048
"""The ground truth begins with a farthest point sampling of this size."""


def item(seed: int, split: str, index: int, num_points: int, views: int) -> tuple[np.ndarray, np.ndarray]:
    """Scans `(views, 2048, 3)` and ground truth `(num_points, 3)` of one shape, float32.

    The ground truth is uniform over the area of all surfaces, hidden ones too, and ordered by `fps_order`. Each
    scan is what a PCN camera sees from a random side, with one to two times its pixels each way, resampled.
    """
    rng = np.random.default_rng([seed, zlib.crc32(split.encode()), index])
    mesh = shape(rng, *plan(index))
    complete = sample_surface(mesh, num_points, rng).astype(np.float32)
    complete = complete[fps_order(complete, min(num_points, FPS_PREFIX))]
    partial = np.stack([_view(mesh, rng) for _ in range(views)])
    return partial, complete


def plan(index: int) -> tuple[str, str]:
    """Category and sub-type of a shape: both are dealt in turn, so that every split holds all of them."""
    categories = list(SUBTYPES)
    category = categories[index % len(categories)]
    kinds = list(SUBTYPES[category])
    return category, kinds[index // len(categories) % len(kinds)]


def shape(rng: np.random.Generator, category: str, kind: str) -> Mesh:
    """A random mesh in the canonical frame: y up, front +x, centered, bounding-box diagonal 1."""
    mesh = join(SUBTYPES[category][kind](rng))
    vertices = mesh.vertices * np.exp(rng.normal(0, 0.06, 3))
    frame = Frame.of(vertices[np.unique(mesh.faces)])
    return Mesh((vertices - np.array(frame.center)) / frame.scale, mesh.faces)


def _view(mesh: Mesh, rng: np.random.Generator) -> np.ndarray:
    camera = Camera().finer(rng.uniform(1, 2))
    seen = seen_well(lambda: scan(mesh, random_rotation(rng), camera))
    return resample(seen.astype(np.float32), PARTIAL_POINTS, seed=int(rng.integers(2**31)))
