"""The numbered scans of shapes, a folder of files for each shape, however many each of them has."""

import bisect
import os
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_NUMBERED = re.compile(r"(\d{1,9})\.pcd")
_USUAL = 0.9
"""Share of the shapes with equally many scans from which on the others are taken to lack some."""
_SPARSE = 4
"""Numbers that leave out more than three of four are names, such as times, and no scan is missing between them."""
_THREADS = 16


class ScanFiles:
    """The scans of every shape of a split, in the order of their numbers.

    Folders are listed when they are first asked for: one pair needs one folder.

    Args:
        root: The folder of the data set.
        folders: The folder of every shape under it, with forward slashes.
        published: Scans of a shape in the published data, for shapes without any.
    """

    def __init__(self, root: Path, folders: list[str], published: int):
        self.root, self.folders, self.published = root, folders, published
        self._found: dict[int, tuple[str, ...]] = {}
        self._starts: list[int] | None = None
        self._usual: tuple[int, int, int] | None = None

    def __getitem__(self, number: int) -> tuple[str, ...]:
        """Files of a shape's scans, relative to the root; without any, the one that should be there."""
        return self._of(number) or (f"{self.folders[number]}/00.pcd",)

    def before(self, number: int) -> int:
        """Scans of all shapes before one."""
        return self._counted()[number]

    def find(self, index: int) -> tuple[int, int]:
        """The shape of one of all scans, and which of the shape's scans it is."""
        starts = self._counted()
        number = bisect.bisect_right(starts, index) - 1
        return number, index - starts[number]

    def expected(self, number: int) -> tuple[str, ...]:
        """The files that a shape should have: those that are there, those between them, and as many as is usual."""
        if self._usual is None:
            self._usual = self._learned()
        there = {_number(name): name for name in self._of(number)}
        first, digits, usual = self._usual
        last = max([first + usual - 1, *there])
        if last - first >= _SPARSE * (usual + len(there)):
            return self[number]
        folder = self.folders[number]
        return tuple(there.get(n, f"{folder}/{n:0{digits}d}.pcd") for n in range(first, last + 1))

    def hints(self) -> Iterator[str]:
        """Folders of which no file, or more than one file, is the scan of a number."""
        for number, folder in enumerate(self.folders):
            twice = [n for n, count in Counter(map(_number, self._of(number))).items() if count > 1]
            if twice:
                yield f"{folder}: there are two scans of number {twice[0]}; delete or renumber one"
            others = [] if self._of(number) else _names(self.root / folder)
            if others:
                yield f"{folder}: no scan in it, but {others[0]}; name the scans 00.pcd, 01.pcd and so on"

    def _of(self, number: int) -> tuple[str, ...]:
        if number not in self._found:
            folder = self.folders[number]
            names = [name for name in _names(self.root / folder) if _NUMBERED.fullmatch(name)]
            self._found[number] = tuple(f"{folder}/{name}" for name in sorted(names, key=lambda n: (_number(n), n)))
        return self._found[number]

    def _counted(self) -> list[int]:
        if self._starts is None:
            # Folders of a network drive answer slowly, and many at once.
            with ThreadPoolExecutor(_THREADS) as pool:
                counts = [len(found) for found in pool.map(self.__getitem__, range(len(self.folders)))]
            starts = [0]
            for count in counts:
                starts.append(starts[-1] + count)
            self._starts = starts
        return self._starts

    def _learned(self) -> tuple[int, int, int]:
        """The lowest number of a scan, the digits of a file's name, and the scans that nearly every shape has."""
        self._counted()
        found = [[Path(name).stem for name in self._of(number)] for number in range(len(self.folders))]
        stems = [stem for names in found for stem in names]
        if not stems:
            return 0, 2, self.published
        count, shapes = Counter(len(names) for names in found if names).most_common(1)[0]
        usual = count if shapes >= _USUAL * sum(map(bool, found)) else 1
        return min(map(int, stems)), min(map(len, stems)), usual


def _names(folder: Path) -> list[str]:
    """Files of a folder, hidden ones left out; none where there is no such folder."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError:
        return []


def _number(name: str) -> int:
    return int(Path(name).stem)
