"""Clouds in HDF5 files, read without following a link out of the file and without trusting a size in it."""

import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from keras_wcd.data.io.arrays import Shape, Which, read_archive
from keras_wcd.data.io.cloud import Cloud
from keras_wcd.data.io.limits import FormatError, check_justified
from keras_wcd.heaps import check_heaps

if TYPE_CHECKING:
    import h5py

_MAX_DATASETS = 1000
_DEFLATE, _SHUFFLE, _FLETCHER, _LZF = 1, 2, 3, 32000


def read(path: Path, which: Which) -> Cloud:
    """The data set that `arrays.choose` chooses, with those of colors and normals beside it.

    Raises:
        FormatError: for a damaged file, no or several such data sets, links out of the file, filters other than
            gzip, lzf, shuffle and fletcher32, and sizes that the bytes of the file do not justify.
    """
    import h5py

    try:
        check_heaps(path)
        # Some network file systems know no locks.
        with h5py.File(path, "r", locking="best-effort") as file:
            found = _datasets(file)
            shapes = {name: shape for name, item in found.items() if (shape := _shape(item)) is not None}
            return read_archive(shapes, which, lambda name, row: _read(found[name], path, row))
    except FormatError:
        raise
    except Exception as error:  # The HDF5 library reports damage in many ways.
        raise FormatError(f"truncated or corrupt HDF5 file ({' '.join(str(error).split())[:120]})") from None


def write(file: BinaryIO, cloud: Cloud, encoding: str) -> None:
    """Write the data set `points`, and `colors` and `normals` where there are any."""
    import h5py

    arrays = {"points": cloud.points, "colors": cloud.colors, "normals": cloud.normals}
    with h5py.File(file, "w") as archive:
        for name, values in arrays.items():
            if values is not None:
                archive.create_dataset(name, data=values)


def _datasets(file: "h5py.File") -> dict[str, "h5py.Dataset"]:
    """Data sets that lie in the file itself: `visititems` follows no soft and no external link."""
    import h5py

    found = {}

    def visit(name: str, item: object) -> bool | None:
        if isinstance(item, h5py.Dataset):
            found[name] = item
        return True if len(found) > _MAX_DATASETS else None

    if file.visititems(visit):
        raise FormatError(f"it holds more than {_MAX_DATASETS} data sets; save the cloud alone")
    return found


def _shape(item: "h5py.Dataset") -> Shape | None:
    try:
        return None if item.shape is None else Shape(item.shape, item.dtype)
    except (TypeError, ValueError):  # A type NumPy has no word for.
        return None


def _read(item: "h5py.Dataset", path: Path, row: int | None) -> np.ndarray:
    """All of a data set, or a row of it, once its bytes justify it."""
    if item.is_virtual or item.external:
        raise FormatError(f"the data set {item.name} takes its numbers from other files, which are not opened")
    size = item.size if row is None else item.size // item.shape[0]
    chunk = math.prod(item.chunks) if item.chunks else 0
    stored = min(item.id.get_storage_size(), path.stat().st_size)
    check_justified(max(size, chunk) * item.dtype.itemsize, stored, f"the data set {item.name}")
    if item.chunks:
        _check_chunks(item, chunk * item.dtype.itemsize, row)
    return item[()] if row is None else item[row]


def _check_chunks(item: "h5py.Dataset", size: int, row: int | None) -> None:
    """Refuse chunks that inflate to more than they say, which the library would do to the end.

    Of a row, where one is given, only its own chunks are looked at.
    """
    properties = item.id.get_create_plist()
    filters = [properties.get_filter(k)[0] for k in range(properties.get_nfilters())]
    if not set(filters) <= {_DEFLATE, _SHUFFLE, _FLETCHER, _LZF}:
        raise FormatError(f"the data set {item.name} is stored with a filter other than gzip, lzf and shuffle")
    if _DEFLATE not in filters:
        return
    if set(filters[filters.index(_DEFLATE) + 1 :]) - {_FLETCHER}:
        raise FormatError(f"the data set {item.name} is compressed twice; save it with one compression")
    # Fletcher32 in front of the compression adds its four bytes to what is inflated.
    size += 4 * filters.count(_FLETCHER)
    places = []
    item.id.chunk_iter(lambda chunk: places.append(chunk.chunk_offset))
    for place in places:
        if row is not None and not place[0] <= row < place[0] + item.chunks[0]:
            continue
        mask, packed = item.id.read_direct_chunk(place)
        if not mask >> filters.index(_DEFLATE) & 1 and len(zlib.decompressobj().decompress(packed, size + 1)) > size:
            raise FormatError(f"a chunk of the data set {item.name} inflates beyond its {size} bytes")
