import numpy as np
import pytest
from scipy.spatial import cKDTree
from shared import DATA as SHARED

from keras_wcd.data.io.mesh import Mesh, read_mesh
from keras_wcd.data.procedural.primitives import box, ellipsoid, join, loft, rod
from keras_wcd.data.resampling import Frame
from keras_wcd.data.scanner.camera import Camera
from keras_wcd.data.scanner.depth_camera import depth_image, look_from, random_rotation, scan

SMALL = Camera(40, 30, 25.0)


def naive_depth(mesh, rotation, camera):
    """Moeller and Trumbore's intersection of every triangle with the rays of all pixels."""
    vertices = mesh.vertices @ rotation.T + (0, 0, camera.distance)
    row, column = np.indices((camera.height, camera.width))
    x, y = column + 0.5 - camera.width / 2, row + 0.5 - camera.height / 2
    rays = np.stack([x / camera.focal, y / camera.focal, np.ones(x.shape)], axis=-1)
    image = np.full(row.shape, np.inf)
    for a, b, c in vertices[mesh.faces]:
        p = np.cross(rays, c - a)
        det = p @ (b - a)
        q = np.cross(-a, b - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v, depth = p @ -a / det, rays @ q / det, (c - a) @ q / det
        hit = (np.abs(det) > 1e-14) & (u >= 0) & (v >= 0) & (u + v <= 1) & (depth > 0)
        image[hit] = np.minimum(image[hit], depth[hit])
    return image


def meshes():
    rng = np.random.default_rng(0)
    soup = Mesh(rng.uniform(-0.3, 0.3, (60, 3)), rng.integers(0, 60, (40, 3)))
    return {
        "box": box((0.6, 0.3, 0.4)),
        "two bodies": join([ellipsoid((0.3, 0.1, 0.2), sides=10), rod((-0.4, 0, 0), (0.3, 0.3, 0.1), 0.03, sides=6)]),
        "open sheet": loft(rng.uniform(-0.3, 0.3, (4, 5, 3)), closed=False, caps=False),
        "soup with degenerate triangles": soup,
    }


@pytest.mark.parametrize("name", meshes())
def test_depth_equals_a_naive_ray_caster(name):
    mesh, rotation = meshes()[name], random_rotation(np.random.default_rng(3))
    found, expected = depth_image(mesh, rotation, SMALL), naive_depth(mesh, rotation, SMALL)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_plane_aligned_with_the_pixels_has_no_holes():
    mesh = box((0.5, 0.5, 0.5))
    image = depth_image(mesh, np.eye(3), Camera(41, 31, 20.0))
    seen = np.isfinite(image)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    assert seen[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    np.testing.assert_allclose(image[seen], 0.75)


def test_depth_of_a_real_mesh_equals_a_naive_ray_caster():
    path = SHARED / "meshes" / "cabinet" / "bedsideTable2.obj"
    if not path.exists():
        pytest.skip(f"no real meshes at {SHARED}")
    mesh = read_mesh(path)
    mesh = Mesh(Frame.of(mesh.vertices).apply(mesh.vertices).astype(np.float64), mesh.faces)
    rotation = look_from((1.0, 0.6, 0.8))
    found, expected = depth_image(mesh, rotation, Camera()), naive_depth(mesh, rotation, Camera())
    assert np.isclose(found, expected, atol=1e-9).mean() > 0.9999


def test_scanned_points_lie_on_the_surface_and_face_the_camera():
    mesh = ellipsoid((0.4, 0.4, 0.4), sides=60)
    for direction in np.random.default_rng(1).normal(size=(5, 3)):
        points = scan(mesh, look_from(direction))
        assert len(points) > 1000
        np.testing.assert_allclose(np.linalg.norm(points, axis=1), 0.4, atol=0.004)
        assert (points @ (direction / np.linalg.norm(direction))).min() > 0.1


def test_hidden_parts_are_not_scanned():
    wall, hidden = box((0.02, 0.6, 0.6), (0.2, 0, 0)), box((0.1, 0.1, 0.1), (-0.2, 0, 0))
    assert scan(join([wall, hidden]), look_from((1, 0, 0)))[:, 0].min() > 0.18


def test_a_view_from_every_side_covers_the_surface():
    mesh = box((0.5, 0.4, 0.3))
    sides = [scan(mesh, look_from(d)) for d in np.concatenate([np.eye(3), -np.eye(3)])]
    corners = np.array([[x, y, z] for x in (-0.25, 0.25) for y in (-0.2, 0.2) for z in (-0.15, 0.15)])
    assert cKDTree(np.concatenate(sides)).query(corners)[0].max() < 0.02


def test_random_rotations_are_rotations_without_a_preferred_direction():
    rng = np.random.default_rng(0)
    rotations = np.stack([random_rotation(rng) for _ in range(2000)])
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (2000, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotations), 1)
    assert np.abs(rotations.mean(axis=0)).max() < 0.05


@pytest.mark.parametrize("direction", [(1, 0, 0), (0, 1, 0), (0, -1, 0), (0.3, -2, 1)])
def test_the_camera_sits_where_it_is_told_to(direction):
    rotation = look_from(direction)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_allclose(-rotation[2], np.array(direction) / np.linalg.norm(direction))


def test_a_mesh_behind_the_camera_is_an_error():
    with pytest.raises(ValueError, match="reaches to the camera"):
        scan(box((3, 3, 3)), np.eye(3))


def test_an_object_outside_the_image_yields_no_point():
    assert scan(box((0.1, 0.1, 0.1), (0, 3, 0)), np.eye(3)).shape == (0, 3)
