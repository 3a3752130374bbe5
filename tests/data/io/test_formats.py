import os
import pathlib
import re
import struct

import numpy as np
import pytest
from plys import header, quad_ply
from scipy.spatial import cKDTree
from shared import DATA as SHARED

from keras_wcd.data import read_points, write_points
from keras_wcd.data.io import layout, lzf, mesh
from keras_wcd.data.io.formats import MESH_READERS, READERS, WRITERS
from keras_wcd.data.io.limits import atomic_write
from keras_wcd.data.procedural.primitives import box

ROOT = pathlib.Path(__file__).parents[3]
WAYS = [(extension, encoding) for extension, (_, encodings) in WRITERS.items() for encoding in encodings]


@pytest.fixture
def cloud():
    return np.random.default_rng(0).normal(size=(257, 3)).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("extension", "encoding"), WAYS)
def test_what_is_written_reads_back_bit_for_bit(tmp_path, cloud, extension, encoding, dtype):
    path = tmp_path / f"a cloud é{extension}"
    write_points(path, (cloud * 1.1).astype(dtype), encoding=encoding)
    found = read_points(path)
    np.testing.assert_array_equal(found.astype(dtype), (cloud * 1.1).astype(dtype))
    assert found.dtype == (np.float64 if extension in (".xyz", ".txt", ".csv") else dtype)
    assert found.flags.c_contiguous
    assert os.listdir(tmp_path) == [path.name]


def test_every_written_format_can_be_read():
    assert set(WRITERS) <= set(READERS) | set(MESH_READERS)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("extension", "encoding"), WAYS)
def test_tiny_clouds_round_trip(tmp_path, cloud, extension, encoding, count):
    write_points(tmp_path / f"c{extension}", cloud[:count], encoding=encoding)
    np.testing.assert_array_equal(read_points(tmp_path / f"c{extension}").astype(np.float32), cloud[:count])


@pytest.mark.parametrize("order", ["<", ">"])
def test_reads_binary_ply_of_both_endians_with_other_properties(tmp_path, cloud, order):
    dtype = np.dtype(
        [("red", "u1"), ("z", order + "f8"), ("x", order + "f4"), ("y", order + "f4"), ("q", order + "i2")]
    )
    rows = np.zeros(len(cloud), dtype)
    for k, axis in enumerate("xyz"):
        rows[axis] = cloud[:, k]
    names = {"<": "binary_little_endian", ">": "binary_big_endian"}
    vertex = f"element vertex {len(cloud)}\nproperty uchar red\nproperty double z\nproperty float x\n"
    content = header(names[order], vertex, "property float32 y\nproperty int16 q\n") + rows.tobytes()
    (tmp_path / "c.ply").write_bytes(content)
    np.testing.assert_array_equal(read_points(tmp_path / "c.ply"), cloud)


@pytest.mark.parametrize("lengths", [(3,), (4,), (3, 4)])
@pytest.mark.parametrize("encoding", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_samples_the_faces_of_a_ply(tmp_path, encoding, lengths):
    (tmp_path / "m.ply").write_bytes(quad_ply(encoding, lengths))
    points = read_points(tmp_path / "m.ply", points=4000, seed=1)
    assert points.shape == (4000, 3)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points.mean(axis=0), (0.5, 0.5, 0), atol=0.02)
    np.testing.assert_allclose(points[:, :2].std(axis=0), np.sqrt(1 / 12), atol=0.01)
    np.testing.assert_array_equal(points, read_points(tmp_path / "m.ply", points=4000, seed=1))


@pytest.mark.parametrize("extension", mesh.EXTENSIONS)
def test_samples_meshes_in_every_format(tmp_path, extension):
    import trimesh

    trimesh.Trimesh(*box((2, 4, 6)), process=False).export(tmp_path / f"m{extension}")
    points = read_points(tmp_path / f"m{extension}", points=20000)
    np.testing.assert_allclose(np.abs(points).max(axis=0), (1, 2, 3), rtol=1e-5)
    on_face = [np.isclose(np.abs(points[:, axis]), half).mean() for axis, half in enumerate((1, 2, 3))]
    np.testing.assert_allclose(on_face, np.array([24, 12, 8]) / 44, atol=0.015)


