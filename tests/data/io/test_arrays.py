"""Arrays: which of several is read, rows of many clouds, wide rows, fields by name."""

import h5py
import numpy as np
import pytest

from keras_wcd.data import read_cloud, read_points
from keras_wcd.data.io.arrays import PARTIAL

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(40, 3)).astype(np.float32)
COLORS = RNG.integers(0, 256, (40, 3)).astype(np.uint8)


def archive(folder, extension, **arrays):
    path = folder / f"c{extension}"
    if extension == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file[name] = values
    return path


@pytest.fixture(params=[".npz", ".h5", ".hdf5"])
def save(request, tmp_path):
    return lambda **arrays: archive(tmp_path, request.param, **arrays)


@pytest.mark.parametrize("scan", ["partial", "Partial", "incomplete", "incomplete_pcds"])
def test_the_scan_of_a_pair_is_read_for_completing_and_asked_for_otherwise(save, scan):
    path = save(**{"complete": POINTS + 1, scan: POINTS})
    np.testing.assert_array_equal(read_points(path, prefer=PARTIAL), POINTS)
    with pytest.raises(ValueError, match=f"--dataset.*complete.*{scan}|--dataset.*{scan}.*complete"):
        read_points(path)
    np.testing.assert_array_equal(read_points(path, dataset="complete", prefer=PARTIAL), POINTS + 1)


def test_one_array_of_a_pair_alone_is_read(save):
    np.testing.assert_array_equal(read_points(save(complete=POINTS, label=np.arange(3))), POINTS)


@pytest.mark.parametrize("arrays", [{"left": 1, "right": 1}, {"points": 1, "xyz": 1}, {"partial": 1, "partial_pc": 1}])
def test_several_arrays_are_never_guessed_between(save, arrays):
    path = save(**dict.fromkeys(arrays, POINTS))
    with pytest.raises(ValueError, match="--dataset .*" + ".*".join(sorted(arrays))):
        read_points(path)
    np.testing.assert_array_equal(read_points(path, dataset=sorted(arrays)[1]), POINTS)


@pytest.mark.parametrize("which", [{}, {"dataset": "up"}])
def test_errors_about_arrays_name_the_option(save, which):
    with pytest.raises(ValueError, match="--dataset.*label"):
        read_points(save(label=np.arange(3), image=np.zeros((4, 5, 200))), **which)


@pytest.mark.parametrize("name", ["points", "xyz", "data", "pos", "Points"])
def test_the_array_called_points_goes_before_others(save, name):
    np.testing.assert_array_equal(read_points(save(**{name: POINTS, "other": POINTS + 1})), POINTS)


@pytest.mark.parametrize("key", ["rgb", "colors", "color", "colours", "RGB"])
def test_colors_go_by_many_names(save, key):
    np.testing.assert_array_equal(read_cloud(save(**{"points": POINTS, key: COLORS})).colors, COLORS)


def test_normals_and_colors_with_a_fourth_channel(save):
    found = read_cloud(save(xyz=POINTS, rgb=np.c_[COLORS, COLORS[:, :1]], normal=POINTS))
    np.testing.assert_array_equal(found.colors, COLORS)
    np.testing.assert_array_equal(found.normals, POINTS)


@pytest.mark.parametrize("extension", [".npy", ".npz", ".h5"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_row_of_many_clouds(tmp_path, extension, order):
    many = np.asarray(RNG.normal(size=(5, 40, 3)).astype(np.float32), order=order)
    path = tmp_path / f"c{extension}"
    if extension == ".npy":
        np.save(path, many)
    else:
        archive(tmp_path, extension, points=many)
    for index in (0, 3, 4, -1):
        np.testing.assert_array_equal(read_points(path, index=index), many[index])
    with pytest.raises(ValueError, match=r"5 clouds, of which --index \(index=\) names one, from 0 to 4"):
        read_points(path)
    with pytest.raises(ValueError, match="between 0 and 4, got 5"):
        read_points(path, index=5)


@pytest.mark.parametrize("extension", [".npy", ".npz", ".h5"])
def test_one_of_one_needs_no_index_and_a_single_cloud_takes_none(tmp_path, extension):
    for values in (POINTS[None], POINTS):
        path = tmp_path / f"c{extension}"
        if extension == ".npy":
            np.save(path, values)
        else:
            archive(tmp_path, extension, points=values)
        np.testing.assert_array_equal(read_points(path), POINTS)
    with pytest.raises(ValueError, match="names no row"):
        read_points(path, index=0)


def test_a_row_of_a_compressed_data_set(tmp_path):
    many = RNG.normal(size=(64, 50, 3)).astype(np.float32)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_dataset("incomplete_pcds", data=many, chunks=(8, 25, 3), compression="gzip", shuffle=True)
        file["complete_pcds"] = many
        file["labels"] = np.arange(64)
    np.testing.assert_array_equal(read_points(tmp_path / "c.h5", index=37, prefer=PARTIAL), many[37])


@pytest.mark.parametrize("width", [4, 5, 6, 7, 64])
@pytest.mark.parametrize("extension", [".npy", ".npz", ".h5"])
def test_columns_behind_the_third_are_left_out_and_said(tmp_path, extension, width):
    wide = np.concatenate([POINTS, RNG.normal(size=(40, width - 3))], axis=1)
    path = tmp_path / f"c{extension}"
    if extension == ".npy":
        np.save(path, wide)
    else:
        archive(tmp_path, extension, points=wide)
    found = read_cloud(path)
    np.testing.assert_array_equal(found.points, POINTS)
    assert found.notes["columns left out"] == f"{width - 3} behind x, y, z"


@pytest.mark.parametrize("shape", [(3, 40), (40, 2), (40, 100), (100,), (4, 5, 6, 3), (3, 4)])
def test_arrays_of_other_shapes_are_refused(tmp_path, shape):
    np.save(tmp_path / "c.npy", np.ones(shape))
    with pytest.raises(ValueError, match="a cloud has shape"):
        read_points(tmp_path / "c.npy")


@pytest.mark.parametrize("extension", [".npy", ".npz", ".h5"])
def test_fields_by_name(tmp_path, extension):
    rows = np.zeros(40, [("Intensity", "f4"), ("Z", "<f8"), ("X", ">f4"), ("Y", "f4"), *((c, "u2") for c in "rgb")])
    for k, axis in enumerate("XYZ"):
        rows[axis] = POINTS[:, k]
    for k, tone in enumerate("rgb"):
        rows[tone] = COLORS[:, k].astype(np.uint16) << 8
    path = tmp_path / f"c{extension}"
    if extension == ".npy":
        np.save(path, rows)
    else:
        archive(tmp_path, extension, cloud=rows)
    found = read_cloud(path)
    np.testing.assert_array_equal(found.points, POINTS)
    np.testing.assert_array_equal(found.colors, COLORS)
    assert found.notes["columns left out"] == "Intensity"


def test_columns_as_arrays_of_their_own(save):
    found = read_cloud(save(X=POINTS[:, 0], Y=POINTS[:, 1], Z=POINTS[:, 2], time=np.arange(40)))
    np.testing.assert_array_equal(found.points, POINTS)


def test_a_file_of_another_format_has_no_arrays(tmp_path):
    (tmp_path / "c.xyz").write_text("1 2 3\n")
    for choice in ({"dataset": "points"}, {"index": 0}):
        with pytest.raises(ValueError, match=next(iter(choice))):
            read_points(tmp_path / "c.xyz", **choice)
