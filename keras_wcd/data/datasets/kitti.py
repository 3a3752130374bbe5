"""Cars of a KITTI LiDAR sequence, as PCN's authors cut them out (Yuan et al., 3DV 2018): scans without ground truth."""

import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_wcd.data.contract import CAR, Clouds, Sample, file_key
from keras_wcd.data.datasets.kitti_boxes import from_box_frame, read_box, to_box_frame
from keras_wcd.data.datasets.listings import component, read_names
from keras_wcd.data.datasets.on_disk import DatasetOnDisk

_NAME = re.compile(r"frame_(\d+)_car_(\d+)")


class KITTI(DatasetOnDisk):
    """Scans of cars in the canonical frame of their boxes; the released sequence has 2401, of 1 to thousands of points.

    Scans are ordered by sweep and by the car's number in the sweep. The same number in two sweeps is not the same
    car: `tracklets` says which scans are. File names call a sweep a frame.

    Args:
        root: The folder with `cars`, `bboxes` and `tracklets`.

    Raises:
        ValueError: for a root that is not of this layout.
    """

    splits = ("test",)
    categories = ("car",)
    frame = CAR
    layout = (
        "a KITTI tree is ROOT/cars/frame_<f>_car_<c>.pcd, ROOT/bboxes/frame_<f>_car_<c>.txt (8 corners) and "
        "ROOT/tracklets/tracklet_<t>.txt (the names of one car's scans)"
    )
    folders = ("cars", "bboxes")

    def __init__(self, root: str | os.PathLike):
        super().__init__(root, "cars")
        names = [path.stem for path in (self.root / "cars").glob("*.pcd") if _NAME.fullmatch(path.stem)]
        if not names:
            raise ValueError(f"{self.root / 'cars'}: there is no frame_<f>_car_<c>.pcd in it; {self.layout}")
        self.names = tuple(sorted(names, key=_order))
        self._index = {name: index for index, name in enumerate(self.names)}

    def size(self, split: str) -> int:
        return len(self._of({"test": self.names}, split))

    def load(self, split: str, index: int) -> Sample:
        """One scan in its box's frame, `complete` None; its name is `frame_<f>_car_<c>`."""
        index = self._position(split, index)
        return Sample(self._scan(index), None, "car", self.names[index])

    def clouds(self, split: str) -> tuple[Clouds, None]:
        names = self._of({"test": self.names}, split)
        keys = [file_key(self.root / f"cars/{n}.pcd", file_key(self.root / f"bboxes/{n}.txt")) for n in names]
        return Clouds(keys, self._scan), None

    def box(self, index: int) -> np.ndarray:
        """The corners `(8, 3)` of a scan's box in the sweep's frame, meters, z up."""
        path = self.root / "bboxes" / f"{self.names[self._position('test', index)]}.txt"
        try:
            return read_box(path)
        except FileNotFoundError:
            raise ValueError(f"{path}: no such file; `keras-wcd data check {self.root}` names all missing") from None

    def to_world(self, index: int, points: np.ndarray) -> np.ndarray:
        """Points `(..., 3)` of a scan's box frame, such as a completion of it, in the frame of its sweep."""
        return from_box_frame(points, self.box(index))

    def sweep(self, index: int) -> int:
        """The number of the sweep that a scan was cut from."""
        return _order(self.names[self._position("test", index)])[0]

    def tracklets(self) -> dict[str, tuple[int, ...]]:
        """For every car the indices of its scans, in the order of their sweeps, of which some may be left out.

        Raises:
            ValueError: naming the file, where there is none, or one that names a scan that is not there.
        """
        cars = {name: self._tracklet(name) for name in self._tracklet_names()}
        if not cars:
            raise ValueError(f"{self.root}: there is no tracklets/tracklet_<t>.txt in it; {self.layout}")
        return cars

    def files(self, split: str) -> Iterator[tuple[str, ...]]:
        tracked = {scan: name for name in self._tracklet_names() for scan in self._tracked(name)}
        for name in sorted({*self._of({"test": self.names}, split), *tracked}, key=_order):
            # A scan of no tracklet is whole; that there is none at all is not.
            tracklet = [tracked[name]] if name in tracked else [] if tracked else ["tracklet_0"]
            yield f"cars/{name}.pcd", f"bboxes/{name}.txt", *(f"tracklets/{t}.txt" for t in tracklet)

    def listed(self, split: str) -> Iterator[str]:
        """The scans that the tracklets name: each belongs to one of them."""
        self._known(split)
        return (scan for name in self._tracklet_names() for scan in self._tracked(name))

    @classmethod
    def signs(cls, **options: Any) -> tuple[str, ...]:
        return "cars", "bboxes", "tracklets"

    def _scan(self, index: int) -> np.ndarray:
        """A scan `(N, 3)`: centered in its box, heading +x, y up, the box's length 1."""
        return np.ascontiguousarray(to_box_frame(self._points(f"cars/{self.names[index]}.pcd"), self.box(index)))

    def _tracklet_names(self) -> list[str]:
        names = [path.stem for path in (self.root / "tracklets").glob("tracklet_*.txt")]
        return sorted(names, key=lambda name: (len(name), name))

    def _tracked(self, name: str) -> list[str]:
        """The scans that a tracklet names."""
        path = self.root / "tracklets" / f"{name}.txt"
        scans = [component(line.removesuffix(".pcd"), path) for line in read_names(path)]
        for scan in scans:
            if not _NAME.fullmatch(scan):
                raise ValueError(f"{path}: {scan!r} is not of the form frame_<f>_car_<c>")
        return sorted(scans, key=_order)

    def _tracklet(self, name: str) -> tuple[int, ...]:
        scans = self._tracked(name)
        absent = [scan for scan in scans if scan not in self._index]
        if absent:
            raise ValueError(f"{self.root / 'tracklets' / name}.txt: there is no cars/{absent[0]}.pcd")
        return tuple(self._index[scan] for scan in scans)


def _order(name: str) -> tuple[int, int]:
    sweep, car = name.removeprefix("frame_").split("_car_")
    return int(sweep), int(car)
