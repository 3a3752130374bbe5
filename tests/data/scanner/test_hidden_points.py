"""What a view point sees of a cloud, against geometry, a linear program and the depth camera."""

import numpy as np
import pytest
from scipy.optimize import linprog

from keras_wcd.data.io.mesh import sample_surface
from keras_wcd.data.procedural.primitives import box
from keras_wcd.data.scanner import camera
from keras_wcd.data.scanner.depth_camera import depth_image, look_from
from keras_wcd.data.scanner.hidden_points import hidden_point_removal

CAMERA = camera.Camera()


def test_hidden_points_of_a_sphere_are_those_behind_its_horizon():
    points = np.random.default_rng(0).standard_normal((4000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    view = np.array([0.0, 0.0, 3.0])
    seen = np.zeros(len(points), bool)
    seen[hidden_point_removal(points, view)] = True
    expected = points @ view > 1  # The tangent cone touches where p . v = 1.
    assert (seen & expected).sum() / expected.sum() > 0.95
    assert (seen & expected).sum() / seen.sum() > 0.95


def test_visible_points_are_the_extreme_ones_of_a_linear_program():
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
