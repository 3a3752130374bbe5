"""Small trees of files in the layouts of the published data sets, written without the library."""

import json
from collections.abc import Callable
from typing import NamedTuple

import h5py
import numpy as np
import pytest
from shared import DATA as SHARED

SYNSETS = ["02691156", "02933112", "02958343", "03001627", "03636649", "04256520", "04379243", "04530566"]
NAMES = ["airplane", "cabinet", "car", "chair", "lamp", "sofa", "table", "watercraft"]
CATEGORIES = ["airplane", "cabinet", "car", "chair", "lamp", "couch", "table", "watercraft"]
"""Those of the real shapes, in the same order."""


class Shape(NamedTuple):
    synset: str
    id: str
    complete: np.ndarray
    partials: list


def synthetic(points=400, seed=0):
    """For every category two ellipsoids, seen from eight sides; float32."""
    rng = np.random.default_rng(seed)
    shapes = []
    for number in range(16):
        sphere = rng.standard_normal((points, 3))
        complete = (sphere / np.linalg.norm(sphere, axis=1, keepdims=True) * rng.uniform(0.1, 0.4, 3)).astype("f4")
        views = [complete[complete @ rng.standard_normal(3) > 0] for _ in range(8)]
        shapes.append(Shape(SYNSETS[number % 8], f"{number:032x}", complete, [v for v in views if len(v)]))
    return shapes


