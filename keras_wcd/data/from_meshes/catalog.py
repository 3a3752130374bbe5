"""The meshes of a folder: their names, their categories, which of them are the same shape, and their splits."""

import hashlib
import itertools
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from keras_wcd.data.categories import SHAPENET
from keras_wcd.data.io.mesh import Mesh

SPLITS = ("train", "val", "test")
_SAME = 2e-4
"""Fingerprints closer than this are of one shape: rounding to float32 or six decimals moves them far less."""
_SKIPPED = ("dict", "dict64", "json", "msgpack", "stl_ascii", "xyz")
"""What trimesh counts as meshes and is none, or is no extension."""


class Entry(NamedTuple):
    """One mesh of a folder; `category/id` is unique."""

    path: str
    category: str
    id: str

    @property
    def name(self) -> str:
        return f"{self.category}/{self.id}"


def find(root: str | os.PathLike) -> list[Entry]:
    """The mesh files under a folder, sorted; the first folder on the way to a file is its category.

    Files that lie in `root` itself have the category "object". Hidden files and folders are passed over.

    Raises:
        ValueError: where there is no such folder, or no mesh in it.
    """
    from trimesh.exchange.load import mesh_formats

    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; name the folder of the meshes")
    extensions = {f".{name}" for name in mesh_formats() if name not in _SKIPPED}
    files = sorted(
        path.relative_to(root)
        for path in root.rglob("*")
        if path.suffix.lower() in extensions
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and path.is_file()
    )
    if not files:
        raise ValueError(f"{root}: holds no mesh; files that end in {', '.join(sorted(extensions))} are read")
    entries, taken = [], set()
    for path in files:
        category = _plain(path.parts[0]) if len(path.parts) > 1 else "object"
        plain = _plain("_".join((*path.parts[1:-1], path.stem))) if len(path.parts) > 1 else _plain(path.stem)
        id, number = plain, 1
        while (category, id) in taken:
            id, number = f"{plain}_{path.suffix[1:].lower()}" + (f"_{number}" if number > 1 else ""), number + 1
        taken.add((category, id))
        entries.append(Entry(path.as_posix(), category, id))
    return entries


def titles(categories: Iterable[str]) -> dict[str, str]:
    """What tables call the categories: folders that are named by a synset of ShapeNet get its name."""
    folders = set(categories)
    return {folder: SHAPENET[folder] if SHAPENET.get(folder, folder) not in folders else folder for folder in folders}


def fingerprint(mesh: Mesh) -> np.ndarray:
    r"""22 numbers of a surface in its unit frame that do not depend on how its triangles are cut, listed or doubled.

    The extents of its bounding box and the moments $E[x], E[x x^T], E[x \otimes x \otimes x]$ of a point drawn
    uniformly from it, exact by a quadrature of degree 3 on every triangle.
    """
    corner = mesh.vertices[mesh.faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    area = np.sqrt((normal * normal).sum(axis=1))
    near = 0.6 * corner + 0.2 * (corner[:, [1, 2, 0]] + corner[:, [2, 0, 1]])
    points = np.concatenate([corner.mean(axis=1), *np.moveaxis(near, 1, 0)])
    weight = np.concatenate([-27 / 48 * area, *[25 / 48 * area] * 3]) / area.sum()
    used = mesh.vertices[np.unique(mesh.faces)]
    moments = []
    for degree in (1, 2, 3):
        for axes in itertools.combinations_with_replacement(points.T, degree):
            moments.append((weight * np.prod(axes, axis=0)).sum())
    return np.concatenate([np.ptp(used, axis=0), moments])


def same_shape(fingerprints: np.ndarray) -> np.ndarray:
    """For every mesh the number `(N,)` of its shape: meshes whose fingerprints `(N, 22)` are close share one."""
    pairs = cKDTree(fingerprints).query_pairs(_SAME, p=np.inf, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(fingerprints),) * 2)
    return connected_components(links, directed=False)[1]


def assign_splits(entries: list[Entry], shapes: np.ndarray, shares: tuple[float, float, float], seed: int) -> list[str]:
    """The split of every mesh; the same shape under two names lies in one.

    The shares are met to a shape over the whole and as nearly in every category; a split whose share is not zero
    gets a shape where there are three or more.
    """
    members: dict[int, list[int]] = {}
    for index, shape in enumerate(shapes):
        members.setdefault(int(shape), []).append(index)
    groups = list(members.values())
    draw = [hashlib.sha256(f"{seed}/{entries[group[0]].name}".encode()).hexdigest() for group in groups]
    category = np.array([entries[group[0]].category for group in groups])
    # A group's place within its category, 0 to 1: cutting at the shares cuts every category there.
    place = np.empty(len(groups))
    for name in np.unique(category):
        inside = sorted(np.flatnonzero(category == name), key=lambda i: draw[i])
        place[inside] = (np.arange(len(inside)) + 0.5) / len(inside)
    order = sorted(range(len(groups)), key=lambda i: (place[i], draw[i]))
    split: list[str] = [""] * len(entries)
    for name, part in zip(SPLITS, _cut(order, shares), strict=True):
        for group in part:
            for index in groups[group]:
                split[index] = name
    return split


def checked_shares(shares: tuple[float, float, float]) -> tuple[float, float, float]:
    """Shares of train, val and test that sum to 1.

    Raises:
        ValueError: where they are not three, one is negative, or the sum is not 1.
    """
    checked = tuple(float(share) for share in shares)
    if len(checked) != 3 or min(checked) < 0 or abs(sum(checked) - 1) > 1e-6:
        raise ValueError(f"splits must be the shares of train, val and test, not negative, sum 1; got {checked}")
    return checked


def _cut(order: list[int], shares: tuple[float, float, float]) -> list[list[int]]:
    count = len(order)
    sizes = [max(int(count * share + 0.5), int(count >= 3 and share > 0)) for share in shares]
    # What rounding gave too much or too little is the largest split's.
    largest = int(np.argmax(shares))
    sizes[largest] += count - sum(sizes)
    return [order[: sizes[0]], order[sizes[0] : sizes[0] + sizes[1]], order[sizes[0] + sizes[1] :]]


def _plain(name: str) -> str:
    """A name that every system's files may have."""
    return re.sub(r"[^\w.+@ -]", "_", name).strip(" .") or "_"
