"""A virtual depth camera: the points of a triangle mesh that are seen from a view point.

Visibility is exact: a z-buffer in NumPy, filled row by row of every triangle, or a ray tracer where one is installed.
"""

import numpy as np

from keras_wcd.data.io.mesh import Mesh
from keras_wcd.data.scanner import embree
from keras_wcd.data.scanner.camera import Camera, project, rays, rotate, rotation_matrices

_EDGE = 1e-9
"""Slack, in pixels, that gives a pixel center on a shared edge to both triangles rather than to none."""


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A rotation matrix `(3, 3)` drawn uniformly, by a uniform unit quaternion (Shoemake, 1992)."""
    w, x, y, z = _unit(rng.standard_normal(4))
    return rotation_matrices(np.array([x, y, z, w]), library="numpy")


def look_from(direction: np.ndarray) -> np.ndarray:
    """The rotation of a camera that looks at the origin from `direction` `(3,)`, with y up in its image."""
    back = _unit(np.asarray(direction, np.float64))
    up = np.array([0.0, 1.0, 0.0]) if abs(back[1]) < 0.999 else np.array([1.0, 0.0, 0.0])
    right = _unit(np.cross(up, back))
    # The image's axes are right, down and forward.
    return np.stack([right, np.cross(right, back), -back])


def depth_image(
    mesh: Mesh,
    rotation: np.ndarray,
    camera: Camera | None = None,
    *,
    method: str = "z_buffer",
    library: str = "numpy",
) -> np.ndarray:
    """Distance along the optical axis at every pixel center `(height, width)`, inf where nothing is seen.

    Args:
        mesh: Triangles in the object's frame; both sides of a triangle are seen.
        rotation: From the object's frame to the camera's axes (right, down, forward) `(3, 3)`.
        camera: PCN's by default.
        method: "z_buffer", "embree" (the extra `embree`), or "auto": Embree where it is installed. Embree may
            decide otherwise about pixels whose center lies on an edge, to a millionth of a pixel.
        library: Of the transforms, as in `camera`.

    Raises:
        ValueError: where the mesh reaches behind the camera; for another method, or one that is not installed.
    """
    camera = camera or Camera()
    vertices = rotate(mesh.vertices, rotation, library=library) + (0.0, 0.0, camera.distance)
    if len(vertices) and not vertices[:, 2].min() > 1e-6:
        raise ValueError(
            f"the mesh reaches to the camera (nearest depth {vertices[:, 2].min():.3g}); "
            f"move the camera away: its distance is {camera.distance}"
        )
    corners = vertices[mesh.faces]  # (F, 3 corners, 3)
    if embree.chosen(method) == "embree":
        face, row, column = embree.first_hits(mesh, rotation, camera)
    else:
        face, row, column = _covered(project(corners, camera, library=library), camera)
    depth = _depth(corners, face, column, row, camera)
    image = np.full(camera.width * camera.height, np.inf)
    np.minimum.at(image, row * camera.width + column, depth)
    return image.reshape(camera.height, camera.width)


def scan(
    mesh: Mesh,
    rotation: np.ndarray,
    camera: Camera | None = None,
    *,
    method: str = "z_buffer",
    library: str = "numpy",
) -> np.ndarray:
    """The points `(N, 3)` of the mesh that the camera sees, one for each pixel, in the object's frame.

    Arguments and errors are those of `depth_image`; N may be 0.
    """
    camera = camera or Camera()
    image = depth_image(mesh, rotation, camera, method=method, library=library)
    row, column = np.nonzero(np.isfinite(image))
    ray = rays(np.stack([column, row], axis=1), camera, library=library)
    seen = ray * image[row, column, None] - (0.0, 0.0, camera.distance)
    return rotate(seen, np.asarray(rotation).T, library=library)


def _covered(pixels: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Face, row and column of every pixel center in every triangle; `pixels` `(F, 3 corners, 2)`."""
    u, v = pixels[..., 0], pixels[..., 1]
    face, row = _rows(v, camera.height)
    left, right = _span(u[face], v[face], row)
    first = np.maximum(np.ceil(left - _EDGE), 0).astype(np.int64)
    last = np.minimum(np.floor(right + _EDGE), camera.width - 1).astype(np.int64)
    span, column = _ranges(first, last)
    return face[span], row[span], column


def _rows(v: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of a triangle and a row of pixels that it may cross; `v` `(F, 3)` in pixels."""
    first = np.maximum(np.ceil(v.min(axis=1) - _EDGE), 0).astype(np.int64)
    last = np.minimum(np.floor(v.max(axis=1) + _EDGE), height - 1).astype(np.int64)
    return _ranges(first, last)


def _ranges(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For ranges first..last: the number of the range and the value, of every value in them."""
    length = np.maximum(last - first + 1, 0)
    owner = np.repeat(np.arange(len(first)), length)
    start = np.cumsum(length) - length
    return owner, np.arange(length.sum()) - (start - first)[owner]


def _span(u: np.ndarray, v: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left and right end of a row inside its triangle; `u`, `v` `(R, 3)`, `row` `(R,)`."""
    left, right = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        rise = v[:, b] - v[:, a]
        flat = np.abs(rise) < _EDGE
        share = np.where(flat, 0.0, (row - v[:, a]) / np.where(flat, 1.0, rise))
        crosses = (share > -1e-12) & (share < 1 + 1e-12) & (~flat | (np.abs(row - v[:, a]) < 2 * _EDGE))
        place = u[:, a] + share * (u[:, b] - u[:, a])
        left = np.where(crosses, np.minimum(left, place), left)
        right = np.where(crosses, np.maximum(right, place), right)
    empty = left > right
    return np.where(empty, 1.0, left), np.where(empty, -1.0, right)


def _depth(corners: np.ndarray, face: np.ndarray, column: np.ndarray, row: np.ndarray, camera: Camera) -> np.ndarray:
    """Depth at which the rays of pixels meet the planes of their triangles."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    normal = np.cross(b - a, c - a)
    offset = (normal * a).sum(axis=1)
    x = (column + 0.5 - camera.width / 2) / camera.focal
    y = (row + 0.5 - camera.height / 2) / camera.focal
    slope = normal[face, 0] * x + normal[face, 1] * y + normal[face, 2]
    near, far = corners[..., 2].min(axis=1)[face], corners[..., 2].max(axis=1)[face]
    # A triangle seen edge on has no certain depth; its corners bound it.
    depth = offset[face] / np.where(slope == 0, 1.0, slope)
    return np.clip(np.where(slope == 0, near, depth), near, far)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt((vector * vector).sum())
