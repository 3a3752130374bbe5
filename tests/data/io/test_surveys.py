"""What scanners and surveys write: LAS and LAZ, E57, Leica's ptx, the sweeps of KITTI and nuScenes."""

import struct
import sys

import laspy
import numpy as np
import pytest
from fuzzing import memory_limit, try_to_read

from keras_wcd.data import read_cloud, read_points

RNG = np.random.default_rng(0)
COUNT = 500
OFFSET = np.array([500_000.0, 5_400_000.0, 100.0])
COLORS = RNG.integers(0, 256, (COUNT, 3))
LAZ = [(extension, version) for extension in (".las", ".laz") for version in (("1.2", 0), ("1.2", 3), ("1.3", 2))]
LAZ += [(extension, ("1.4", kind)) for extension in (".las", ".laz") for kind in (6, 7, 8)]


def las(path, version="1.2", kind=3, colors=COLORS << 8, normals=False):
    header = laspy.LasHeader(version=version, point_format=kind)
    header.offsets, header.scales = OFFSET, (1e-4, 1e-4, 1e-4)
    if normals:
        header.add_extra_dims([laspy.ExtraBytesParams(f"Normal{axis}", np.float32) for axis in "XYZ"])
    data = laspy.LasData(header)
    steps = RNG.integers(0, 10**6, (COUNT, 3)).astype(np.int32)
    data.X, data.Y, data.Z = steps.T
    if "red" in data.point_format.dimension_names:
        data.red, data.green, data.blue = colors.T.astype(np.uint16)
    if normals:
        for axis in "XYZ":
            data[f"Normal{axis}"] = np.full(COUNT, 0.5, np.float32)
    data.write(path, laz_backend=laspy.LazBackend.Lazrs)
    return steps * 1e-4 + OFFSET


@pytest.mark.parametrize(("extension", "version"), LAZ)
def test_las_gives_the_surveys_own_coordinates(tmp_path, extension, version):
    points = las(tmp_path / f"c{extension}", *version)
    found = read_cloud(tmp_path / f"c{extension}")
    assert found.points.dtype == np.float64
    np.testing.assert_allclose(found.points, points, rtol=0, atol=1e-8)
    if version[1] in (0, 6):
        assert found.colors is None
    else:
        np.testing.assert_array_equal(found.colors, COLORS)


def test_colors_of_a_las_that_fill_8_of_16_bits_are_not_black(tmp_path):
    las(tmp_path / "c.las", colors=COLORS)
    np.testing.assert_array_equal(read_cloud(tmp_path / "c.las").colors, COLORS)


def test_normals_among_the_extra_bytes_of_a_las(tmp_path):
    las(tmp_path / "c.laz", "1.4", 7, normals=True)
    np.testing.assert_array_equal(read_cloud(tmp_path / "c.laz").normals, np.full((COUNT, 3), 0.5))


@pytest.mark.parametrize("extension", [".las", ".laz"])
@pytest.mark.parametrize("version", [("1.2", 3), ("1.4", 7)])
def test_a_lying_header_costs_no_memory(tmp_path, extension, version):
    path = tmp_path / f"c{extension}"
    las(path, *version)
    content = bytearray(path.read_bytes())
    content[107:111] = struct.pack("<I", 2**32 - 1)
    if version[0] == "1.4":
        content[247:255] = struct.pack("<Q", 10**15)
    path.write_bytes(content)
    with memory_limit(2**26), pytest.raises(ValueError, match=f"c{extension}: "):
        read_points(path)


@pytest.mark.parametrize("version", [("1.2", 3), ("1.4", 7)])
def test_lying_sizes_inside_a_laz_cost_no_memory(tmp_path, version):
    path = tmp_path / "c.laz"
    las(path, *version)
    content = path.read_bytes()
    (start,) = struct.unpack_from("<I", content, 96)
    (table,) = struct.unpack_from("<q", content, start)
    record = struct.unpack_from("<H", content, 105)[0]
    for place in (table + 4, start + 8 + record + 4):
        damaged = bytearray(content)
        damaged[place : place + 4] = struct.pack("<I", 2**32 - 2)
        path.write_bytes(damaged)
        with memory_limit(2**27):
            assert try_to_read(path) in (False, version[0] == "1.2")  # Without layers those bytes are a point's.


