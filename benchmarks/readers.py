"""Our readers beside those of other libraries: `python benchmarks/readers.py FOLDER`.

Every file in FOLDER that some reader knows is read by ours and by whichever of trimesh, plyfile, pypcd4, laspy, pye57,
Open3D and NumPy are installed. Points must agree in number and place (float32's rounding allowed), colors within one
step of 255. Printed are the files that differ, those that only others read, and the counts.
"""

import argparse
import collections
import contextlib
import importlib.util
import os
import pathlib
import signal
import sys
import warnings

import numpy as np

from keras_wcd.data.io import mesh, ply
from keras_wcd.data.io.arrays import PARTIAL
from keras_wcd.data.io.cloud import Cloud
from keras_wcd.data.io.formats import MESH_READERS, READERS, read_cloud

LARGEST = 50_000_000
SECONDS = 20
"""What a reader may take for a file: some count to what a damaged header says."""


def ours(path):
    """Vertices where the file is a mesh; else what `read_cloud` gives."""
    if path.suffix.lower() in MESH_READERS:
        vertices, _ = ply.read(path) if path.suffix.lower() == ".ply" else mesh.read(path)
        return vertices
    return read_cloud(path, prefer=PARTIAL)


def by_plyfile(path):
    import plyfile

    rows = plyfile.PlyData.read(str(path))["vertex"].data
    names = {name.lower(): name for name in rows.dtype.names}
    return stacked(rows, names, "xyz"), stacked(rows, names, ("red", "green", "blue"))


def by_pypcd4(path):
    import pypcd4

    cloud = pypcd4.PointCloud.from_path(path)
    points = np.stack([np.asarray(cloud.pc_data[axis], np.float64) for axis in "xyz"], axis=1)
    if "rgb" not in cloud.fields:
        return points, None
    return points, pypcd4.PointCloud.decode_rgb(cloud.pc_data["rgb"].reshape(-1))


def by_laspy(path):
    import laspy

    data = laspy.read(path)
    names = set(data.point_format.dimension_names)
    colors = np.stack([data.red, data.green, data.blue], axis=1) if "red" in names else None
    return np.asarray(data.xyz), colors


def by_pye57(path):
    import pye57

    file = pye57.E57(str(path))
    scans = [file.read_scan(k, ignore_missing_fields=True) for k in range(file.scan_count)]
    return np.concatenate([np.stack([s[f"cartesian{axis}"] for axis in "XYZ"], axis=1) for s in scans]), None


def by_trimesh(path):
    import trimesh

    scene = trimesh.load_scene(path, process=False, skip_materials=True)
    parts = [trimesh.transform_points(scene.geometry[name].vertices, matrix)
             for matrix, name in (scene.graph[node] for node in scene.graph.nodes_geometry)]  # fmt: skip
    return np.concatenate(parts), None


def by_open3d(path):
    import open3d

    open3d.utility.set_verbosity_level(open3d.utility.VerbosityLevel.Error)
    cloud = open3d.io.read_point_cloud(str(path), remove_nan_points=False, remove_infinite_points=False)
    if not len(cloud.points):
        raise ValueError("nothing read")
    return np.asarray(cloud.points), np.asarray(cloud.colors) * 255 if cloud.has_colors() else None


def by_numpy(path):
    rows = np.genfromtxt(path, delimiter="," if path.suffix.lower() == ".csv" else None, names=None, comments="#")
    return rows[:, :3], None


def stacked(rows, names, wanted):
    if not set(wanted) <= set(names):
        return None
    return np.stack([np.asarray(rows[names[name]], np.float64) for name in wanted], axis=1)


OTHERS = {
    "plyfile": (by_plyfile, (".ply",)),
    "pypcd4": (by_pypcd4, (".pcd",)),
    "laspy": (by_laspy, (".las", ".laz")),
    "pye57": (by_pye57, (".e57",)),
    "trimesh": (by_trimesh, (".ply", ".obj", ".off", ".stl", ".glb", ".gltf")),
    "open3d": (by_open3d, (".ply", ".pcd", ".xyz", ".xyzn", ".xyzrgb", ".pts")),
    "numpy": (by_numpy, (".xyz", ".txt", ".asc", ".csv", ".dat")),
}


