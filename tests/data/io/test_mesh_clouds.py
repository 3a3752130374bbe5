"""Meshes that are clouds, and meshes that cannot be read: obj, off, ply, pcd, glb and gltf as programs write them."""

import base64
import json
import struct

import numpy as np
import pytest
from fuzzing import gltfs

from keras_wcd.data import read_cloud, read_points

POINTS = [[1, 2, 3], [4, 5, 6]]


def read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_cloud(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "colors", "normals"),
    [
        ("v 1 2 3\nv 4 5 6\n", None, None),
        ("# made by hand\n\no thing\n  v  1 2 3\nv 4\t5 6 1.0\n", None, None),
        ("v 1 2 3 0 0.5 1\nv 4 5 6 1 1 1\n", [[0, 128, 255], [255] * 3], None),
        ("v 1 2 3 9 8 7\nv 4 5 6 255 0 0\np 1 2\n", [[9, 8, 7], [255, 0, 0]], None),
        ("v 1 2 3 0 0 1 1\nv 4 5 6 0 0 1 1\n", [[0, 0, 255]] * 2, None),
        ("v 1 2 3\nvn 0 0 1\nv 4 5 6\nvn 0 1 0\n", None, [[0, 0, 1], [0, 1, 0]]),
        ("v 1 2 3\rv 4 5 6\r", None, None),
        ("v 1,0 2,0 3,0\r\nv 4,0 5,0 6,0\r\n", None, None),
    ],
)
def test_an_obj_of_vertices_is_a_cloud(tmp_path, text, colors, normals):
    found = read(tmp_path, "c.obj", text)
    assert found.points.tolist() == POINTS
    assert (None if found.colors is None else found.colors.tolist()) == colors
    assert (None if found.normals is None else found.normals.tolist()) == normals


def test_an_obj_with_faces_is_sampled_whatever_ends_its_lines(tmp_path):
    for end in ("\n", "\r\n", "\r"):
        text = end.join(["v 0 0 0", "v 1 0 0", "v 0 1 0", "f 1 2 3", ""])
        assert len(read(tmp_path, "m.obj", text)) == 16384


@pytest.mark.parametrize(
    ("text", "colors", "normals"),
    [
        ("OFF\n2 0 0\n1 2 3\n4 5 6\n", None, None),
        ("OFF 2 0 0\n1 2 3\n4 5 6\n", None, None),
        ("# c\nOFF # kind\n# counts\n2 0\n\n1 2 3 # first\n# between\n4 5 6\n", None, None),
        ("COFF\n2 0 0\n1 2 3 9 8 7 255\n4 5 6 255 0 0 255\n", [[9, 8, 7], [255, 0, 0]], None),
        ("COFF\n2 0 0\n1 2 3 0 0.5 1 1\n4 5 6 1 0 0 1\n", [[0, 128, 255], [255, 0, 0]], None),
        ("NOFF\n2 0 0\n1 2 3 0 0 1\n4 5 6 0 1 0\n", None, [[0, 0, 1], [0, 1, 0]]),
        ("CNOFF\n2 0 0\n1 2 3 0 0 1 9 8 7\n4 5 6 0 1 0 9 8 7\n", [[9, 8, 7]] * 2, [[0, 0, 1], [0, 1, 0]]),
        ("off\r\n2 0 0\r\n1 2 3\r\n4 5 6\r\n", None, None),
    ],
)
def test_an_off_without_faces_is_a_cloud(tmp_path, text, colors, normals):
    found = read(tmp_path, "c.off", text)
    assert found.points.tolist() == POINTS
    assert (None if found.colors is None else found.colors.tolist()) == colors
    assert (None if found.normals is None else found.normals.tolist()) == normals


@pytest.mark.parametrize("face", ["3 0 1 2", "3 0 1 2 255 0 0", "4 0 1 2 3", "3 0 1 2 # red"])
def test_an_off_with_faces_is_sampled(tmp_path, face):
    found = read(tmp_path, "m.off", f"OFF\n4 1 0\n0 0 5\n1 0 5\n1 1 5\n0 1 5\n{face}\n")
    assert len(found) == 16384
    area = 1 if face.startswith("4") else 0.5
    assert (found.points[:, 1] > found.points[:, 0]).mean() == pytest.approx(0.5 if area == 1 else 0, abs=0.02)


@pytest.mark.parametrize("kind", ["OFF BINARY", "4OFF", "nOFF"])
def test_kinds_of_off_that_are_not_read_are_named(tmp_path, kind):
    with pytest.raises(ValueError, match="binary|dimension"):
        read(tmp_path, "c.off", f"{kind}\n1 0 0\n1 2 3\n")


PLY = "ply\nformat {} 1.0\nelement {vertex} {count}\n{axes}end_header\n"


