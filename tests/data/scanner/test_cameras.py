"""The camera's transforms against SciPy and tensorflow-graphics, the ray tracer against the z-buffer."""

import importlib.util
import sys

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from shared import DATA

from keras_wcd.data.io.mesh import read_mesh
from keras_wcd.data.procedural.primitives import box, ellipsoid, join, rod
from keras_wcd.data.resampling import Frame
from keras_wcd.data.scanner import camera, embree, graphics
from keras_wcd.data.scanner.camera import Camera
from keras_wcd.data.scanner.depth_camera import depth_image, look_from, random_rotation, scan

SHARED = DATA / "meshes"
CAMERA = Camera()


needs_graphics = pytest.mark.skipif(graphics.modules() is None, reason="tensorflow-graphics is not here")
needs_embree = pytest.mark.skipif(importlib.util.find_spec("embreex") is None, reason="embreex is not installed")


def bodies():
    return join([ellipsoid((0.3, 0.1, 0.2), sides=12), rod((-0.4, 0, 0), (0.3, 0.3, 0.1), 0.03), box((0.1, 0.5, 0.1))])


def real_meshes():
    found = sorted(p for p in SHARED.glob("*/*") if p.suffix in (".obj", ".stl", ".off", ".glb"))
    return found[:6] or [pytest.param(SHARED, marks=pytest.mark.skip(reason=f"no real meshes at {SHARED}"))]


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
    monkeypatch.setattr(graphics, "modules", lambda: None)
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    assert camera.chosen("auto") is None
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
@pytest.mark.parametrize("path", real_meshes(), ids=lambda path: path.stem)
def test_embree_and_the_z_buffer_agree_on_real_meshes(path):
    mesh = read_mesh(path)
    frame = Frame.of(mesh.vertices)
    mesh = mesh._replace(vertices=(mesh.vertices - frame.center) / frame.scale)
    assert np.mean([compare(mesh, seed) for seed in range(2)]) < 3e-3


@needs_embree
def test_embree_sees_nothing_of_no_triangles():
    mesh = bodies()._replace(faces=np.zeros((0, 3), np.int64))
    assert scan(mesh, np.eye(3), method="embree").shape == (0, 3)