def real():
    """Two CAD shapes of every category with ray-cast scans, eight for each by thinning."""
    for name in ("real8_train.npz", "real8_val.npz"):
        if not (SHARED / name).exists():
            pytest.skip(f"{SHARED / name} is absent: real shapes are not part of the repository")
    shapes = []
    with np.load(SHARED / "real8_train.npz") as data:
        complete, partial, categories = data["complete"], data["partial"], list(data["category"])
    for number, category in enumerate(CATEGORIES * 2):
        row = [i for i, c in enumerate(categories) if c == category][number // 8]
        scans = [partial[row, view % 2, view // 2 :: 2].astype("f4") for view in range(8)]
        shapes.append(Shape(SYNSETS[number % 8], f"real{row:04d}", complete[row].astype("f4"), scans))
    return shapes


def write_pcd(path, points):
    """The header that PCN's own files have, and a point a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = (
        "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\n"
        f"WIDTH {len(points)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\nDATA ascii\n"
    )
    path.write_text(header + "".join(f"{x:.9g} {y:.9g} {z:.9g}\n" for x, y, z in points.tolist()))


def write_h5(path, **arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values)


def pcn(root, shapes):
    """Each first shape of a category in train, each second one in val and test."""
    rows = [
        {"taxonomy_id": synset, "taxonomy_name": name, "train": [], "val": [], "test": []}
        for synset, name in zip(SYNSETS, NAMES, strict=True)
    ]
    for number, shape in enumerate(shapes):
        for split in ("train",) if number < 8 else ("val", "test"):
            rows[number % 8][split].append(shape.id)
            write_pcd(root / split / "complete" / shape.synset / f"{shape.id}.pcd", shape.complete)
            for view, scan in enumerate(shape.partials if split == "train" else shape.partials[:1]):
                write_pcd(root / split / "partial" / shape.synset / shape.id / f"{view:02d}.pcd", scan)
    # Not the order of the tables.
    (root / "PCN.json").write_text(json.dumps(rows[::-1], indent=4))


def shapenet(root, shapes):
    """All subsets: the first eight shapes to train on, and one more shape that only the unseen list has."""
    (root / "shapenet_pc").mkdir(parents=True)
    # An id with dashes, as some published ones have.
    names = [f"{s.synset}-{'u6028-' if i % 2 else ''}{s.id}.npy" for i, s in enumerate(shapes)]
    for name, shape in zip(names, shapes, strict=True):
        np.save(root / "shapenet_pc" / name, shape.complete * 3 + 1)
    unseen = names[-1].replace("04530566", "02773838")
    np.save(root / "shapenet_pc" / unseen, shapes[-1].complete)
    for folder, lists in {
        "ShapeNet-55": {"train": names[:8], "test": names[8:]},
        "ShapeNet-34": {"train": names[:7], "test": names[9:]},
        "ShapeNet-Unseen21": {"test": [unseen]},
    }.items():
        (root / folder).mkdir()
        for split, lines in lists.items():
            (root / folder / f"{split}.txt").write_text("\n".join(lines))


def mvp(root, shapes):
    """26 scans for every shape, eight shapes to train on and three to test on."""
    root.mkdir(parents=True, exist_ok=True)
    for name, part in {"Train": shapes[:8], "Test": shapes[8:11]}.items():
        size = min(len(scan) for shape in part for scan in shape.partials)
        scans = [shape.partials[view % len(shape.partials)][:size] + view / 100 for shape in part for view in range(26)]
        write_h5(
            root / f"MVP_{name}_CP.h5",
            incomplete_pcds=np.array(scans, "f4"),
            complete_pcds=np.array([shape.complete[:2048] for shape in part], "f4"),
            labels=np.repeat(np.arange(len(part), dtype="i4"), 26),
        )


def completion3d(root, shapes):
    root.mkdir(parents=True, exist_ok=True)
    for split, part in {"train": shapes[:8], "val": shapes[8:]}.items():
        for shape in part:
            write_h5(root / split / "gt" / shape.synset / f"{shape.id}.h5", data=shape.complete[:2048])
            write_h5(root / split / "partial" / shape.synset / f"{shape.id}.h5", data=shape.partials[0][:2048])
        (root / f"{split}.list").write_text("".join(f"{s.synset}/{s.id}\n" for s in part))
    write_h5(root / "test" / "partial" / "all" / "0000.h5", data=shapes[0].partials[1])
    (root / "test.list").write_text("all/0000\n")


def kitti(root, shapes):
    """Two cars that drive through eleven sweeps; returns for every scan its points in the box's frame."""
    cars = [shape for shape in shapes if shape.synset == "02958343"]
    rng = np.random.default_rng(0)
    canonical = {}
    for folder in ("bboxes", "tracklets"):
        (root / folder).mkdir(parents=True)
    for track, shape in enumerate(cars):
        names = []
        for frame in range(11):
            # The number of a car changes from sweep to sweep.
            name = f"frame_{frame}_car_{(track + frame) % 2}"
            names.append(name)
            yaw, place = rng.uniform(-3, 3), rng.uniform(-30, 30, 3)
            length, width, height = 4.2, 1.8, 1.5
            turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
            signs = [(-1, 1), (-1, -1), (1, -1), (1, 1)] * 2
            corners = np.array([(x * length / 2, y * width / 2, height * (i > 3)) for i, (x, y) in enumerate(signs)])
            corners = corners @ turn.T + place
            scan = shape.partials[frame % len(shape.partials)]
            canonical[name] = scan
            lidar = np.stack([scan[:, 0], scan[:, 2], scan[:, 1]], axis=1).astype("f8") * length
            write_pcd(root / "cars" / f"{name}.pcd", lidar @ turn.T + place + [0, 0, height / 2])
            np.savetxt(root / "bboxes" / f"{name}.txt", corners)
        (root / "tracklets" / f"tracklet_{track}.txt").write_text("\n".join(names[::-1]) + "\n")
    return canonical


class Layout(NamedTuple):
    """A data set on the disk, for the tests that hold for all of them.

    Attributes:
        build: Writes its files under a root, from shapes.
        counts: Shapes in each of its splits.
        fourth: A file of the fourth shape of its first split, with a place for the shape's id; None where all
            shapes are one file.
    """

    build: Callable
    counts: dict
    fourth: str | None = None


LAYOUTS = {
    "pcn": Layout(pcn, {"train": 8, "val": 8, "test": 8}, "train/partial/03001627/{:032x}/05.pcd"),
    "shapenet55": Layout(shapenet, {"train": 8, "val": 8, "test": 8}, "shapenet_pc/03001627-u6028-{:032x}.npy"),
    "shapenet34": Layout(shapenet, {"train": 7, "val": 7, "test": 7}, "shapenet_pc/03001627-u6028-{:032x}.npy"),
    "unseen21": Layout(shapenet, {"test": 1}),
    "mvp": Layout(mvp, {"train": 8, "val": 3, "test": 3}, "MVP_Train_CP.h5"),
    "completion3d": Layout(completion3d, {"train": 8, "val": 8, "test": 1}, "train/gt/03001627/{:032x}.h5"),
    "kitti": Layout(kitti, {"test": 22}, "bboxes/frame_3_car_1.txt"),
}
"""A row for every data set of `DATASETS` that has files."""
BUILDERS = {name: layout.build for name, layout in LAYOUTS.items()}
