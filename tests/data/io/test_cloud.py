"""Colors and normals beside the points, in every format that has a place for them."""

import struct

import h5py
import numpy as np
import pytest

from keras_wcd.data import Cloud, read_cloud, read_points, write_cloud
from keras_wcd.data.io import lzf
from keras_wcd.data.io.cloud import as_colors, columns_of, from_columns
from keras_wcd.data.io.formats import WRITERS

RICH = (".ply", ".pcd", ".npz", ".h5", ".hdf5", ".csv")
WAYS = [(extension, encoding) for extension, (_, encodings) in WRITERS.items() for encoding in encodings]


@pytest.fixture
def cloud():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(100, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    colors = rng.integers(0, 256, (100, 3)).astype(np.uint8)
    return Cloud(rng.normal(size=(100, 3)).astype(np.float32), colors, normals.astype(np.float32))


def same(found, cloud):
    for name in ("points", "colors", "normals"):
        there, here = getattr(found, name), getattr(cloud, name)
        assert (there is None) == (here is None), name
        if here is not None:
            np.testing.assert_array_equal(there.astype(here.dtype), here, err_msg=name)


@pytest.mark.parametrize("fields", [("colors",), ("normals",), ("colors", "normals"), ()])
@pytest.mark.parametrize(("extension", "encoding"), WAYS)
def test_colors_and_normals_read_back_where_the_format_has_them(tmp_path, cloud, extension, encoding, fields):
    cloud = cloud.without(*({"colors", "normals"} - set(fields)))
    write_cloud(tmp_path / f"c{extension}", cloud, encoding=encoding)
    found = read_cloud(tmp_path / f"c{extension}")
    same(found, cloud if extension in RICH else cloud.without("colors", "normals"))
    assert found.colors is None or found.colors.dtype == np.uint8
    assert found.normals is None or found.normals.dtype == np.float32
    np.testing.assert_array_equal(read_points(tmp_path / f"c{extension}"), found.points)


@pytest.mark.parametrize("extension", RICH)
def test_rows_that_are_not_finite_take_their_colors_with_them(tmp_path, cloud, extension):
    points = cloud.points.copy()
    points[3], points[50, 1] = np.nan, np.inf
    write_cloud(tmp_path / f"c{extension}", Cloud(points, cloud.colors, cloud.normals))
    same(read_cloud(tmp_path / f"c{extension}"), cloud.select(np.delete(np.arange(100), [3, 50])))


@pytest.mark.parametrize(
    ("kind", "size", "pack"),
    [("F", 4, "<f4"), ("U", 4, "<u4"), ("I", 4, "<i4"), ("F", 8, "<f8")],
)
@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed"])
def test_packed_colors_of_a_pcd_in_every_type(tmp_path, encoding, kind, size, pack):
    bits = np.array([0x00FF8001, 0x000000FF, 0x00102030], np.uint32)
    packed = (bits.view("<f4") if kind == "F" else bits).astype(pack)
    rows = np.zeros(3, [("x", "<f4"), ("y", "<f4"), ("rgb", pack), ("z", "<f4")])
    rows["rgb"], rows["x"] = packed, [1, 2, 3]
    head = f"FIELDS x y rgb z\nSIZE 4 4 {size} 4\nTYPE F F {kind} F\nWIDTH 3\nHEIGHT 1\nDATA {encoding}\n".encode()
    if encoding == "ascii":
        body = "\n".join(f"{x} 0 {p!r} 0" for x, p in zip((1, 2, 3), packed.tolist(), strict=True)).encode()
    elif encoding == "binary":
        body = rows.tobytes()
    else:
        columns = b"".join(np.ascontiguousarray(rows[name]).tobytes() for name in rows.dtype.names)
        packed = lzf.compress(columns)
        body = struct.pack("<II", len(packed), len(columns)) + packed
    (tmp_path / "c.pcd").write_bytes(head + body)
    found = read_cloud(tmp_path / "c.pcd")
    assert found.colors.tolist() == [[0xFF, 0x80, 0x01], [0, 0, 0xFF], [0x10, 0x20, 0x30]]
    assert found.points[:, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 0.5, 1]]), [0, 128, 255]),
        (np.array([[0.0, 128.0, 255.0]]), [0, 128, 255]),
        (np.array([[0, 32896, 65535]], np.uint16), [0, 128, 255]),
        (np.array([[-3, 255, 7]]), [0, 255, 7]),
        (np.array([[-3, 300, 70000]]), [0, 1, 255]),
        (np.array([[np.nan, np.inf, 2]]), [0, 255, 2]),
    ],
)
def test_colors_of_any_kind_become_bytes(values, expected):
    assert as_colors(values).tolist() == [expected]


