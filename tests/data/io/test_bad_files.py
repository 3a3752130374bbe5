"""Files that cannot be read: one clear error each, and memory in proportion to the file."""

import io
import math
import os
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest
from fuzzing import memory_limit
from plys import header, quad_ply

from keras_wcd.data import read_points


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


def faces(number, kind="int"):
    """A square of two faces that name a vertex by a number, in text and in bytes, of equal and of other lengths."""
    head = "ply\nformat {} 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    head += f"element face 2\nproperty list uchar {kind} vertex_indices\nend_header\n"
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], "<f4")
    rows = [[0, 1, number], [0, 1, 2, number]]
    text = "".join(" ".join(map(str, row)) + "\n" for row in [*corners, *([len(r), *r] for r in rows)])
    found = {"text": (head.format("ascii") + text).encode()}
    if kind != "int":
        for way, chosen in (("mixed", rows), ("equal", [rows[1], rows[1]])):
            lists = b"".join(bytes([len(r)]) + np.array(r, "<f4").tobytes() for r in chosen)
            found[way] = head.format("binary_little_endian").encode() + corners.tobytes() + lists
    return found


INDICES = {
    "far": faces(2**40), "above_63_bits": faces(2**63), "above_64_bits": faces(2**64),
    "float": faces(3.0, "float"), "large_float": faces(1e30, "float"), "nan": faces(math.nan, "float"),
}  # fmt: skip
BAD = {
    "empty.npy": b"",
    "text.npy": b"hello",
    "lying.npy": npy((HUGE, 3)),
    "short.npy": npy((10, 3), body=bytes(100)),
    "flat.npy": saved(np.zeros(9, np.float32)),
    "transposed.npy": saved(np.zeros((3, 50), np.float32)),
    "wide.npy": saved(np.zeros((50, 200), np.float32)),
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
    "empty.h5": b"",
    "text.h5": b"hello",
    "signature.h5": b"\x89HDF\r\n\x1a\n",
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
    **{f"{kind}_{way}.ply": content for kind in INDICES for way, content in INDICES[kind].items()},
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
        ("wide.npy", "a cloud has shape"),
        ("objects.npy", "pickled"),
        ("cloud.abc", r"known are .*\.pcd"),
        ("lying.ply", "promises"),
        ("nan.pcd", "no finite point"),
        ("none.npy", "no finite point"),
        ("empty.ply", "the file is empty"),
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


def hdf5(name="points", **how):
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.create_dataset(name, **how)
    return stream.getvalue()


def gzip_bomb(inflated, declared=(100, 3)):
    """A chunk of `declared` floats whose deflate stream goes on to `inflated` bytes of zeros."""
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        data = file.create_dataset("points", declared, "f4", chunks=declared, compression="gzip")
        data.id.write_direct_chunk((0, 0), zlib.compress(bytes(inflated)))
    return stream.getvalue()


def lying_size(content, promised):
    """An npz whose directory and header claim more points than its member inflates to."""
    info = zipfile.ZipFile(io.BytesIO(content)).infolist()[0]
    return content.replace(struct.pack("<I", info.file_size), struct.pack("<I", promised))


BOMBS = {
    "zeros.npz": lambda: npz(npy((10**8, 3), body=bytes(12 * 10**8 // 4))),
    "lying size.npz": lambda: lying_size(npz(npy((10**8, 3), body=bytes(1000))), 12 * 10**8),
    "chunk.h5": lambda: gzip_bomb(10**8),
    "zeros.h5": lambda: hdf5(shape=(10**8, 3), dtype="f8", chunks=(10**6, 3), compression="gzip"),
    "no storage.h5": lambda: hdf5(shape=(10**12, 3), dtype="f8", chunks=(100, 3)),
    "wide chunk.h5": lambda: hdf5(shape=(10, 3), maxshape=(None, 3), dtype="f8", chunks=(10**8, 3)),
    "bomb.pcd": lambda: BAD["bomb.pcd"],
    "lying.npy": lambda: BAD["lying.npy"],
    "lying.ply": lambda: BAD["lying.ply"],
    "lying faces.ply": lambda: BAD["lying faces.ply"],
    "lying ascii.pcd": lambda: BAD["lying ascii.pcd"],
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_within_64_megabytes(tmp_path, name):
    import h5py  # noqa: F401  its library is no memory of the file

    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    assert path.stat().st_size < 2**21
    with memory_limit(2**26), pytest.raises(ValueError, match=name):
        read_points(path)


ORDERS = {
    "big.ply": lambda points: header("binary_big_endian", XYZ.format(len(points))) + points.tobytes(),
    "little.ply": lambda points: header("binary_little_endian", XYZ.format(len(points))) + points.byteswap().tobytes(),
    "c.pcd": lambda points: PCD.format(n=len(points), e="binary").encode() + points.byteswap().tobytes(),
    "c.npy": lambda points: npy(points.shape, "<f4", points.byteswap().tobytes()),
}


@pytest.mark.parametrize("kind", ["meters", "whole numbers", "far from the origin"])
@pytest.mark.parametrize("name", ORDERS)
def test_a_wrong_byte_order_is_told(tmp_path, name, kind):
    points = np.random.default_rng(0).normal(size=(200, 3)).astype("<f4")
    points = {"meters": points, "whole numbers": np.rint(points * 9), "far from the origin": points + 1e5}[kind]
    (tmp_path / name).write_bytes(ORDERS[name](points))
    with pytest.raises(ValueError, match=f"{name}: .* byte order"):
        read_points(tmp_path / name)


@pytest.mark.parametrize("scale", [1e-9, 1, 1e9])
def test_clouds_of_any_unit_with_outliers_are_no_wrong_byte_order(tmp_path, scale):
    points = np.random.default_rng(0).normal(size=(300, 3)) * (1, 1e-4, 1e4) * scale
    points[:40] = np.finfo(np.float32).max
    points[40:80, 2] = 0
    np.save(tmp_path / "c.npy", points)
    np.testing.assert_array_equal(read_points(tmp_path / "c.npy"), points)


def test_an_honest_archive_of_equal_points_is_no_bomb(tmp_path):
    np.savez_compressed(tmp_path / "c.npz", points=np.ones((10**6, 3), np.float32))
    assert read_points(tmp_path / "c.npz").shape == (10**6, 3)


def test_archives_compressed_by_other_methods_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "c.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("points.npy", npy((1, 3), body=bytes(12)))
    with pytest.raises(ValueError, match="another method"):
        read_points(tmp_path / "c.npz")


def test_hdf5_links_out_of_the_file_are_not_followed(tmp_path):
    import h5py

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["points"] = np.zeros((5, 3))
    layout = h5py.VirtualLayout((5, 3), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "points", (5, 3))
    (tmp_path / "raw.bin").write_bytes(bytes(1000))
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["points"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "points")
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("points", layout)
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file.create_dataset("points", (5, 3), "f4", external=[(str(tmp_path / "raw.bin"), 0, 1000)])
    with pytest.raises(ValueError, match=r"link\.h5: it holds no data set"):
        read_points(tmp_path / "link.h5")
    for name in ("virtual.h5", "external.h5"):
        with pytest.raises(ValueError, match=f"{name}: .* other files"):
            read_points(tmp_path / name)
