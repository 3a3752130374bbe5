"""Valid clouds in files of every format, and what a damaged one may be read as; the tests and benchmarks/fuzz.py."""

import contextlib
import functools
import io
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from damage import Kind

from keras_wcd.data.io.cloud import Cloud
from keras_wcd.data.io.formats import WRITERS, read_cloud, write_cloud
from keras_wcd.data.procedural.primitives import box

MESHES = (".obj", ".off", ".stl", ".glb", ".gltf")
TEXTS = (".pts", ".asc", ".tsv", ".tab", ".dat", ".xyzi", ".xyzn", ".xyzrgb", ".xyznrgb")
EXTENSIONS = (*WRITERS, *MESHES, *TEXTS, ".las", ".laz", ".e57", ".ptx", ".bin")
LISTS = "element vertex 4\n{axes}element face 2\nproperty list uchar int vertex_indices\nproperty uchar flag\n"


def cloud(count=24):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(count, 3)).astype(np.float32)
    return Cloud(points, rng.integers(0, 256, (count, 3)).astype(np.uint8), points)


@functools.cache
def seeds(extension):
    """Valid files, as bytes; none where what writes them is not installed."""
    special = SPECIAL.get(extension, list)()
    if extension in MESHES[:-1]:
        import trimesh

        exported = trimesh.Trimesh(*box((1, 2, 3)), process=False).export(file_type=extension[1:])
        return [exported.encode() if isinstance(exported, str) else exported, *special]
    if extension not in WRITERS:
        return special
    with tempfile.TemporaryDirectory() as folder:
        path, found = Path(folder) / f"c{extension}", []
        for encoding in WRITERS[extension][1]:
            for written in (cloud(), Cloud(cloud().points.astype(np.float64)), Cloud(np.ones((300, 3)))):
                write_cloud(path, written, encoding=encoding)
                found.append(path.read_bytes())
    return found + special


def plys():
    """Both endians, triangles, polygons."""
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    files = []
    for order, name in (("<", "binary_little_endian"), (">", "binary_big_endian")):
        head = f"ply\nformat {name} 1.0\ncomment c\n{LISTS.format(axes=axes)}end_header\n".encode()
        corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], order + "f4").tobytes()
        equal = b"".join(struct.pack(f"{order}B3iB", 3, *face, 7) for face in ((0, 1, 2), (0, 2, 3)))
        mixed = struct.pack(f"{order}B4iB", 4, 0, 1, 2, 3, 7) + struct.pack(f"{order}B3iB", 3, 0, 1, 2, 7)
        files += [head + corners + equal, head + corners + mixed]
    head = f"ply\nformat ascii 1.0\n{LISTS.format(axes=axes)}end_header\n"
    return [*files, f"{head}0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3 7\n3 0 1 2 7\n".encode()]


def pcds():
    """Fields that are no cloud's, counts, packed colors of every type."""
    rows = np.zeros(16, [("f", "<f4", (5,)), ("rgba", "<u4"), ("z", "<f8"), ("y", "<f4"), ("x", "<f4"), ("l", "<i2")])
    head = b"VERSION .7\nFIELDS f rgba z y x l\nSIZE 4 4 8 4 4 2\nTYPE F U F F F I\nCOUNT 5 1 1 1 1 1\n"
    size = b"WIDTH 4\nHEIGHT 4\nVIEWPOINT 0 0 0 1 0 0 0\n"
    text = b"\n".join(b"0 0 0 0 0 4278190335 1.5 2 3e-2 4" for _ in range(16))
    return [head + size + b"DATA binary\n" + rows.tobytes(), head + size + b"DATA ascii\n" + text]


def hdf5s():
    """Old and new layouts, every filter."""
    import h5py

    ways = ({}, {"chunks": (16, 3), "compression": "gzip"}, {"chunks": (16, 2), "compression": "lzf", "shuffle": True})
    ways += ({"chunks": (16, 3), "compression": "gzip", "shuffle": True, "fletcher32": True},)
    files = []
    for way in ways:
        for version in ("earliest", "latest"):
            stream = io.BytesIO()
            with h5py.File(stream, "w", libver=version) as file:
                file.create_dataset("scan/data", data=cloud().points, **way)
                file.create_dataset("scan/colors", data=cloud().colors)
                file["label"] = 3
            files.append(stream.getvalue())
    return files


