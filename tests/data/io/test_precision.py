"""Coordinates keep the digits that their values need, in every format, and no dtype changes where they need none."""

import struct

import numpy as np
import pytest

from keras_wcd.data import Cloud, read_cloud, read_points, write_cloud
from keras_wcd.data.io.cloud import as_points, narrowed

NORTH = 5_400_000
CORNERS = np.array([[0, NORTH, 0], [1, NORTH, 0], [0, NORTH + 1, 0.25]])


def obj(corners):
    return "".join(f"v {x!r} {y!r} {z!r}\n" for x, y, z in corners.tolist()) + "f 1 2 3\n"


def off(corners):
    return "OFF\n3 1 0\n" + "".join(f"{x!r} {y!r} {z!r}\n" for x, y, z in corners.tolist()) + "3 0 1 2\n"


def stl(corners):
    lines = "".join(f"vertex {x!r} {y!r} {z!r}\n" for x, y, z in corners.tolist())
    return f"solid a\nfacet normal 0 0 1\nouter loop\n{lines}endloop\nendfacet\nendsolid a\n"


def ply(corners, encoding="ascii", kind="double"):
    head = f"ply\nformat {encoding} 1.0\nelement vertex 3\n" + "".join(f"property {kind} {axis}\n" for axis in "xyz")
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    if encoding == "ascii":
        return head + "".join(f"{x!r} {y!r} {z!r}\n" for x, y, z in corners.tolist()) + "3 0 1 2\n"
    return head.encode() + corners.astype("<f8").tobytes() + struct.pack("<B3i", 3, 0, 1, 2)


MESHES = {
    "m.obj": obj,
    "m.off": off,
    "m.stl": stl,
    "ascii.ply": ply,
    "binary.ply": lambda corners: ply(corners, "binary_little_endian"),
    "declared float.ply": lambda corners: ply(corners, kind="float"),
}


def put(tmp_path, name, content):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return tmp_path / name


@pytest.mark.parametrize("name", MESHES)
def test_a_meter_far_north_is_sampled_in_its_detail(tmp_path, name):
    points = read_points(put(tmp_path, name, MESHES[name](CORNERS.astype(float))), points=2000)
    assert points.dtype == np.float64
    assert len(np.unique(points[:, 1])) == 2000
    assert NORTH <= points[:, 1].min() < points[:, 1].max() <= NORTH + 1
    inside = points - CORNERS[0]
    np.testing.assert_allclose(inside[:, 2], inside[:, 1] / 4, atol=1e-8)


@pytest.mark.parametrize("name", MESHES)
def test_meshes_about_the_origin_stay_float32(tmp_path, name):
    corners = CORNERS - [0, NORTH, 0] + 0.1
    assert read_points(put(tmp_path, name, MESHES[name](corners)), points=50).dtype == np.float32


@pytest.mark.parametrize("dtype", ["<i8", "<u8", "<i4", ">i8", "<u4"])
def test_whole_numbers_beyond_24_bits_stay_exact(tmp_path, dtype):
    offset = 5_400_000_000 if "8" in dtype else 2_000_000_000
    points = (np.arange(300).reshape(100, 3) + offset).astype(dtype)
    np.save(tmp_path / "c.npy", points)
    np.savez(tmp_path / "c.npz", points=points)
    for name in ("c.npy", "c.npz"):
        found = read_points(tmp_path / name)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found.astype(points.dtype), points)


@pytest.mark.parametrize("kind", ["int", "uint"])
@pytest.mark.parametrize("encoding", ["ascii", "binary_little_endian"])
def test_millimeters_of_a_ply_and_a_pcd_stay_exact(tmp_path, kind, encoding):
    points = np.arange(30, dtype="<i4" if kind == "int" else "<u4").reshape(10, 3) + 2_000_000_001
    body = b"\n".join(b"%d %d %d" % tuple(p) for p in points) if encoding == "ascii" else points.tobytes()
    axes = "".join(f"property {kind} {axis}\n" for axis in "xyz")
    head = f"ply\nformat {encoding} 1.0\nelement vertex 10\n{axes}end_header\n"
    np.testing.assert_array_equal(read_points(put(tmp_path, "c.ply", head.encode() + body)), points)
    letter = kind[0].upper()
    head = f"FIELDS x y z\nSIZE 4 4 4\nTYPE {letter} {letter} {letter}\nWIDTH 10\nHEIGHT 1\nDATA {encoding[:6]}\n"
    np.testing.assert_array_equal(read_points(put(tmp_path, "c.pcd", head.encode() + body)), points)


@pytest.mark.parametrize("name", ["c.ply", "c.pcd"])
def test_digits_beyond_a_declared_float_are_kept_where_they_matter(tmp_path, name):
    rng = np.random.default_rng(0)
    for place, dtype in ((NORTH, np.float64), (0, np.float32)):
        points = rng.random((50, 3)) + [0, place, 0]
        write_cloud(tmp_path / name, Cloud(points.astype(np.float32)), encoding="ascii")
        head = (tmp_path / name).read_bytes().split(b"end_header\n" if name == "c.ply" else b"DATA ascii\n")[0]
        end = b"end_header\n" if name == "c.ply" else b"DATA ascii\n"
        text = "\n".join(" ".join(map(repr, p)) for p in points.tolist()).encode()
        found = read_points(put(tmp_path, name, head + end + text))
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, points.astype(dtype))


def test_a_cloud_of_vertices_keeps_its_doubles(tmp_path):
    text = "".join(f"v 0.5 {NORTH + k / 7!r} 3\n" for k in range(20))
    points = read_cloud(put(tmp_path, "c.obj", text)).points
    np.testing.assert_array_equal(points[:, 1], [NORTH + k / 7 for k in range(20)])


def test_float32_clouds_far_away_stay_float32(tmp_path):
    points = (np.random.default_rng(0).random((50, 3)) + [0, NORTH, 0]).astype(np.float32)
    for name in ("c.ply", "c.pcd", "c.npy"):
        write_cloud(tmp_path / name, Cloud(points))
        found = read_points(tmp_path / name)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, points)


@pytest.mark.parametrize("offset", [0, 1, 1e2, 1e4, 1e6, 1e9, 1e39])
def test_narrowing_never_costs_a_millionth_of_the_extent(offset):
    points = np.random.default_rng(0).random((200, 3)) * max(1.0, offset * 1e-9) + offset
    found = narrowed(points)
    extent = np.ptp(points, axis=0).max()
    assert np.abs(found.astype(np.float64) - points).max() <= 2e-6 * extent
    assert found.dtype == (np.float32 if offset <= 1 else np.float64)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i1", "u2", "i4", "i8"])
def test_small_values_keep_the_dtypes_of_before(dtype):
    wide = dtype in ("f8", "g")
    assert as_points(np.arange(9).reshape(3, 3).astype(dtype)).dtype == (np.float64 if wide else np.float32)
