"""A folder of the user's own meshes as a data set: pairs made by virtual depth scans when they are asked for."""

import os
from pathlib import Path

import numpy as np

from keras_wcd.data import cache
from keras_wcd.data.contract import Clouds, Sample, file_key
from keras_wcd.data.datasets.base import Dataset
from keras_wcd.data.from_meshes.catalog import SPLITS, checked_shares, titles
from keras_wcd.data.from_meshes.plan import plan
from keras_wcd.data.io.limits import FormatError
from keras_wcd.data.io.mesh import Mesh
from keras_wcd.data.scanner.pairs import Scanning


class MeshFolder(Dataset):
    """Pairs from meshes in any format that trimesh reads, their categories the sub-folders of `root`.

    Every mesh is put into the canonical frame (y up, centered, bounding-box diagonal 1; its front should be +x). Its
    ground truth is uniform over the area of its surface, its scans are what PCN's depth camera sees from random
    sides. The same shape under two names or in two formats lies in one split. `make_dataset` writes the same pairs
    to files.

    Args:
        root: The folder.
        splits: Shares of train, val and test.
        views: Scans of each mesh; a split has `views` pairs for each of its meshes.
        points: Points of the ground truth.
        seed: Of everything random.
        up: Axis of the meshes that points up, "y" or "z".
        cache_dir: Folder to keep what was learned of the meshes; None takes KERAS_WCD_CACHE, or else the platform's.
        workers: Processes that read the meshes; None takes one for each core.
        cluster: Address of a Dask scheduler whose workers read them instead, as in `keras_wcd.parallel.run`.

    Attributes:
        skipped: Meshes that cannot be used, by their path, and why.

    Raises:
        ValueError: for a folder without a usable mesh, or another argument.
    """

    splits = SPLITS
    needs_root = True

    def __init__(
        self,
        root: str | os.PathLike,
        splits: tuple[float, float, float] = (0.8, 0.1, 0.1),
        *,
        views: int = 8,
        points: int = 16384,
        seed: int = 0,
        up: str = "y",
        cache_dir: str | os.PathLike | None = None,
        workers: int | None = None,
        cluster: str | None = None,
    ):
        self.root, self.shares = Path(root), checked_shares(splits)
        self.scanning = Scanning(views, points, seed, up)
        options = {"workers": workers, "cluster": cluster, "desc": "reading"}
        planned = plan(self.root, self.shares, self.scanning, folder=cache.folder(cache_dir), **options)
        self.skipped = planned.skipped
        self._titles = titles(entry.category for entry in planned.entries)
        self.categories = tuple(self._titles[folder] for folder in sorted(self._titles))
        pairs = list(zip(planned.entries, planned.splits, strict=True))
        self._entries = {name: [entry for entry, split in pairs if split == name] for name in SPLITS}
        self._last: tuple[Path | None, Mesh | None] = (None, None)

    def size(self, split: str) -> int:
        return len(self._of(split)) * self.scanning.views

    def load(self, split: str, index: int) -> Sample:
        """One pair; its name is `category/id/view`, and pairs of the same mesh follow each other."""
        index = self._position(split, index)
        number, view = divmod(index, self.scanning.views)
        entry = self._of(split)[number]
        partial, complete = self._partial(split, index), self._complete(split, number)
        return Sample(partial, complete, self._titles[entry.category], f"{entry.name}/{view:02d}")

    def clouds(self, split: str) -> tuple[Clouds, Clouds]:
        """Scans by pair and ground truth by mesh, for the pipeline."""
        settings = tuple(self.scanning.settings().values())
        keys = [file_key(self.root / entry.path, entry.name, *settings) for entry in self._of(split)]
        scans = [f"{key}|{view}" for key in keys for view in range(self.scanning.views)]
        return (
            Clouds(scans, lambda number: self._partial(split, number)),
            Clouds(keys, lambda number: self._complete(split, number)),
        )

    def pick(self, split: str, index: int, epoch: int) -> tuple[int, int]:
        """Numbers of a pair's scan and ground truth in `clouds`."""
        return index, index // self.scanning.views

    def remedy(self, split: str) -> str:
        shares = " ".join(f"{share:g}" for share in self.shares)
        return f"its share of {shares} of the meshes in {self.root} is none: give it a larger one, or add meshes"

    def _of(self, split: str) -> list:
        return self._entries[self._known(split)]

    def _partial(self, split: str, index: int) -> np.ndarray:
        number, view = divmod(index, self.scanning.views)
        entry = self._of(split)[number]
        return self._done(entry, lambda mesh: self.scanning.partial(mesh, entry.name, view))

    def _complete(self, split: str, number: int) -> np.ndarray:
        entry = self._of(split)[number]
        return self._done(entry, lambda mesh: self.scanning.complete(mesh, entry.name))

    def _done(self, entry, make) -> np.ndarray:
        """`make` of the mesh of an entry; the last mesh stays, for pairs of the same mesh follow each other."""
        path = self.root / entry.path
        try:
            last, mesh = self._last
            if last != path:
                mesh = self.scanning.mesh(path)
                self._last = (path, mesh)
            return make(mesh)
        except (FormatError, OSError) as error:
            raise ValueError(f"{path}: {error}") from None
