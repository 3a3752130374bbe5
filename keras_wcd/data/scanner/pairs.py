"""Pairs from one mesh: its canonical frame, points of its surface, virtual depth scans of it."""

import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from keras_wcd.data.io import ply
from keras_wcd.data.io.limits import FormatError
from keras_wcd.data.io.mesh import Mesh, face_areas, read_mesh, sample_surface
from keras_wcd.data.resampling import Frame
from keras_wcd.data.scanner.camera import Camera, rotation_matrices
from keras_wcd.data.scanner.depth_camera import scan
from keras_wcd.data.scanner.sides import seen_well

UPS = ("y", "z")


@dataclass(frozen=True)
class Scanning:
    """How meshes become pairs.

    Attributes:
        views: Scans of each mesh.
        points: Points of the ground truth.
        seed: Of everything random.
        up: Axis of the meshes that points up, "y" or "z"; the front is +x.
        method: Of the visibility, as in `depth_camera.depth_image`.

    Raises:
        ValueError: for another axis, a number below 1, a negative seed.
    """

    views: int = 8
    points: int = 16384
    seed: int = 0
    up: str = "y"
    method: str = "z_buffer"

    def __post_init__(self):
        for name in ("views", "points"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if self.up not in UPS:
            raise ValueError(f"up must be one of {UPS}, got {self.up!r}")

    def settings(self) -> dict:
        """The attributes by name."""
        return asdict(self)

    def mesh(self, path: Path) -> Mesh:
        """The mesh of a file in the canonical frame: y up, centered, bounding-box diagonal 1.

        Raises:
            FormatError: where it cannot be read, or has no surface.
        """
        vertices, faces = _read(path)
        if not len(faces):
            raise FormatError("it holds no triangles")
        if not np.isfinite(vertices[faces]).all():
            raise FormatError("a triangle has a corner that is not finite; repair the mesh")
        if self.up == "z":
            vertices = vertices[:, [0, 2, 1]] * (1.0, 1.0, -1.0)
        frame = Frame.of(vertices[np.unique(faces)])
        # Corners that no triangle uses may be anything.
        mesh = Mesh(np.nan_to_num((vertices - frame.center) / frame.scale), faces)
        used, inverse = np.unique(mesh.faces, return_inverse=True)
        mesh = Mesh(mesh.vertices[used], inverse.reshape(-1, 3))
        if not face_areas(mesh).sum() > 0:
            raise FormatError("its triangles have no area")
        return mesh

    def complete(self, mesh: Mesh, name: str) -> np.ndarray:
        """The ground truth of a shape `(points, 3)`, float32, uniform over its surface."""
        return sample_surface(mesh, self.points, self._rng(name, 0)).astype(np.float32)

    def partial(self, mesh: Mesh, name: str, view: int) -> np.ndarray:
        """One scan of a shape `(N, 3)`, float32: what a depth camera sees of it from a random side.

        Raises:
            FormatError: where nothing is seen from any side tried.
        """
        rng = self._rng(name, 1 + view)

        def look() -> np.ndarray:
            drawn = rng.standard_normal(4)
            rotation = rotation_matrices(drawn / np.sqrt((drawn * drawn).sum()))
            return scan(mesh, rotation, Camera(), method=self.method)

        seen = seen_well(look)
        if not len(seen):
            raise FormatError("no side of it is seen at the camera's resolution")
        return seen.astype(np.float32)

    def _rng(self, name: str, part: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(name.encode()), part])


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if path.suffix.lower() == ".ply":
        vertices, faces = ply.read(path)
        return np.asarray(vertices.points, np.float64), faces
    return read_mesh(path)
