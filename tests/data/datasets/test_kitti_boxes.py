import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from keras_wcd.data.datasets.kitti_boxes import from_box_frame, read_box, to_box_frame

UNIT = np.array([[x, y, z] for z in (-1, 1) for x, y in ((-1, 1), (-1, -1), (1, -1), (1, 1))]) / 2


def box(length=4.0, width=1.6, height=1.5, yaw=0.0, place=(0, 0, 0)):
    """Corners in KITTI's order: 0 and 3 end one edge along the car."""
    return Rotation.from_euler("z", yaw).apply(UNIT * (length, width, height)) + place


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(50, 3))


@pytest.mark.parametrize("yaw", [0.0, 0.7, np.pi / 2, -2.5, np.pi])
def test_a_turned_box_becomes_one_of_length_one_along_x_with_y_up(yaw):
    corners = box(yaw=yaw, place=(30, -12, -0.8))
    expected = UNIT[:, [0, 2, 1]] * (1, 1.5 / 4, 1.6 / 4)
    np.testing.assert_allclose(to_box_frame(corners, corners), expected, atol=1e-12)


@pytest.mark.parametrize("yaw", [0.3, -1.9])
def test_agrees_with_a_rotation_by_minus_yaw(points, yaw):
    corners = box(yaw=yaw, place=(5, 6, 7))
    turned = Rotation.from_euler("z", -yaw).apply(points - (5, 6, 7)) / 4
    np.testing.assert_allclose(to_box_frame(points, corners), np.stack([turned[:, 0], turned[:, 2], turned[:, 1]], 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_there_and_back_is_the_same_cloud(points, dtype):
    corners = box(yaw=1.1, place=(40, 3, -1))
    points = (points + corners.mean(axis=0)).astype(dtype)
    back = from_box_frame(to_box_frame(points, corners), corners)
    assert back.dtype == dtype
    np.testing.assert_allclose(back, points, rtol=1e-6 if dtype == np.float32 else 1e-14, atol=1e-6)


def test_a_box_is_read_from_text(tmp_path):
    np.savetxt(tmp_path / "b.txt", box(yaw=0.4))
    np.testing.assert_allclose(read_box(tmp_path / "b.txt"), box(yaw=0.4))


@pytest.mark.parametrize("content", ["", "1 2 3\n" * 7, "1 2 3\n" * 8, "a b c\n" * 8, "nan 0 0\n" * 8, "1 2\n" * 8])
def test_a_file_that_is_no_box_is_named(tmp_path, content):
    (tmp_path / "b.txt").write_text(content)
    with pytest.raises(ValueError, match=r"b\.txt: not a box"):
        read_box(tmp_path / "b.txt")


def test_a_missing_box_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.txt"):
        read_box(tmp_path / "no.txt")
    with pytest.raises(ValueError, match="folder"):
        read_box(tmp_path)


@pytest.mark.parametrize("corners", [np.zeros((8, 3)), np.zeros((7, 3)), np.full((8, 3), np.inf)])
def test_corners_without_a_length_are_refused(points, corners):
    with pytest.raises(ValueError, match="corners"):
        to_box_frame(points, corners)