def test_pcd_fields_in_any_order_with_counts_and_organized_clouds(tmp_path, cloud):
    rows = np.zeros(
        256, [("n", "<f4", (33,)), ("z", "<f4"), ("rgb", "<u4"), ("x", "<f4"), ("_", "u1", (3,)), ("y", "<f4")]
    )
    for k, axis in enumerate("xyz"):
        rows[axis] = cloud[:256, k]
    rows["x"][5] = np.nan
    head = (
        "# comment\nVERSION .7\nFIELDS n z rgb x _ y\nSIZE 4 4 4 4 1 4\nTYPE F F U F U F\nCOUNT 33 1 1 1 3 1\n"
        "WIDTH 16\nHEIGHT 16\nDATA {}\n"
    )
    (tmp_path / "b.pcd").write_bytes(head.format("binary").encode() + rows.tobytes())
    np.testing.assert_array_equal(read_points(tmp_path / "b.pcd"), np.delete(cloud[:256], 5, axis=0))
    columns = b"".join(np.ascontiguousarray(rows[name]).tobytes() for name in rows.dtype.names)
    packed = lzf.compress(columns)
    assert len(packed) < len(columns) / 2
    body = struct.pack("<II", len(packed), len(columns)) + packed
    (tmp_path / "c.pcd").write_bytes(head.format("binary_compressed").encode() + body)
    np.testing.assert_array_equal(read_points(tmp_path / "c.pcd"), np.delete(cloud[:256], 5, axis=0))
    lines = [" ".join(["0"] * 33 + [repr(float(v)) for v in (z, 7, x, 1, 1, 1, y)]) for x, y, z in cloud[:256]]
    (tmp_path / "a.pcd").write_bytes(head.format("ascii").encode() + "\n".join(lines).encode())
    np.testing.assert_array_equal(read_points(tmp_path / "a.pcd"), cloud[:256])


