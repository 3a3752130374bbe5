"""The page's own modules, run by Node.js: its frame, readers and writers are those of the library, bit by bit."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from keras_wcd.data.io.cloud import Cloud
from keras_wcd.data.io.formats import read_cloud, write_cloud
from keras_wcd.export.site import SOURCES
from keras_wcd.frames import frame_of, resample, thinned, turned_back, upright

if shutil.which("node") is None:
    pytest.skip("Node.js is not installed: the page's modules cannot be run", allow_module_level=True)

SIZES = [2, 3, 7, 300, 2047, 2048, 2049, 5000, 16384, 16385, 1_000_000]


def node(script, folder, *names):
    """Run a script with the page's modules imported; what it prints as JSON."""
    imports = "".join(
        f"import * as {name} from {json.dumps((SOURCES / f'{name}.js').as_uri())};"
        for name in ("frame", "readers", "writers")
    )
    imports += "import { readFileSync, writeFileSync } from 'node:fs'; const names = process.argv.slice(1);"
    imports += "const read = (name) => { const b = readFileSync(name);"
    imports += " return b.buffer.slice(b.byteOffset, b.byteOffset + b.length); };"
    done = subprocess.run(
        ["node", "--input-type=module", "-e", imports + script, *map(str, names)],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout or "null")


def box(rng, size):
    """Points on three sides of a box, as a scanner sees it."""
    points = rng.uniform(size=(size, 3))
    points[np.arange(size), rng.integers(0, 3, size)] = 1
    return points * [4, 1.5, 2]


FRAME = """
for (const name of names) {
  const { points } = readers.readScan(name, read(name)), up = name.split("-")[0];
  const standing = frame.upright(points, up), place = frame.frameOf(standing, 0.98, 1);
  const input = frame.resample(frame.framed(frame.thinned(standing, 2048), place), 2048);
  writeFileSync(name + ".input", input);
  writeFileSync(name + ".back", frame.turnedBack(frame.unframed(input, place), up));
}
"""


@pytest.mark.parametrize(("dtype", "far"), [("float32", 0.0), ("float64", 5.4e6), ("int32", 3e5)])
def test_one_scan_gives_one_input(tmp_path, dtype, far):
    names = [f"{'xyz'[k % 3]}-{size}.npy" for k, size in enumerate(SIZES)]
    scans = [(box(np.random.default_rng(size), size) * (1000 if dtype == "int32" else 1) + far) for size in SIZES]
    scans = [scan.astype(dtype) for scan in scans]
    for name, scan in zip(names, scans, strict=True):
        np.save(tmp_path / name, scan)
    node(FRAME, tmp_path, *names)
    for name, scan in zip(names, scans, strict=True):
        standing = upright(scan, name[0])
        frame = frame_of(standing)
        expected = resample(frame.apply(thinned(standing, 2048)), 2048)
        found = np.fromfile(tmp_path / f"{name}.input", np.float32).reshape(-1, 3)
        np.testing.assert_array_equal(found, expected, err_msg=name)
        back = np.fromfile(tmp_path / f"{name}.back").reshape(-1, 3)
        np.testing.assert_array_equal(back, turned_back(frame.invert(expected), name[0]), err_msg=name)


def test_ties_go_to_the_lowest_index(tmp_path):
    grid = np.stack(np.meshgrid(*[np.arange(15.0)] * 3), -1).reshape(-1, 3)
    np.save(tmp_path / "y-grid.npy", grid)
    node(FRAME, tmp_path, "y-grid.npy")
    expected = resample(frame_of(grid).apply(grid), 2048)
    np.testing.assert_array_equal(np.fromfile(tmp_path / "y-grid.npy.input", np.float32).reshape(-1, 3), expected)


def ply_of(points, head, kind, order, extra=b""):
    properties = "".join(f"property {kind} {axis}\n" for axis in "xyz")
    text = f"ply\nformat {head} 1.0\ncomment a\nelement vertex {len(points)}\nproperty uchar label\n{properties}"
    rows = np.zeros(len(points), [("label", "u1"), ("points", np.dtype(order), 3)])
    rows["points"] = points
    return text.encode() + b"end_header\n" + rows.tobytes() + extra