@pytest.mark.parametrize("vertex", ["vertex", "Vertex"])
def test_a_ply_in_capitals_with_lists_among_its_vertices(tmp_path, vertex):
    axes = "property FLOAT X\nproperty list uchar int ids\nproperty float Y\nproperty float Z\nproperty ushort RED\n"
    axes += "property ushort GREEN\nproperty ushort BLUE\n"
    rows = [(1.0, [7, 8], 2.0, 3.0, 10, 220, 30), (4.0, [], 5.0, 6.0, 1, 2, 3)]
    for equal in (False, True):
        kept = [(x, [7, 8] if equal else ids, *rest) for x, ids, *rest in rows]
        lines = "".join(" ".join(map(str, (x, len(ids), *ids, *rest))) + "\n" for x, ids, *rest in kept)
        found = read(tmp_path, "a.ply", PLY.format("ascii", vertex=vertex, count=2, axes=axes) + lines)
        head = PLY.format("binary_big_endian", vertex=vertex, count=2, axes=axes).encode()
        body = b"".join(struct.pack(f">fB{len(i)}iff3H", x, len(i), *i, *rest) for x, i, *rest in kept)
        for cloud in (found, read(tmp_path, "b.ply", head + body)):
            assert cloud.points.tolist() == POINTS
            assert cloud.colors.tolist() == [[10, 220, 30], [1, 2, 3]]
            assert cloud.notes["columns left out"] == "ids"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_headers_end_their_lines_in_every_way(tmp_path, end):
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    text = PLY.format("ascii", vertex="vertex", count=2, axes=axes) + "1 2 3\n4 5 6\n"
    assert read(tmp_path, "c.ply", text.replace("\n", end)).points.tolist() == POINTS
    assert read(tmp_path, "c.ply", "\ufeff" + text).points.tolist() == POINTS
    text = "FIELDS X Y Z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 2\nHEIGHT 1\nDATA ascii\n1 2 3\n4 5 6\n"
    assert read(tmp_path, "c.pcd", text.replace("\n", end)).points.tolist() == POINTS


@pytest.mark.parametrize("name", ["c.ply", "c.pcd", "c.obj", "c.off", "c.xyz"])
def test_utf_16_is_read_or_named(tmp_path, name):
    texts = {
        ".ply": PLY.format("ascii", vertex="vertex", count=2, axes="".join(f"property float {a}\n" for a in "xyz")),
        ".pcd": "FIELDS x y z\nWIDTH 2\nHEIGHT 1\nDATA ascii\n",
        ".off": "OFF\n2 0 0\n",
    }
    body = "v 1 2 3\nv 4 5 6\n" if name == "c.obj" else "1 2 3\n4 5 6\n"
    content = (texts.get(name[-4:], "") + body).encode("utf-16")
    if name in ("c.ply", "c.pcd"):
        with pytest.raises(ValueError, match="UTF-16"):
            read(tmp_path, name, content)
    else:
        assert read(tmp_path, name, content).points.tolist() == POINTS


def test_not_a_number_as_windows_writes_it(tmp_path):
    body = "1 2 3\n-1.#IND 0 0\n1.#QNAN00 0 0\nnan(ind) 0 0\n1,5 2,5 3,5\n"
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    text = PLY.format("ascii", vertex="vertex", count=5, axes=axes) + body
    assert read(tmp_path, "c.ply", text).points.tolist() == [[1, 2, 3], [1.5, 2.5, 3.5]]
    text = "FIELDS x y z\nWIDTH 5\nHEIGHT 1\nDATA ascii\n" + body
    assert read(tmp_path, "c.pcd", text).points.tolist() == [[1, 2, 3], [1.5, 2.5, 3.5]]


@pytest.mark.parametrize("row", ["1,2,3", "1.0, 2.0, 3.0", "1 ,2 ,3", "1;2;3", "1,0;2,0;3,0", "1\t2\t3", "1,0 2,0 3,0"])
def test_ascii_rows_between_other_marks_than_blanks(tmp_path, row):
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    head = PLY.format("ascii", vertex="vertex", count=2, axes=axes)
    assert read(tmp_path, "c.ply", f"{head}{row}\n{row}\n").points.tolist() == [[1, 2, 3]] * 2
    text = f"FIELDS x y z\nWIDTH 2\nHEIGHT 1\nDATA ascii\n{row}\n{row}\n"
    assert read(tmp_path, "c.pcd", text).points.tolist() == [[1, 2, 3]] * 2


@pytest.mark.parametrize("key", ["FIELDS", "COLUMNS", "fields"])
@pytest.mark.parametrize("rest", ["", "SIZE 4 4 4 4\n", "TYPE F F F U\nSIZE 4 4 4 4\nCOUNT 1 1 1 1\n"])
def test_a_pcd_of_the_first_versions(tmp_path, key, rest):
    text = f"{key} X Y Z RGB\n{rest}WIDTH 2\nHEIGHT 1\nDATA ascii\n1 2 3 0\n4 5 6 0\n"
    found = read(tmp_path, "c.pcd", text)
    assert found.points.tolist() == POINTS
    assert found.colors.tolist() == [[0, 0, 0]] * 2
    rows = np.array([(*p, 0) for p in POINTS], "<f4").tobytes()
    binary = text[: text.index("ascii")].encode() + b"binary\n" + rows
    assert read(tmp_path, "b.pcd", binary).points.tolist() == POINTS