@pytest.mark.parametrize(
    "text",
    [
        "1 2 3\n4 5 6\n",
        "\n# a comment\n1,2,3\n4,5,6",
        "1;2;3;9\r\n4;5;6;9\r\n",
        "x,y,z\n1,2,3\n4,5,6\n",
        '"Z" "r" "X" "Y"\n3 0 1 2\n6 0 4 5\n',
        "2\n1 2 3\n4 5 6\n",
        "\ufeff1\t2\t3\n4\t5\t6 # end\n",
        "1e0 2 3\nnan nan nan\n4 5 6\ninf 0 0\n",
    ],
)
@pytest.mark.parametrize("extension", [".xyz", ".txt", ".csv"])
def test_reads_text_as_people_write_it(tmp_path, text, extension):
    (tmp_path / f"c{extension}").write_text(text, encoding="utf-8")
    np.testing.assert_array_equal(read_points(tmp_path / f"c{extension}"), [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("key", ["points", "xyz", "anything"])
def test_reads_the_cloud_of_an_archive(tmp_path, cloud, key):
    others = {} if key == "anything" else {"label": np.arange(3)}
    np.savez(tmp_path / "c.npz", **{key: cloud}, **others)
    np.testing.assert_array_equal(read_points(tmp_path / "c.npz"), cloud)


@pytest.mark.parametrize("dtype", [">f4", "<f8", "f2", "i4", "u1"])
def test_reads_any_numeric_dtype_and_memory_order(tmp_path, dtype):
    array = np.asfortranarray(np.arange(30).reshape(10, 3).astype(dtype))
    np.save(tmp_path / "c.npy", array)
    found = read_points(tmp_path / "c.npy")
    assert found.dtype == (np.float64 if dtype == "<f8" else np.float32)
    np.testing.assert_array_equal(found, array)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.ply"):
        read_points(tmp_path / "nothing.ply")
    (tmp_path / "d.npy").mkdir()
    with pytest.raises(ValueError, match="folder"):
        read_points(tmp_path / "d.npy")
    with pytest.raises(ValueError, match="folder"):
        write_points(tmp_path / "d.npy", np.zeros((2, 3)))
    with pytest.raises(ValueError, match="does not exist"):
        write_points(tmp_path / "missing" / "c.npy", np.zeros((2, 3)))


@pytest.mark.parametrize("points", [np.zeros((3, 9)), np.zeros((0, 3)), np.zeros(3), np.zeros((2, 3), complex), "text"])
def test_writing_refuses_what_is_no_cloud(tmp_path, points):
    with pytest.raises(ValueError, match="points must be"):
        write_points(tmp_path / "c.ply", points)
    assert not os.listdir(tmp_path)


def test_writing_refuses_unknown_extensions_and_encodings(tmp_path):
    with pytest.raises(ValueError, match=r"known are .*\.xyz"):
        write_points(tmp_path / "c.obj", np.zeros((2, 3)))
    with pytest.raises(ValueError, match="encoding"):
        write_points(tmp_path / "c.ply", np.zeros((2, 3)), encoding="binary_compressed")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "c.npy").write_bytes(b"old")

    def interrupted():
        with atomic_write(tmp_path / "c.npy") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == ["c.npy"]
    assert (tmp_path / "c.npy").read_bytes() == b"old"


@pytest.mark.parametrize("name", ["pcn_car.pcd", "pcn_chair.pcd", "pointr_sofa.pcd", "pointr_scan.ply"])
def test_reads_real_scans(name):
    if not (SHARED / "demo" / name).exists():
        pytest.skip(f"no real scans at {SHARED}")
    points = read_points(SHARED / "demo" / name)
    promised = int(
        (SHARED / "demo" / name).read_bytes().split(b"POINTS " if ".pcd" in name else b"vertex ")[1].split()[0]
    )
    assert points.shape == (promised, 3)
    assert points.dtype == np.float32


@pytest.mark.parametrize(
    "name",
    [
        "cabinet/bedsideTable2.obj",
        "cabinet/drawersCabinet.ply",
        "chair/stool2.glb",
        "chair/foldingChair.stl",
        "lamp/outdoorLamp.off",
    ],
)
def test_samples_real_meshes(name):
    if not (SHARED / "meshes" / name).exists():
        pytest.skip(f"no real meshes at {SHARED}")
    import trimesh

    points = read_points(SHARED / "meshes" / name, points=2000)
    surface = trimesh.load(SHARED / "meshes" / name, force="mesh")
    dense, _ = trimesh.sample.sample_surface(surface, 20000, seed=0)
    size = np.linalg.norm(np.ptp(dense, axis=0))
    assert cKDTree(dense).query(points)[0].max() < 0.03 * size
    assert cKDTree(points).query(dense)[0].max() < 0.08 * size


def test_the_table_of_formats_names_every_extension_that_is_read():
    page = (ROOT / "docs" / "formats.md").read_text()
    rows = re.findall(r"^\| ([a-z0-9, ]+) \|", page, re.MULTILINE)
    named = {f".{name}" for row in rows[1:] for name in row.split(", ")}
    assert named == set(READERS) | set(MESH_READERS)


def test_the_page_and_the_code_have_the_same_rule_for_text():
    page = (ROOT / "docs" / "formats.md").read_text().replace("**", "").replace("`#`, `//` or `%`", "#, // or %")
    rule = layout.__doc__[layout.__doc__.index("1. ") :]
    assert " ".join(rule.split()) in " ".join(page.split())


def test_the_page_of_formats_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "formats.md").read_text(), re.DOTALL):
        exec(compile(code, "formats.md", "exec"), {})