def files(folder):
    """Files of every format and kind that the page reads, by name."""
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(500, 3)).astype(np.float32), rng.normal(size=(500, 3)) + [4e5, 5.4e6, 100]
    for name, points in (("near", near), ("far", far)):
        for end, encodings in {
            "ply": ("binary", "ascii"), "pcd": ("binary", "ascii", "binary_compressed"), "xyz": ("ascii",),
            "csv": ("ascii",), "txt": ("ascii",), "npy": ("binary",),
        }.items():  # fmt: skip
            for encoding in encodings:
                write_cloud(folder / f"{name}_{encoding}.{end}", Cloud(points), encoding=encoding)
    colors = rng.integers(0, 256, (500, 3)).astype(np.uint8)
    with_all = Cloud(near, colors, near)
    for end in ("ply", "pcd", "csv"):
        write_cloud(folder / f"colors.{end}", with_all)
    write_cloud(folder / "colors_ascii.pcd", with_all, encoding="ascii")
    holes = near.copy()
    holes[::7] = np.nan
    for end in ("ply", "pcd", "npy"):
        write_cloud(folder / f"holes.{end}", Cloud(holes))
    write_cloud(folder / "holes_ascii.pcd", Cloud(holes), encoding="ascii")
    (folder / "big.ply").write_bytes(ply_of(near, "binary_big_endian", "float", ">f4"))
    (folder / "shorts.ply").write_bytes(ply_of((near * 1000).astype("i2"), "binary_little_endian", "short", "<i2"))
    (folder / "ints.ply").write_bytes(ply_of((far * 100).astype("i4"), "binary_little_endian", "int", "<i4"))
    before = "ply\nformat ascii 1.0\nelement camera 2\nproperty float f\nelement vertex 2\n"
    before += "property float z\nproperty float y\nproperty float x\nend_header\n1\n2\n1 2 3\n4 5 6.5\n"
    (folder / "before.ply").write_text(before)
    np.save(folder / "columns.npy", np.asfortranarray(far))
    np.save(folder / "one.npy", near[None])
    np.save(folder / "big.npy", near.astype(">f8"))
    np.save(folder / "ints.npy", (near * 1000).astype(np.int16))
    np.save(folder / "long.npy", (far * 1e4).astype(np.int64))
    lines = [" ".join(map(repr, map(float, row))) for row in far[:50]]
    texts = {
        "comments.xyz": "# a scan\n// of a chair\n\n" + "\n".join(lines),
        "count.xyz": "50\n" + "\n".join(lines) + "\n",
        "windows.txt": "\r\n".join(lines) + "\r\n",
        "named.csv": "id,z,x,y\n" + "\n".join(f"{k},3.25,{k}.5,-{k}e-3" for k in range(40)),
        "commas.csv": "\n".join(f"{k},2;0,{k};1e2" for k in range(1, 40)),
        "tabs.txt": "\n".join(f"{k}\t.5\t-1." for k in range(40)),
        "nan.xyz": "1 2 3\nnan nan nan\n4 5 6\n7 inf 9\n3 4 5\n",
        "digits.xyz": "0.1 123456789012345678 1e-320\n1e300 0.30000000000000004 +5e0\n-0 9007199254740993 2.5\n",
        "shape.obj": "# a\no box\nv 1 2 3\nv  4.5 5 6\nvn 0 0 1\nvt 1 1\nv 7 8 9.25 0.1 0.2 0.3\n",
    }
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
    return sorted(path for path in folder.iterdir())


READ = """
const found = {};
for (const name of names) {
  const scan = readers.readScan(name, read(name));
  writeFileSync("../" + name + ".f64", scan.points);
  found[name] = { wide: scan.wide, dropped: scan.dropped };
}
console.log(JSON.stringify(found));
"""


