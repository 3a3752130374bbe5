import contextlib
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from keras_wcd.data import lzf, meshes, read_points, write_points
from keras_wcd.data.files import FormatError, atomic_write
from keras_wcd.data.formats import MESH_READERS, READERS, WRITERS
from keras_wcd.data.primitives import box

SHARED = Path(__file__).parents[3] / "shared" / "data"
WAYS = [(extension, encoding) for extension, (_, encodings) in WRITERS.items() for encoding in encodings]
PLY = "ply\nformat {} 1.0\ncomment made by hand\n{}end_header\n"


@pytest.fixture
def cloud():
    return np.random.default_rng(0).normal(size=(257, 3)).astype(np.float32)


def header(encoding, *elements):
    return PLY.format(encoding, "".join(elements)).encode()


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


def quad_ply(encoding, lengths):
    """A unit square as one face for each of `lengths`, each a fan of that many corners."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    faces = {3: [[0, 1, 2], [0, 2, 3]], 4: [[0, 1, 2, 3]]}
    rows = [face for length in lengths for face in faces[length]]
    head = header(
        encoding,
        "element vertex 4\nproperty float x\nproperty float y\nproperty float z\n",
        f"element face {len(rows)}\nproperty list uchar int vertex_indices\n",
    )
    if encoding == "ascii":
        lines = [" ".join(map(str, c)) for c in corners] + [" ".join(map(str, [len(r), *r])) for r in rows]
        return head + "\n".join(lines).encode()
    order = "<" if "little" in encoding else ">"
    body = corners.astype(order + "f4").tobytes()
    return head + body + b"".join(struct.pack(f"{order}B{len(r)}i", len(r), *r) for r in rows)


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


@pytest.mark.parametrize("extension", meshes.EXTENSIONS)
def test_samples_meshes_in_every_format(tmp_path, extension):
    import trimesh

    trimesh.Trimesh(*box((2, 4, 6)), process=False).export(tmp_path / f"m{extension}")
    points = read_points(tmp_path / f"m{extension}", points=20000)
    np.testing.assert_allclose(np.abs(points).max(axis=0), (1, 2, 3), rtol=1e-5)
    on_face = [np.isclose(np.abs(points[:, axis]), half).mean() for axis, half in enumerate((1, 2, 3))]
    np.testing.assert_allclose(on_face, np.array([24, 12, 8]) / 44, atol=0.015)


def test_pcd_fields_in_any_order_with_counts_and_organised_clouds(tmp_path, cloud):
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
    "data",
    [b"", b"a", b"abc" * 1000, bytes(5000), os.urandom(3000), b"abcdefghij" * 3 + os.urandom(9000) + b"abcdefghij"],
)
def test_lzf_round_trips(data):
    assert lzf.decompress(lzf.compress(data), len(data)) == data


def test_lzf_decodes_a_stream_written_by_hand():
    # Two literals "ab", then 7 + 2 + 5 bytes from two back, overlapping, then the literal "c".
    assert lzf.decompress(bytes([1, 97, 98, 7 << 5, 5, 1, 0, 99]), 17) == b"ab" + b"ab" * 7 + b"c"


@pytest.mark.parametrize("data", [bytes([31, 1]), bytes([0x20]), bytes([0, 1, 0x20, 9]), bytes([0, 1, 0])])
def test_lzf_refuses_what_is_corrupt(data):
    with pytest.raises(FormatError):
        lzf.decompress(data, 300)


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


def npy(shape, dtype="<f4", body=b""):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue() + body


def npz(content, name="points.npy"):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def saved(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


PCD = "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH {n}\nHEIGHT 1\nPOINTS {n}\nDATA {e}\n"
XYZ = "element vertex {}\nproperty float x\nproperty float y\nproperty float z\n"
GLTF = b'{"asset":{"version":"2.0"},"accessors":[{"count":1000000000000,"componentType":5126,"type":"VEC3"}]}  '
FACES = "element face {}\nproperty list uchar int vertex_indices\n"
HUGE = 10**15
BAD = {
    "empty.npy": b"",
    "text.npy": b"hello",
    "lying.npy": npy((HUGE, 3)),
    "short.npy": npy((10, 3), body=bytes(100)),
    "flat.npy": saved(np.zeros(9, np.float32)),
    "transposed.npy": saved(np.zeros((3, 50), np.float32)),
    "wide.npy": saved(np.zeros((50, 6), np.float32)),
    "objects.npy": saved(np.array([[1, 2, None]], object)),
    "complex.npy": saved(np.zeros((4, 3), complex)),
    "none.npy": saved(np.zeros((0, 3), np.float32)),
    "nan.npy": saved(np.full((4, 3), np.nan)),
    "empty.npz": b"",
    "nothing.npz": npz(b"", "readme.txt")[:0] + b"PK\5\6" + bytes(18),
    "short.npz": npz(npy((1, 3), body=os.urandom(4000)))[:300],
    "lying.npz": npz(npy((HUGE, 3))),
    "objects.npz": npz(saved(np.array([[1, 2, None]], object))),
    "text.npz": npz(b"not an array"),
    "empty.pcd": b"",
    "text.pcd": b"hello\nworld\n",
    "none.pcd": PCD.format(n=0, e="ascii").encode(),
    "lying ascii.pcd": PCD.format(n=HUGE, e="ascii").encode() + b"1 2 3\n",
    "short ascii.pcd": PCD.format(n=3, e="ascii").encode() + b"1.000 2.000 3.000\n4.000 5.000 6.000\n",
    "words.pcd": PCD.format(n=1, e="ascii").encode() + b"one two three\n",
    "lying binary.pcd": PCD.format(n=HUGE, e="binary").encode() + bytes(24),
    "negative.pcd": PCD.format(n=-3, e="binary").encode() + bytes(24),
    "lying compressed.pcd": PCD.format(n=HUGE, e="binary_compressed").encode() + struct.pack("<II", 4, 2**32 - 1),
    "bomb.pcd": PCD.format(n=3 * 10**8, e="binary_compressed").encode()
    + struct.pack("<II", 5, 36 * 10**8 % 2**32)
    + bytes(5),
    "short compressed.pcd": PCD.format(n=2, e="binary_compressed").encode() + struct.pack("<II", 90, 24) + bytes(5),
    "corrupt.pcd": PCD.format(n=2, e="binary_compressed").encode()
    + struct.pack("<II", 5, 24)
    + b"\xff\xff\xff\xff\xff",
    "encoding.pcd": PCD.format(n=2, e="zip").encode(),
    "fields.pcd": PCD.replace("x y z", "u v w").format(n=2, e="binary").encode() + bytes(24),
    "nan.pcd": PCD.format(n=2, e="ascii").encode() + b"nan nan nan\nnan nan nan\n",
    "empty.ply": b"",
    "text.ply": b"hello",
    "headless.ply": header("ascii", XYZ.format(3))[:40],
    "none.ply": header("ascii", XYZ.format(0)),
    "no vertex.ply": header("ascii", FACES.format(0)),
    "lying ascii.ply": header("ascii", XYZ.format(HUGE)) + b"1 2 3\n",
    "lying.ply": header("binary_little_endian", XYZ.format(HUGE)) + bytes(24),
    "negative.ply": header("ascii", XYZ.format(-1)),
    "lying faces.ply": header("binary_little_endian", XYZ.format(1), FACES.format(HUGE)) + bytes(12) + b"\3",
    "short faces.ply": quad_ply("binary_little_endian", (3,))[:-3],
    "short mixed faces.ply": quad_ply("binary_little_endian", (4, 3))[:-3],
    "wrong faces.ply": quad_ply("ascii", (3,)).replace(b"3 0 2 3", b"3 0 2 9"),
    "words.ply": quad_ply("ascii", (3,)).replace(b"3 0 2 3", b"3 0 two 3"),
    "format.ply": header("binary_middle_endian", XYZ.format(1)),
    "empty.xyz": b"",
    "words.xyz": b"1 2 3\n4 five 6\n",
    "prose.txt": b"this is not a cloud\nat all\n",
    "two columns.csv": b"1,2\n3,4\n",
    "binary.xyz": b"1 2 3\n\xff\xfe\x00\n",
    "ragged.txt": b"1 2 3\n4 5\n",
    "empty.obj": b"",
    "prose.obj": b"hello",
    "empty.stl": b"",
    "short.stl": bytes(80) + struct.pack("<I", 10**9) + bytes(50),
    "prose.off": b"hello",
    "lying.off": b"OFF\n1000000000 1000000000 0\n0 0 0\n",
    "lying.glb": b"glTF" + struct.pack("<III", 2, 20 + len(GLTF), len(GLTF)) + b"JSON" + GLTF,
    "short.glb": b"glTF" + struct.pack("<II", 2, 10**9),
    "cloud.abc": b"1 2 3\n",
    "no extension": b"1 2 3\n",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_error_that_names_it(tmp_path, name):
    (tmp_path / name).write_bytes(BAD[name])
    with pytest.raises(ValueError, match="[a-z]{3}") as caught:
        read_points(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name) + ": ")
    assert len(str(caught.value)) - len(str(tmp_path)) < 400


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("transposed.npy", "transpose"),
        ("wide.npy", "first three columns"),
        ("objects.npy", "pickled"),
        ("cloud.abc", r"known are .*\.pcd"),
        ("lying.ply", "promises"),
        ("nan.pcd", "no finite point"),
        ("none.npy", "no finite point"),
    ],
)
def test_errors_say_what_to_do(tmp_path, name, hint):
    (tmp_path / name).write_bytes(BAD[name])
    with pytest.raises(ValueError, match=hint):
        read_points(tmp_path / name)


def test_pickled_code_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    array = np.empty((1, 3), object)
    array[0, 0] = Bomb()
    np.save(tmp_path / "b.npy", array, allow_pickle=True)
    np.savez(tmp_path / "b.npz", points=array)
    (tmp_path / "p.npy").write_bytes(pickle.dumps(Bomb()))
    for name in ("b.npy", "b.npz", "p.npy"):
        with pytest.raises(ValueError, match=name):
            read_points(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("extension", [".npy", ".npz", ".pcd", ".ply", ".xyz", ".stl", ".glb"])
def test_any_truncation_is_a_value_error_or_a_shorter_cloud(tmp_path, cloud, extension):
    path = tmp_path / f"c{extension}"
    if extension in WRITERS:
        write_points(path, cloud[:20])
    else:
        import trimesh

        trimesh.Trimesh(*box((1, 1, 1))).export(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole[: rng.integers(len(whole) + 1)])
        for place in rng.integers(0, max(1, len(damaged)), 3 if len(damaged) else 0):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(ValueError):
            assert np.isfinite(read_points(path, points=10)).all()


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