def test_many_records_before_the_points_are_not_counted_one_by_one(tmp_path):
    path = tmp_path / "c.las"
    las(path)
    content = bytearray(path.read_bytes())
    content[100:104] = struct.pack("<I", 10**9)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="records"):
        read_points(path)


@pytest.mark.parametrize("rotation", [(1, 0, 0, 0), (0.5, 0.5, 0.5, 0.5)])
def test_scans_of_an_e57_are_put_in_their_places(tmp_path, rotation):
    pye57 = pytest.importorskip("pye57")
    points = RNG.normal(size=(COUNT, 3))
    data = {f"cartesian{axis}": points[:, k] for k, axis in enumerate("XYZ")}
    data |= {f"color{tone}": COLORS[:, k].astype(np.uint8) for k, tone in enumerate(("Red", "Green", "Blue"))}
    file = pye57.E57(str(tmp_path / "c.e57"), mode="w")
    for place in (np.zeros(3), OFFSET):
        file.write_scan_raw(data, rotation=np.array(rotation), translation=place)
    file.close()
    turned = points if rotation[0] == 1 else points[:, [2, 0, 1]]
    found = read_cloud(tmp_path / "c.e57")
    np.testing.assert_allclose(found.points, np.concatenate([turned, turned + OFFSET]), atol=1e-8)
    np.testing.assert_array_equal(found.colors, np.tile(COLORS, (2, 1)))


def test_an_e57_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pye57", None)
    (tmp_path / "c.e57").write_bytes(b"ASTM-E57" + bytes(100))
    with pytest.raises(ValueError, match=r"c\.e57: .*pip install \"keras-wcd\[e57\]\""):
        read_points(tmp_path / "c.e57")


def ptx(points, pose, colors=None, size=None):
    head = [str(size or len(points)), "1", "0 0 0", "1 0 0", "0 1 0", "0 0 1"]
    head += [" ".join(map(repr, row)) for row in pose.tolist()]
    rows = np.c_[points, np.full(len(points), 0.5)] if colors is None else np.c_[points, np.ones(len(points)), colors]
    return "\n".join([*head, *(" ".join(map(repr, row)) for row in rows.tolist())]) + "\n"


def test_scans_of_a_ptx_are_put_in_their_places_without_what_met_nothing(tmp_path):
    points, pose = RNG.normal(size=(60, 3)), np.eye(4)
    points[10:20] = 0
    pose[:3, :3], pose[3, :3] = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], OFFSET
    (tmp_path / "c.ptx").write_text(ptx(points, pose, COLORS[:60]) + ptx(points, np.eye(4), COLORS[:60]))
    found, kept = read_cloud(tmp_path / "c.ptx"), np.delete(np.arange(60), range(10, 20))
    turned = np.c_[-points[:, 1], points[:, 0], points[:, 2]] + OFFSET
    np.testing.assert_allclose(found.points, np.concatenate([turned[kept], points[kept]]), rtol=1e-12)
    np.testing.assert_array_equal(found.colors, np.tile(COLORS[kept], (2, 1)))


@pytest.mark.parametrize("size", [61, 10**15, -1])
def test_a_ptx_that_promises_other_points_is_refused(tmp_path, size):
    (tmp_path / "c.ptx").write_text(ptx(RNG.normal(size=(60, 3)), np.eye(4), size=size))
    with memory_limit(2**26), pytest.raises(ValueError, match=r"c\.ptx: "):
        read_points(tmp_path / "c.ptx")


@pytest.mark.parametrize(("name", "width"), [("000000.bin", 4), ("sweep.pcd.bin", 5), ("SWEEP.BIN", 4)])
def test_sweeps_without_a_header(tmp_path, name, width):
    rows = RNG.normal(size=(50, width)).astype("<f4")
    rows[:, 3:] = np.abs(rows[:, 3:])
    rows.tofile(tmp_path / name)
    np.testing.assert_array_equal(read_points(tmp_path / name), rows[:, :3])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(30), "rows of 4"),
        (np.full((8, 4), -1, "<f4").tobytes(), "intensity"),
        (b"text" * 3 + b"\xff" * 4, "inten"),
    ],
)
def test_what_is_no_sweep_is_refused(tmp_path, content, message):
    (tmp_path / "c.bin").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_points(tmp_path / "c.bin")