def test_every_file_is_read_as_the_library_reads_it(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    paths = files(folder)
    found = node(READ, folder, *(path.name for path in paths))
    assert len(found) == len(paths) > 40
    for path in paths:
        expected = read_cloud(path).points
        points = np.fromfile(tmp_path / f"{path.name}.f64").reshape(-1, 3)
        np.testing.assert_array_equal(points, expected, err_msg=path.name)
        assert found[path.name]["wide"] == (expected.dtype == np.float64), path.name
    assert found["holes.ply"]["dropped"] == 72


WRITE = """
for (const wide of [false, true]) {
  const points = new Float64Array(read("points"));
  for (const end of ["ply", "npy"]) {
    writeFileSync(`${wide}.${end}`, Buffer.from(await writers[end](points, wide).arrayBuffer()));
  }
}
"""


def test_downloads_are_read_back_as_they_were(tmp_path):
    points = np.random.default_rng(1).normal(size=(77, 3)) + 5e6
    points.tofile(tmp_path / "points")
    node(WRITE, tmp_path)
    for end in ("ply", "npy"):
        np.testing.assert_array_equal(read_cloud(tmp_path / f"true.{end}").points, points)
        np.testing.assert_array_equal(read_cloud(tmp_path / f"false.{end}").points, points.astype(np.float32))
    assert np.load(tmp_path / "true.npy").dtype == np.float64


REFUSE = """
const found = {};
for (const name of names) {
  try { readers.readScan(name, read(name)); found[name] = null; }
  catch (error) { found[name] = [error instanceof readers.FileError, error.message]; }
}
console.log(JSON.stringify(found));
"""


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.ply", b"", "is empty"),
        ("scan.stl", b"solid", r"\.stl files are not read here; give a ply"),
        ("scan", b"1 2 3", "without an extension"),
        ("short.ply", ply_of(np.ones((9, 3)), "binary_little_endian", "float", "<f4")[:-5], "promises 9 points"),
        ("short.xyz", b"1 2 3\n4 5\n", "row 2 of its points"),
        (
            "short.pcd",
            b"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 3\nHEIGHT 1\nPOINTS 3\nDATA ascii\n1 2 3\n",
            "cut off",
        ),
        ("no_xyz.pcd", b"FIELDS a b\nSIZE 4 4\nTYPE F F\nPOINTS 1\nDATA ascii\n1 2\n", "no fields x, y and z"),
        ("prose.txt", b"A scan of a chair.\nIt was made on a Monday.\n", "no lines of three numbers"),
        ("image.xyz", b"\x89PNG\r\n\x1a\n\0\0\0", "not text"),
        ("nan.xyz", b"nan nan nan\nnan nan nan\n", "none of its points is finite"),
        ("header.ply", b"solid ply\n", "header is damaged"),
        ("fake.npy", b"x,y,z\n1,2,3\n", "no npy file"),
        ("faces.obj", b"f 1 2 3\n", "no vertices"),
    ],
)
def test_a_wrong_file_is_one_line_that_says_what_to_do(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    ((ours, message),) = node(REFUSE, tmp_path, name).values()
    assert ours
    assert message.startswith(name)
    assert "\n" not in message
    assert message.endswith(".")
    assert re.search(words, message), message


def test_an_array_of_another_shape_is_refused_with_its_shape(tmp_path):
    np.save(tmp_path / "turned.npy", np.ones((3, 50)))
    np.save(tmp_path / "many.npy", np.ones((4, 50, 3)))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}] * 3), allow_pickle=True)
    found = node(REFUSE, tmp_path, "turned.npy", "many.npy", "objects.npy")
    assert all(ours for ours, _ in found.values())
    assert "(3, 50); transpose it" in found["turned.npy"][1]
    assert "one cloud (N, 3)" in found["many.npy"][1]
    assert "no plain numbers" in found["objects.npy"][1]


def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path):
    folder, rng = tmp_path / "files", np.random.default_rng(2)
    folder.mkdir()
    for path in files(folder):
        content = path.read_bytes()
        for k in range(8):
            damaged = bytearray(content)
            if k % 2:
                for place in rng.integers(0, min(len(damaged), 400), 3):
                    damaged[place] = rng.integers(256)
            else:
                del damaged[int(rng.integers(1, len(damaged))) :]
            (folder / f"damaged{k}_{path.name}").write_bytes(damaged)
    names = sorted(path.name for path in folder.glob("damaged*"))
    found = node(REFUSE, folder, *names)
    refused = {name: answer for name, answer in found.items() if answer}
    assert len(refused) > len(names) / 4
    strange = {name: answer for name, answer in refused.items() if not answer[0] or "\n" in answer[1]}
    assert not strange