def arrays():
    """Many clouds, wide rows, fields by name, columns of whole numbers."""
    fields = np.zeros(
        9, [("t", "<i8"), ("x", "<f4"), ("y", "<f8"), ("z", "<i2"), ("r", "u1"), ("g", "u1"), ("b", "u1")]
    )
    return [_saved(a) for a in (cloud().points[None], np.ones((7, 5)), fields, np.full((4, 3), 5_400_000_000))]


def las(version, point_format, extra=False):
    """A file of a version and a point format, compressed or not by the caller's word."""

    def write(extension):
        import laspy

        header = laspy.LasHeader(version=version, point_format=point_format)
        header.offsets, header.scales = (5e5, 5.4e6, 0), (1e-3, 1e-3, 1e-3)
        if extra:
            header.add_extra_dim(laspy.ExtraBytesParams("NormalX", np.float32))
        data = laspy.LasData(header)
        data.xyz = cloud(60).points.astype(np.float64) + header.offsets
        if "red" in data.point_format.dimension_names:
            data.red, data.green, data.blue = (cloud(60).colors.astype(np.uint16) << 8).T
        with tempfile.TemporaryDirectory() as folder:
            data.write(f"{folder}/c{extension}", laz_backend=laspy.LazBackend.Lazrs)
            return Path(folder, f"c{extension}").read_bytes()

    return write


LAS = (las("1.2", 0), las("1.2", 3), las("1.4", 7, extra=True), las("1.4", 6))


def e57s():
    """Scans in two poses, one without colors; a byte for the colors, or two."""
    try:
        import pye57
    except ImportError:
        return []
    points, files = cloud().points.astype(np.float64), []
    places = {f"cartesian{axis}": points[:, k] for k, axis in enumerate("XYZ")}
    colors = {f"color{tone}": cloud().colors[:, k] for k, tone in enumerate(("Red", "Green", "Blue"))}
    for scans in ([places], [places | colors], [places | colors, places]):
        with tempfile.TemporaryDirectory() as folder:
            file = pye57.E57(f"{folder}/c.e57", mode="w")
            for k, data in enumerate(scans):
                file.write_scan_raw(data, rotation=np.array([1, 0, 0, 0]), translation=np.array([k, 5.4e6, 0]))
            file.close()
            files.append(Path(folder, "c.e57").read_bytes())
    return files


def ptx(colors, scans=1):
    pose = "3\n2\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n0 -1 0 0\n1 0 0 0\n0 0 1 0\n5 6 7 1\n"
    rows = [f"{x} {y} 1 0.5" + " 10 200 30" * colors for x in range(3) for y in range(2)]
    return (pose + "\n".join(rows) + "\n").encode() * scans


def gltfs():
    """Triangles and points in one text."""
    import base64

    data = base64.b64encode(np.eye(3, dtype="<f4").tobytes() + np.arange(3, dtype="<u2").tobytes()).decode()
    files = []
    for primitive in ('{"attributes":{"POSITION":0},"indices":1}', '{"attributes":{"POSITION":0},"mode":0}'):
        files.append(
            f"""{{"asset":{{"version":"2.0"}},"scene":0,"scenes":[{{"nodes":[0]}}],"nodes":[{{"mesh":0}}],
            "meshes":[{{"primitives":[{primitive}]}}],
            "buffers":[{{"uri":"data:application/octet-stream;base64,{data}","byteLength":42}}],
            "bufferViews":[{{"buffer":0,"byteLength":36}},{{"buffer":0,"byteOffset":36,"byteLength":6}}],
            "accessors":[{{"bufferView":0,"componentType":5126,"count":3,"type":"VEC3"}},
            {{"bufferView":1,"componentType":5123,"count":3,"type":"SCALAR"}}]}}""".encode()
        )
    return files


def texts(extra=()):
    """Every separator, decimal commas, names, counts, quotes, cells without numbers, another encoding."""
    return [
        b"2\n1 2 3\n4 5 6\n",
        b"# c\nX Y Z R G B\n1 2 3 4 5 6\n",
        b"1,5;2,5;3,5\n4;5;6\n",
        b"//X|Y|Z\n1,5|2,5|3,5\n-1.#IND|0|0\n",
        b'"Point ID","X [m]","Y [m]","Z [m]"\n"a, b","1.5",2,3\n,4,,6\n',
        b"id\tx\ty\tz\n\t1.0D+03\t2\t3\n",
        "x,y,z\n1,2,3\n".encode("utf-16"),
        *extra,
    ]