@pytest.mark.parametrize(
    "header",
    ["x,y,z,r,g,b,a", "X Y Z Red Green Blue alpha", '"x";"y";"z";"diffuse_red";"diffuse_green";"diffuse_blue";"a"'],
)
def test_text_names_its_colors(tmp_path, header):
    (tmp_path / "c.txt").write_text(f"{header}\n1 2 3 10 20 30 1\n4 5 6 40 50 60 1\n")
    found = read_cloud(tmp_path / "c.txt")
    assert found.colors.tolist() == [[10, 20, 30], [40, 50, 60]]
    assert found.points.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_text_without_names_has_colors_where_three_columns_can_be_nothing_else(tmp_path):
    for text, colors in (
        ("1 2 3 10 20 30\n4 5 6 0 0 255\n", [[10, 20, 30], [0, 0, 255]]),
        ("1 2 3 10 20 30\n4 5 6 0 0 256\n", None),
        ("1 2 3 10 20 30\n4 5 6 0 0 .5\n", None),
        ("1 2 3 0 0 1\n4 5 6 0 1 0\n", None),
        ("1 2 3 -0.5 10 20 30\n4 5 6 300 0 0 255\n", [[10, 20, 30], [0, 0, 255]]),
        ("1 2 3 10 20 30 7\n", None),
        ("1 2 3 10 20 30 255\n4 5 6 0 0 9 255\n", [[10, 20, 30], [0, 0, 9]]),
        ("1 2 3 10 20\n", None),
    ):
        (tmp_path / "c.txt").write_text(text)
        found = read_cloud(tmp_path / "c.txt").colors
        assert (found if found is None else found.tolist()) == colors, text


def test_columns_come_apart_and_together(cloud):
    columns = columns_of(cloud)
    assert list(columns) == ["x", "y", "z", "nx", "ny", "nz", "red", "green", "blue"]
    same(from_columns(columns), cloud)


@pytest.mark.parametrize(
    ("cloud", "message"),
    [
        (Cloud(np.zeros((2, 3)), np.zeros((3, 3))), "colors must be"),
        (Cloud(np.zeros((2, 3)), None, np.zeros((2, 2))), "normals must be"),
        (Cloud(np.zeros((2, 3)), np.zeros((2, 3), complex)), "colors must be"),
        (Cloud(np.zeros((3, 9))), "transpose"),
    ],
)
def test_writing_names_the_array_that_does_not_fit(tmp_path, cloud, message):
    with pytest.raises(ValueError, match=message):
        write_cloud(tmp_path / "c.ply", cloud)


def test_hdf5_takes_the_data_set_that_is_a_cloud(tmp_path, cloud):
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["scan/data"] = cloud.points
        file["scan/colors"] = cloud.colors / 255
        file["labels"] = np.zeros(100)
        file["pairs"] = np.zeros((2, 100, 3))
    same(read_cloud(tmp_path / "c.h5"), cloud.without("normals"))


def test_several_arrays_are_listed_and_one_is_named(tmp_path, cloud):
    arrays = {"left": cloud.points, "right": cloud.points + 1}
    np.savez(tmp_path / "c.npz", **arrays)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        for name, values in arrays.items():
            file[name] = values
    for name in ("c.h5", "c.npz"):
        with pytest.raises(ValueError, match=f"{name}: .*left.*right"):
            read_points(tmp_path / name)
        np.testing.assert_array_equal(read_points(tmp_path / name, dataset="right"), cloud.points + 1)
        with pytest.raises(ValueError, match="'up'"):
            read_points(tmp_path / name, dataset="up")
    write_cloud(tmp_path / "c.ply", cloud)
    with pytest.raises(ValueError, match="dataset names an array"):
        read_points(tmp_path / "c.ply", dataset="points")


@pytest.mark.parametrize(
    "how",
    [
        {"compression": "gzip"},
        {"compression": "lzf", "shuffle": True},
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (7, 2)},
    ],
)
def test_hdf5_is_read_through_its_usual_filters(tmp_path, cloud, how):
    with h5py.File(tmp_path / "c.h5", "w", libver="latest") as file:
        file.create_dataset("data", data=cloud.points, **how)
    np.testing.assert_array_equal(read_points(tmp_path / "c.h5"), cloud.points)


def test_a_transposed_data_set_is_told(tmp_path):
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["data"] = np.zeros((3, 50))
    with pytest.raises(ValueError, match="transpose"):
        read_points(tmp_path / "c.h5", dataset="data")
