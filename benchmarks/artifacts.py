"""Artifacts of scans: how many are found, and how many are seen where there are none: `python benchmarks/artifacts.py`.

Scans are those of Shapes8 (`--shapes`, two views each, of a split of its own seed) and, with `--real FOLDER`, every
array `partial` of the npz files there and every cloud of its sub-folders but `meshes`. Each is asked as it is, turned,
shuffled and at UTM coordinates, and with every artifact of `INJECTED`. `kept` is the share of the scan's own
points that cleaning leaves, `dropped` that of the artifact's, `size` the diagonal of what is left over the scan's:
means (the median of sizes), and the worst size.
"""

import argparse
import pathlib
import time

import numpy as np
from scipy.spatial.transform import Rotation

from keras_wcd.data import Shapes8, read_cloud
from keras_wcd.data.artifacts import find_artifacts, without_artifacts
from keras_wcd.visual.tables import aligned


def size(points):
    return np.linalg.norm(np.ptp(points, axis=0))


def zeros(scan, rng, count=2000):
    """A sensor at the origin that looks at an object seven diagonals away."""
    return scan + size(scan) * np.array([0, 0, 7]), np.zeros((count, 3))


def constant(scan, rng):
    place = scan.mean(axis=0) + directions(rng, 1) * size(scan) * rng.uniform(1, 100)
    return scan, np.repeat(place, rng.integers(len(scan) // 50, 2 * len(scan)), axis=0)


def outlier(scan, rng):
    return scan, scan.mean(axis=0) + 1000 * size(scan) * directions(rng, 1)


def outliers(scan, rng):
    """Twenty points, evenly in a ball of three diagonals."""
    return scan, scan.mean(axis=0) + 3 * size(scan) * directions(rng, 20) * rng.uniform(size=(20, 1)) ** (1 / 3)


def cluster(scan, rng):
    return scan, scan.mean(axis=0) + size(scan) * (5 * directions(rng, 1) + rng.normal(0, 0.02, (len(scan) // 60, 3)))


def plane(scan, rng, tilt=0.0, axis=1, width=6.0):
    """A square 0.05 diagonals below or behind the scan, half to twice as many points, noise of 0.003 diagonals.

    The gap is there because the views are from everywhere: of a floor without one, a view from below is a part.
    """
    side, count = width * size(scan), rng.integers(len(scan) // 2, 2 * len(scan))
    square = rng.uniform(-side / 2, side / 2, (count, 3))
    square[:, axis] = rng.normal(0, 0.003 * size(scan), count)
    square = Rotation.from_euler("xz"[axis == 0], tilt, degrees=True).apply(square)
    normal = np.cross(*(square[1:3] - square[:1]))
    normal *= np.sign(normal[axis]) / np.linalg.norm(normal)
    lowest = ((scan - scan.mean(axis=0)) @ normal).min()
    return scan, square + scan.mean(axis=0) + normal * (lowest - 0.05 * size(scan))


INJECTED = {
    "zeros": zeros,
    "a few zeros": lambda scan, rng: zeros(scan, rng, 10),
    "a place beside": constant,
    "one outlier at 1000": outlier,
    "20 within three diagonals": outliers,
    "a group of 1/60": cluster,
    "floor, 6 wide": plane,
    "floor, 3 wide": lambda scan, rng: plane(scan, rng, width=3.0),
    "floor, 2 wide": lambda scan, rng: plane(scan, rng, width=2.0),
    "wall, 6 wide": lambda scan, rng: plane(scan, rng, axis=2),
    "tilted by 25 degrees": lambda scan, rng: plane(scan, rng, tilt=25),
}
"""Each gives the scan, moved where that is part of the artifact, and the points that do not belong to it."""


def directions(rng, count):
    found = rng.normal(size=(count, 3))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def scans_of(folder):
    for path in sorted(folder.glob("*.npz")):
        views = np.load(path)["partial"].astype(np.float64)
        yield from views.reshape(-1, *views.shape[-2:])
    for path in sorted(folder.glob("*/*")):
        if path.parent.name != "meshes" and path.is_file():
            yield read_cloud(path).points.astype(np.float64)


def far_away(scan, rng):
    """Turned, in another order, in millimeters at UTM coordinates."""
    return rng.permutation(Rotation.random(random_state=int(rng.integers(2**31))).apply(scan)) * 1000 + (5e8, 4e9, 1e5)


def measure(scans, inject, rng):
    found, kept, dropped, sizes = [], [], [], []
    for scan in scans:
        scan, extra = inject(scan, rng)
        order = rng.permutation(len(scan) + len(extra))
        points = np.concatenate([scan, extra])[order]
        artifacts = find_artifacts(points)
        left = order[without_artifacts(len(points), artifacts)]
        own = left < len(scan)
        found.append(bool(artifacts))
        kept.append(own.sum() / len(scan))
        dropped.append(1 - (~own).sum() / len(extra))
        sizes.append(size(np.concatenate([scan, extra])[left]) / size(scan))
    worst = sizes[np.abs(np.log(sizes)).argmax()]
    return [np.mean(found), np.mean(kept), np.mean(dropped), np.median(sizes), worst]


def report(name, scans, seed):
    rng = np.random.default_rng(seed)
    as_is = [len(find_artifacts(scan)) > 0 for scan in scans]
    away = [len(find_artifacts(far_away(scan, rng))) > 0 for scan in scans]
    print(f"\n{name}: {len(scans)} scans; false alarms {sum(as_is)} as they are, {sum(away)} shuffled and far away\n")
    rows = [[label, *(f"{value:.3f}" for value in measure(scans, inject, rng))] for label, inject in INJECTED.items()]
    print(aligned(["artifact", "found", "kept", "dropped", "size", "worst size"], rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=pathlib.Path)
    parser.add_argument("--shapes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.real:
        report("real", list(scans_of(arguments.real)), arguments.seed)
    made = Shapes8(train=1, val=1, test=arguments.shapes, views=2, seed=arguments.seed)
    report("Shapes8", list(made.arrays("test")[0].astype(np.float64)), arguments.seed)
    for count in (2048, 1_000_000):
        points = np.random.default_rng(0).normal(size=(count, 3))
        points[:20] *= 100
        began = time.perf_counter()
        find_artifacts(points)
        print(f"{count} points with 20 stray ones: {1000 * (time.perf_counter() - began):.0f} ms")


if __name__ == "__main__":
    main()
