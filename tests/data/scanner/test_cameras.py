import importlib.util
import sys

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.spatial.transform import Rotation
from shared import DATA

from keras_wcd.data.io.mesh import read_mesh, sample_surface
from keras_wcd.data.procedural.primitives import box, ellipsoid, join, rod
from keras_wcd.data.resample import Frame
from keras_wcd.data.scanner import camera, embree
from keras_wcd.data.scanner.depth_camera import Camera, depth_image, look_from, random_rotation, scan
from keras_wcd.data.scanner.hidden_points import hidden_point_removal

SHARED = DATA / "meshes"
CAMERA = Camera()


def has(module):
    return importlib.util.find_spec(module) is not None


needs_graphics = pytest.mark.skipif(not has("tensorflow_graphics"), reason="tensorflow-graphics is not installed")
needs_embree = pytest.mark.skipif(not has("embreex"), reason="embreex is not installed")


def bodies():
    return join([ellipsoid((0.3, 0.1, 0.2), sides=12), rod((-0.4, 0, 0), (0.3, 0.3, 0.1), 0.03), box((0.1, 0.5, 0.1))])


def real_meshes():
    return sorted(p for p in SHARED.glob("*/*") if p.suffix in (".obj", ".stl", ".off", ".glb"))


def unit_quaternions(count):
    drawn = np.random.default_rng(0).standard_normal((count, 4))
    return drawn / np.sqrt((drawn**2).sum(axis=1, keepdims=True))


def test_rotations_are_those_of_scipy():
    drawn = unit_quaternions(50)
    found = camera.rotation_matrices(drawn, library="numpy")
    np.testing.assert_allclose(found, Rotation.from_quat(drawn).as_matrix(), atol=1e-14)


def test_projection_and_rays_are_inverse():
    pixels = np.random.default_rng(0).uniform(0, 100, (50, 2))
    ray = camera.rays(pixels, CAMERA, library="numpy")
    np.testing.assert_allclose(camera.project(ray * 3, CAMERA, library="numpy"), pixels, atol=1e-11)
    np.testing.assert_allclose(camera.project([[0, 0, 1.0]], CAMERA, library="numpy"), [[79.5, 59.5]])


@needs_graphics
def test_rotation_matrices_of_tensorflow_graphics_are_the_same_bits():
    drawn = unit_quaternions(1000)
    np.testing.assert_array_equal(*(camera.rotation_matrices(drawn, library=x) for x in ("numpy", "graphics")))


@needs_graphics
def test_camera_transforms_of_tensorflow_graphics_are_the_same_numbers():
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (200, 3)) + (0, 0, 1)
    rotation = random_rotation(np.random.default_rng(1))
    for function, arguments in (
        (camera.rotate, (points, rotation)),
        (camera.project, (points, CAMERA)),
        (camera.rays, (points[:, :2] * 100, CAMERA)),
    ):
        found = [function(*arguments, library=library) for library in ("graphics", "numpy")]
        np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-12)


@needs_graphics
def test_the_view_from_a_side_is_that_of_tensorflow_graphics():
    from tensorflow_graphics.rendering.camera import perspective  # noqa: F401, the package's own order of imports
    from tensorflow_graphics.geometry.transformation import look_at  # isort: skip

    for eye in np.random.default_rng(0).standard_normal((5, 3)):
        view = look_at.right_handed(eye, np.zeros(3), np.array([0.0, 1.0, 0.0])).numpy()[:3, :3]
        # Its axes are right, up and backward.
        np.testing.assert_allclose(look_from(eye), view * [[1], [-1], [-1]], atol=1e-12)


@needs_graphics
def test_a_scan_by_tensorflow_graphics_is_the_same_scan():
    mesh, rotation = bodies(), random_rotation(np.random.default_rng(0))
    found, expected = (scan(mesh, rotation, library=library) for library in ("graphics", "numpy"))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_without_the_extra_the_library_is_numpy_and_asking_for_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(camera, "_works", lambda: False)
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    assert camera.chosen("auto") == "numpy"
    assert embree.chosen("auto") == "z_buffer"
    with pytest.raises(ValueError, match=r"keras-wcd\[graphics\]"):
        camera.chosen("graphics")
    with pytest.raises(ValueError, match=r"keras-wcd\[embree\]"):
        embree.chosen("embree")
    for choose in (camera.chosen, embree.chosen):
        with pytest.raises(ValueError, match="got 'magic'"):
            choose("magic")