def glb(content, data=b""):
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text
    body += struct.pack("<I4s", len(data), b"BIN\0") + data if data else b""
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def scene(mode, colors=None, **more):
    data = np.array([*POINTS, [7, 8, 10]], "<f4").tobytes()
    attributes = {"POSITION": 0}
    views = [{"buffer": 0, "byteLength": 36}]
    accessors = [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}]
    if colors is not None:
        attributes["COLOR_0"] = 1
        views.append({"buffer": 0, "byteOffset": 36, "byteLength": colors.nbytes})
        kind = {"B": 5121, "f": 5126, "H": 5123}[colors.dtype.char]
        accessors.append({"bufferView": 1, "componentType": kind, "count": 3, "type": f"VEC{colors.shape[1]}"})
        accessors[-1]["normalized"] = colors.dtype.char != "f"
        data += colors.tobytes()
    content = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
               "meshes": [{"primitives": [{"attributes": attributes, "mode": mode}]}], "bufferViews": views,
               "buffers": [{"byteLength": len(data)}], "accessors": accessors} | more  # fmt: skip
    return content, data


@pytest.mark.parametrize("dtype", [None, "u1", "f4", "u2"])
def test_points_of_a_glb_are_a_cloud_in_their_place(tmp_path, dtype):
    expected = np.array([[0, 51, 255], [102, 0, 0], [255, 255, 255]])
    full = {"u1": 255, "u2": 65535, "f4": 1}.get(dtype)
    colors = None if dtype is None else np.c_[expected * (full / 255), np.full(3, full)].astype(dtype)
    nodes = [{"mesh": 0, "translation": [100, 5.4e6 + 0.1, 0]}]
    found = read(tmp_path, "c.glb", glb(*scene(0, colors, nodes=nodes)))
    assert found.points.dtype == np.float64
    np.testing.assert_array_equal(found.points, np.array([*POINTS, [7, 8, 10]]) + [100, 5.4e6 + 0.1, 0])
    if dtype is None:
        assert found.colors is None or len(np.unique(found.colors)) == 1
    else:
        np.testing.assert_allclose(found.colors, expected, atol=1)


def test_triangles_of_a_glb_and_of_a_gltf_are_sampled(tmp_path):
    assert len(read(tmp_path, "m.glb", glb(*scene(4)))) == 16384
    triangles, points = gltfs()
    assert len(read(tmp_path, "m.gltf", triangles)) == 16384
    assert read(tmp_path, "c.gltf", points).points.tolist() == np.eye(3).tolist()


@pytest.mark.parametrize("extension", [".glb", ".gltf"])
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"asset": {"version": "1.0"}}, "glTF 1.0"),
        ({"extensionsRequired": ["KHR_draco_mesh_compression"]}, "KHR_draco_mesh_compression .Draco"),
        ({"extensionsRequired": ["EXT_meshopt_compression"]}, "EXT_meshopt_compression .meshopt"),
        ({"extensionsRequired": ["KHR_texture_basisu"]}, "KHR_texture_basisu .KTX"),
        ({"extensionsRequired": ["VENDOR_voxels"]}, "VENDOR_voxels"),
    ],
)
def test_what_a_gltf_needs_and_is_not_read_is_named(tmp_path, extension, more, message):
    content, data = scene(4, **more)
    if extension == ".gltf":
        content["buffers"][0]["uri"] = "data:;base64," + base64.b64encode(data).decode()
    body = glb(content, data) if extension == ".glb" else json.dumps(content)
    with pytest.raises(ValueError, match=message):
        read(tmp_path, f"m{extension}", body)


def test_compressed_primitives_are_named_though_none_is_required(tmp_path):
    content, data = scene(4)
    content["meshes"][0]["primitives"][0]["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0}}
    with pytest.raises(ValueError, match="Draco"):
        read(tmp_path, "m.glb", glb(content, data))


def test_a_glb_of_the_first_version_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"glTF 1\.0"):
        read(tmp_path, "m.glb", struct.pack("<4sIIII", b"glTF", 1, 30, 10, 0) + b"{}        ")


@pytest.mark.parametrize("uri", ["../secret.bin", "/etc/passwd", "http://example.org/a.bin", "missing.bin"])
def test_buffers_elsewhere_are_not_opened(tmp_path, uri):
    content, data = scene(4)
    content["buffers"][0]["uri"] = uri
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.bin").write_bytes(data)
    with pytest.raises(ValueError, match="no file beside it"):
        read(tmp_path / "in", "m.gltf", json.dumps(content))


def test_materials_and_lights_do_not_stop_a_mesh(tmp_path):
    content, data = scene(4, extensionsRequired=["KHR_materials_unlit", "KHR_lights_punctual"])
    assert len(read(tmp_path, "m.glb", glb(content, data))) == 16384
    assert read_points(tmp_path / "m.glb", points=9).shape == (9, 3)
