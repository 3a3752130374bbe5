"""A virtual pinhole camera and its transforms, in NumPy or by tensorflow-graphics where that is installed.

Everything is float64. `library` is "graphics", "numpy", or "auto": tensorflow-graphics where the program has loaded
TensorFlow already, and the extra `graphics` is installed and works with it.
"""

import sys
from dataclasses import dataclass

import numpy as np

from keras_wcd.data.scanner import graphics

LIBRARIES = ("auto", "graphics", "numpy")


@dataclass(frozen=True)
class Camera:
    """A pinhole depth camera that looks at the origin; by default the one that made PCN's partial clouds.

    Attributes:
        width: Pixels across.
        height: Pixels down.
        focal: Focal length in pixels.
        distance: From the camera to the origin of the object's frame.
    """

    width: int = 160
    height: int = 120
    focal: float = 100.0
    distance: float = 1.0

    def finer(self, factor: float) -> "Camera":
        """The same view with `factor` times as many pixels each way."""
        return Camera(round(self.width * factor), round(self.height * factor), self.focal * factor, self.distance)


def chosen(library: str) -> graphics.Modules | None:
    """The modules of tensorflow-graphics that do the work, or None: NumPy does it.

    Raises:
        ValueError: for another name, or "graphics" where tensorflow-graphics is not installed.
    """
    if library not in LIBRARIES:
        raise ValueError(f"library must be one of {LIBRARIES}, got {library!r}")
    if library == "numpy" or (library == "auto" and "tensorflow" not in sys.modules):
        return None
    found = graphics.modules()
    if found is None and library == "graphics":
        raise ValueError("library='graphics' needs tensorflow-graphics; install keras-wcd[graphics]")
    return found


def rotation_matrices(quaternions: np.ndarray, *, library: str = "auto") -> np.ndarray:
    """Rotations `(..., 3, 3)` of unit quaternions `(..., 4)` in the order x, y, z, w; bit for bit equal either way."""
    quaternions = np.asarray(quaternions, np.float64)
    if (by := chosen(library)) is not None:
        return by.rotation.from_quaternion(quaternions).numpy()
    x, y, z, w = np.moveaxis(quaternions, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def rotate(points: np.ndarray, rotation: np.ndarray, *, library: str = "auto") -> np.ndarray:
    """`points @ rotation.T` for points `(N, 3)`; NumPy sums in a fixed order, the same bits on every machine's BLAS."""
    points, rotation = np.asarray(points, np.float64), np.asarray(rotation, np.float64)
    if (by := chosen(library)) is not None:
        return by.rotation.rotate(points, np.broadcast_to(rotation, (len(points), 3, 3))).numpy()
    x, y, z = points.T
    return np.stack([x * r[0] + y * r[1] + z * r[2] for r in rotation], axis=1)


def project(points: np.ndarray, camera: Camera, *, library: str = "auto") -> np.ndarray:
    """Column and row `(..., 2)` of points `(..., 3)` on the camera's axes; pixel centers are whole numbers."""
    points = np.asarray(points, np.float64)
    if (by := chosen(library)) is not None:
        return by.perspective.project(points, np.full(2, float(camera.focal)), _center(camera)).numpy()
    half = np.array([camera.width / 2, camera.height / 2])
    return camera.focal * points[..., :2] / points[..., 2:] + half - 0.5


def rays(pixels: np.ndarray, camera: Camera, *, library: str = "auto") -> np.ndarray:
    """Rays `(..., 3)` of depth 1 through the centers of pixels `(..., 2)` (column, row)."""
    pixels = np.asarray(pixels, np.float64)
    if (by := chosen(library)) is not None:
        return by.perspective.ray(pixels, np.full(2, float(camera.focal)), _center(camera)).numpy()
    x = (pixels[..., 0] + 0.5 - camera.width / 2) / camera.focal
    y = (pixels[..., 1] + 0.5 - camera.height / 2) / camera.focal
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def _center(camera: Camera) -> np.ndarray:
    return np.array([camera.width / 2 - 0.5, camera.height / 2 - 0.5])
