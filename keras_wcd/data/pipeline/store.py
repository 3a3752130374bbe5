"""Clouds packed into memory-mapped files, made once and kept between runs.

A file holds a run of clouds as one float32 array `(rows, largest, 3)`, shorter clouds filled up with NaN. Its name
holds a digest of what it was made from and the checksum of what it holds: a stale file is not found, a damaged one is
noticed when first touched, and both are made again. Files appear whole; several processes may fill one folder.
"""

import contextlib
import functools
import hashlib
import threading
import warnings
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from keras_wcd import parallel
from keras_wcd.data.cache import VARIABLE
from keras_wcd.data.io.limits import atomic_write

_VERSION = 1
Arrange = Callable[[list[np.ndarray]], list[np.ndarray]]


class Store:
    """Clouds by number, float32 and read-only.

    Args:
        folder: Where the files lie.
        label: Beginning of their names; says what is done to the clouds, with every parameter of it.
        keys: For every cloud a text that changes when the cloud does.
        read: The cloud of a number, `(N, 3)`; called from several threads.
        arrange: What is done to the clouds of one file before they are packed.
        rows: Clouds in a file.
    """

    def __init__(
        self,
        folder: Path,
        label: str,
        keys: Sequence[str],
        read: Callable[[int], np.ndarray],
        arrange: Arrange = list,
        *,
        rows: int = 128,
    ):
        self.folder, self.label, self.keys, self.rows = folder, label, keys, rows
        self._read, self._arrange = read, arrange
        self._open: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._locks = [threading.Lock() for _ in range(0, len(keys), rows)]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, number: int) -> np.ndarray:
        part, row = divmod(number, self.rows)
        clouds, sizes = self._open.get(part) or self._opened(part)
        return clouds[row, : sizes[row]]

    def prepare(self, workers: int, *, desc: str = "", progress: bool = True) -> None:
        """Make what is missing, `workers` files at a time.

        By threads: long NumPy calls share the cores as well as processes would, and what they read stays here. Within
        `parallel.on_cluster` the cluster's workers do it, where they see the same files.
        """
        if parallel.clustered():
            fill, parts = functools.partial(_fill, self), [{"part": part} for part in self._missing()]
            for *_, error in parallel.run(fill, parts, desc=desc if progress else None, unit="file"):
                if error:
                    raise ValueError(error)
        missing = self._missing()
        # Processes that start together take the files in different orders, and so share the work.
        missing = [missing[i] for i in np.random.default_rng().permutation(len(missing))]
        with (
            tqdm(total=len(missing), desc=desc, unit="file", disable=not progress, delay=1, mininterval=0.5) as bar,
            ThreadPoolExecutor(workers) as pool,
        ):
            try:
                for _ in pool.map(self._opened, missing):
                    bar.update()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def __getstate__(self) -> dict:
        return {**vars(self), "folder": self.folder.absolute(), "_open": {}, "_locks": len(self._locks)}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state, _locks=[threading.Lock() for _ in range(state["_locks"])])

    def largest(self) -> int:
        """Points of the largest cloud, read off the files' headers."""
        return max(self._width(part) for part in range(len(self._locks)))

    def _missing(self) -> list[int]:
        return [part for part in range(len(self._locks)) if part not in self._open and not self._files(part)]

    def _width(self, part: int) -> int:
        for path in [] if part in self._open else self._files(part):
            with contextlib.suppress(OSError, ValueError, EOFError):
                return np.load(path, mmap_mode="r", allow_pickle=False).shape[1]
        return self._opened(part)[0].shape[1]

    def _opened(self, part: int) -> tuple[np.ndarray, np.ndarray]:
        with self._locks[part]:
            if part not in self._open:
                clouds = self._found(part)
                if clouds is None:
                    clouds = self._made(part)
                self._open[part] = clouds, _sizes(clouds)
            return self._open[part]

    def _name(self, part: int) -> str:
        keys = self.keys[part * self.rows : (part + 1) * self.rows]
        digest = hashlib.sha256("\n".join([str(_VERSION), self.label, *keys]).encode()).hexdigest()
        return f"{self.label}-{digest[:32]}"

    def _files(self, part: int) -> list[Path]:
        return sorted(self.folder.glob(f"{self._name(part)}-????????.npy"))

    def _found(self, part: int) -> np.ndarray | None:
        count = len(self.keys[part * self.rows : (part + 1) * self.rows])
        for path in self._files(part):
            try:
                clouds = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError):
                continue
            fits = clouds.dtype == np.float32 and clouds.ndim == 3 and clouds.shape[::2] == (count, 3)
            if fits and _checksum(clouds) == path.stem[-8:]:
                return np.asarray(clouds)
        return None

    def _made(self, part: int) -> np.ndarray:
        clouds = self._arrange([self._read(i) for i in range(len(self.keys))[part * self.rows :][: self.rows]])
        packed = np.full((len(clouds), max(map(len, clouds)), 3), np.nan, np.float32)
        for row, cloud in enumerate(clouds):
            packed[row, : len(cloud)] = cloud
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{self._name(part)}-{_checksum(packed)}.npy"
            with atomic_write(path) as file:
                np.save(file, packed, allow_pickle=False)
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        except OSError as error:
            message = f"cannot keep made clouds in {self.folder}: {error}; set {VARIABLE} to a folder"
            warnings.warn(message, stacklevel=2)
            packed.flags.writeable = False
            return packed


def _fill(store: Store, part: int) -> None:
    """Make one file, on whichever machine."""
    store._opened(part)


def _checksum(clouds: np.ndarray) -> str:
    return f"{zlib.crc32(clouds.data):08x}"


def _sizes(clouds: np.ndarray) -> np.ndarray:
    """Points of every cloud `(rows,)`: those before the NaN."""
    sizes = np.full(len(clouds), clouds.shape[1])
    short = np.isnan(clouds[:, -1, 0])
    sizes[short] = np.isfinite(clouds[short, :, 0]).sum(axis=1)
    return sizes