def compare(mesh, seed):
    """Share of pixels of which tracer and z-buffer differ, of those that either sees."""
    rotation = random_rotation(np.random.default_rng(seed))
    buffer, traced = (depth_image(mesh, rotation, method=m) for m in ("z_buffer", "embree"))
    seen = np.isfinite(buffer) | np.isfinite(traced)
    with np.errstate(invalid="ignore"):
        return (np.abs(buffer - traced)[seen] > 1e-5).mean() + (np.isfinite(buffer) != np.isfinite(traced))[seen].mean()


@needs_embree
def test_embree_sees_what_the_z_buffer_sees():
    assert np.mean([compare(bodies(), seed) for seed in range(5)]) < 1e-3


@needs_embree
@pytest.mark.parametrize("path", real_meshes()[:6], ids=lambda path: path.stem)
def test_embree_and_the_z_buffer_agree_on_real_meshes(path):
    mesh = read_mesh(path)
    frame = Frame.of(mesh.vertices)
    mesh = mesh._replace(vertices=(mesh.vertices - frame.center) / frame.scale)
    assert np.mean([compare(mesh, seed) for seed in range(2)]) < 3e-3


@needs_embree
def test_embree_sees_nothing_of_no_triangles():
    mesh = bodies()._replace(faces=np.zeros((0, 3), np.int64))
    assert scan(mesh, np.eye(3), method="embree").shape == (0, 3)


def test_hidden_points_of_a_sphere_are_those_behind_its_horizon():
    points = np.random.default_rng(0).standard_normal((4000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    view = np.array([0.0, 0.0, 3.0])
    seen = np.zeros(len(points), bool)
    seen[hidden_point_removal(points, view)] = True
    expected = points @ view > 1  # The tangent cone touches where p . v = 1.
    assert (seen & expected).sum() / expected.sum() > 0.95
    assert (seen & expected).sum() / seen.sum() > 0.95


def test_visible_points_are_the_extreme_ones_of_a_linear_programme():
    rng, radius = np.random.default_rng(3), 5.0
    points, view = rng.normal(size=(40, 3)), np.array([4.0, 1, 0])
    relative = points - view
    length = np.linalg.norm(relative, axis=1, keepdims=True)
    flipped = relative + 2 * (radius * length.max() - length) * relative / length
    corners = np.concatenate([flipped, np.zeros((1, 3))])
    expected = []
    for i in range(len(points)):
        others = np.delete(corners, i, axis=0)
        # Hidden: a mixture of the others.
        equations = np.concatenate([others.T, np.ones((1, len(others)))])
        mixture = linprog(np.zeros(len(others)), A_eq=equations, b_eq=[*corners[i], 1], bounds=(0, None))
        if mixture.status == 2:
            expected.append(i)
    assert 3 < len(expected) < 40
    assert hidden_point_removal(points, view, radius=radius).tolist() == expected


def test_hidden_point_removal_agrees_with_the_z_buffer_on_a_body():
    mesh, rotation = box((0.6, 0.4, 0.5)), look_from(np.array([1.0, 0.6, 0.4]))
    points = sample_surface(mesh, 8000, np.random.default_rng(0))
    image = depth_image(mesh, rotation)
    inside = camera.rotate(points, rotation, library="numpy") + (0, 0, 1)
    column, row = np.round(camera.project(inside, CAMERA, library="numpy")).astype(int).T
    expected = inside[:, 2] < image[row, column] + 0.02
    seen = np.zeros(len(points), bool)
    seen[hidden_point_removal(points, -rotation[2])] = True
    assert (seen == expected).mean() > 0.9


def test_hidden_point_removal_does_not_depend_on_place_or_units():
    points, view = np.random.default_rng(0).normal(size=(300, 3)), np.array([5.0, 0, 0])
    first = hidden_point_removal(points, view)
    np.testing.assert_array_equal(first, hidden_point_removal(points * 1000 + 7, view * 1000 + 7))


@pytest.mark.parametrize(
    ("points", "view", "radius", "named"),
    [
        (np.zeros((3, 3)), np.ones(3), 100, "points"),
        (np.full((9, 3), np.nan), np.ones(3), 100, "points"),
        (np.eye(3)[[0, 1, 2, 0]], np.eye(3)[0], 100, "outside"),
        (np.ones((9, 3)), np.zeros(2), 100, "view"),
        (np.ones((9, 3)), np.zeros(3), 0.5, "radius"),
        (np.random.default_rng(0).normal(size=(9, 3)) * (1, 1, 0), np.array([5.0, 5, 0]), 100, "one plane"),
    ],
)
def test_hidden_point_removal_refuses_what_it_cannot_see(points, view, radius, named):
    with pytest.raises(ValueError, match=named):
        hidden_point_removal(points, view, radius=radius)