def _saved(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _zip(**arrays_):
    stream = io.BytesIO()
    np.savez(stream, **arrays_)
    return stream.getvalue()


LISTED = (
    b"ply\nformat ascii 1.0\nelement VERTEX 2\nproperty float X\nproperty float Y\nproperty list uchar int n\n"
    b"property double Z\nproperty ushort RED\nproperty ushort GREEN\nproperty ushort BLUE\nend_header\n"
    b"1 2 2 7 7 3 10 220 30\n4 5 0 6 1 2 3\n"
)
SPECIAL = {
    ".ply": lambda: [*plys(), LISTED],
    ".pcd": lambda: [*pcds(), b"COLUMNS X Y Z\nWIDTH 2\nHEIGHT 1\nDATA ascii\n1 2 3\n4 5 6\n"],
    ".h5": hdf5s,
    ".npy": arrays,
    ".npz": lambda: [_zip(points=cloud().points, rgb=cloud().colors), _zip(x=np.arange(3), y=np.ones(3), z=np.ones(3))],
    ".csv": lambda: texts([b'"x";"y";"z";"nx";"ny";"nz";"rgb"\n1;2;3;0;0;1;16711680\n']),
    **dict.fromkeys((".xyz", ".txt", ".asc", ".tsv", ".tab", ".dat", ".xyzi"), texts),
    ".pts": lambda: texts([b"1\n1 2 3 -5 10 20 30\n2\n1 2 3 -5 10 20 30\n4 5 6 -7 10 20 30\n"]),
    ".xyzn": lambda: [b"1 2 3 0 0 1\n4 5 6 0 1 0\n"],
    ".xyzrgb": lambda: [b"1 2 3 0 0.5 1\n4 5 6 0 1 0\n", b"1 2 3 0 50 100\n"],
    ".xyznrgb": lambda: [b"1 2 3 0 0 1 10 20 30\n4 5 6 0 1 0 40 50 60\n"],
    ".las": lambda: [write(".las") for write in LAS],
    ".laz": lambda: [write(".laz") for write in LAS],
    ".e57": e57s,
    ".ptx": lambda: [ptx(0), ptx(1), ptx(1, scans=2)],
    ".bin": lambda: [np.abs(cloud().points).ravel().tobytes()],
    ".gltf": gltfs,
    ".obj": lambda: [b"# c\nv 1 2 3 0.1 0.2 0.3\nv 4 5 6 1 1 1\nvn 0 0 1\nvn 0 1 0\n", b"v 1 2 3\rv 4 5 6\rv 7 8 9\r"],
    ".off": lambda: [b"COFF\n2 0 0\n1 2 3 10 20 30 255\n4 5 6 40 50 60 255\n", b"NOFF # n\n1 0 0\n1 2 3 0 0 1\n"],
}


def zipped(content):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("points.npy", content)
    return stream.getvalue()


def try_to_read(path):
    """Read a damaged file; whether it could be read. Anything but a cloud or one clear error is an AssertionError."""
    found, message = None, f"{path}: "
    try:
        found = read_cloud(path, points=20)
    except ValueError as error:
        message = str(error)
    assert message.startswith(f"{path}: "), f"does not name the file: {message}"
    assert len(message) - len(str(path)) < 400, f"is too long: {message}"
    if found is None:
        return False
    assert found.points.ndim == 2
    assert found.points.shape[1] == 3
    assert len(found)
    assert np.isfinite(found.points).all()
    for values in (found.colors, found.normals):
        assert values is None or values.shape == found.points.shape
    return True


class OfCloud(Kind):
    """A format of clouds: of what is read more is asked than of another file."""

    def try_to_read(self, path):
        return try_to_read(path)


KINDS = {
    extension: OfCloud(
        functools.partial(seeds, extension),
        read_cloud,
        # An archive is damaged inside as well.
        **({"inner": functools.partial(seeds, ".npy"), "pack": zipped} if extension == ".npz" else {}),
    )
    for extension in EXTENSIONS
}
"""Every format by its extension."""


@contextlib.contextmanager
def memory_limit(extra):
    """No more than `extra` bytes of address space beyond what the process has; elsewhere than on Linux no limit."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