def difference(name, cloud, points, colors):
    """What differs between our cloud and another reader's, in words; None where nothing does."""
    points = np.asarray(points, np.float64)
    kept = np.isfinite(points).all(axis=1)
    mine = np.asarray(cloud.finite().points, np.float64)
    if name == "trimesh" and len(mine) != kept.sum():  # It cuts vertices apart where textures meet.
        mine, points = np.unique(mine, axis=0), np.unique(points[kept], axis=0)
        kept, colors = np.ones(len(points), bool), None
    if len(mine) != kept.sum():
        return f"{len(mine)} points, {kept.sum()} there"
    scale = np.abs(points[kept]).max(initial=1e-30)
    if not np.allclose(mine, points[kept], rtol=1e-6, atol=1e-6 * scale):
        mine, other = mine[np.lexsort(mine.T)], points[kept][np.lexsort(points[kept].T)]
        if not np.allclose(mine, other, rtol=1e-6, atol=1e-6 * scale):
            return f"points differ by {np.abs(mine - other).max():.3g}"
        return None
    if colors is None or cloud.colors is None:
        return None
    colors = np.asarray(colors, np.float64)[kept]
    colors = colors / (257 if colors.max(initial=0) > 255 else 1)
    apart = np.abs(colors - cloud.finite().colors).max(initial=0)
    return f"colors differ by {apart:.3g}" if apart > 1.01 else None


@contextlib.contextmanager
def silence():
    """Without what compiled libraries write to the terminal."""
    sys.stderr.flush()
    sys.stdout.flush()
    saved, null = (os.dup(1), os.dup(2)), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for stream, handle in zip((1, 2), saved, strict=True):
            os.dup2(handle, stream)
            os.close(handle)
        os.close(null)


def attempt(read, path):
    with silence():
        try:
            signal.alarm(SECONDS)
            return read(path), None
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # Compiled readers raise what is no Exception.
            return None, error
        finally:
            signal.alarm(0)


def _late(number, frame):
    raise TimeoutError(f"took more than {SECONDS} s")


def compare(path, counts):
    """Read a file by all readers; lines to print."""
    cloud, refused = attempt(ours, path)
    if refused is not None and not isinstance(refused, ValueError):
        counts["ours", "crashes"] += 1
        yield f"CRASH {path}: {type(refused).__name__}: {refused}"
    empty = cloud is not None and not np.isfinite(cloud.points).all(axis=1).any()
    counts["ours", "read" if cloud is not None and not empty else "refused"] += 1
    heard = False
    for name, (read, extensions) in OTHERS.items():
        if path.suffix.lower() not in extensions or not importlib.util.find_spec(name):
            continue
        found, error = attempt(read, path)
        if error is not None or found[0] is None or not np.isfinite(found[0]).all(axis=-1).any():
            counts[name, "refused"] += 1
            continue
        if cloud is None or empty:
            counts[name, "only there"] += 1
            yield f"ONLY {name} {path}: {str(refused).removeprefix(str(path))[:160]}"
            heard = True
            continue
        what = difference(name, cloud if isinstance(cloud, Cloud) else Cloud(cloud), *found)
        counts[name, "differs" if what else "same"] += 1
        if what:
            yield f"DIFFERS {name} {path}: {what}"
    if refused is not None and not heard:
        yield f"refused {path}: {str(refused).removeprefix(str(path))[:160]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    signal.signal(signal.SIGALRM, _late)
    counts, known = collections.Counter(), {*READERS, *MESH_READERS}
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix.lower() in known]
    for path in files:
        if path.stat().st_size <= LARGEST:
            for line in compare(path, counts):
                print(line, flush=True)
    print(f"{len(files)} files")
    for name in ("ours", *OTHERS):
        found = {what: count for (reader, what), count in counts.items() if reader == name}
        if found:
            print(f"{name:>8}: " + ", ".join(f"{count} {what}" for what, count in sorted(found.items())))


if __name__ == "__main__":
    main()
