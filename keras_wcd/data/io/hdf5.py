"""Clouds in HDF5 files, read without following a link out of the file and without trusting a size in it."""

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from keras_wcd.data.io.cloud import Cloud, as_colors, as_normals
from keras_wcd.data.io.limits import FormatError, check_justified

if TYPE_CHECKING:
    import h5py

KEYS = ("points", "data", "xyz", "positions", "complete", "partial")
"""Names that a data set with points goes by, the first found first."""
_MAX_DATASETS = 1000
_DEFLATE, _SHUFFLE, _FLETCHER, _LZF = 1, 2, 3, 32000


def read(path: Path, dataset: str | None = None) -> Cloud:
    """The data set `dataset`, or the one of `KEYS`, or the only one `(N, 3)`, with `colors` and `normals` beside it.

    Raises:
        FormatError: for a damaged file, no or several such data sets, links out of the file, filters other than
            gzip, lzf, shuffle and fletcher32, and sizes that the bytes of the file do not justify.
    """
    import h5py

    try:
        # Some network file systems know no locks.
        with h5py.File(path, "r", locking="best-effort") as file:
            found = _datasets(file)
            name = _choose(found, dataset)
            points = _read(found[name], path)
            folder = name.rpartition("/")[0]
            beside = {key: found.get(f"{folder}/{key}".lstrip("/")) for key in ("colors", "normals")}
            beside = {k: _read(v, path) for k, v in beside.items() if v is not None and _is_cloud(v, len(points))}
    except FormatError:
        raise
    except Exception as error:  # The HDF5 library reports damage in many ways.
        raise FormatError(f"truncated or corrupt HDF5 file ({' '.join(str(error).split())[:120]})") from None
    colors, normals = beside.get("colors"), beside.get("normals")
    return Cloud(
        points, None if colors is None else as_colors(colors), None if normals is None else as_normals(normals)
    )


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


def _choose(found: dict[str, "h5py.Dataset"], dataset: str | None) -> str:
    listed = ", ".join(f"{name} {item.shape}" for name, item in list(found.items())[:20]) or "none"
    if dataset is not None:
        if dataset.strip("/") not in found:
            raise FormatError(f"it has no data set {dataset!r}; it holds {listed}")
        return dataset.strip("/")
    clouds = [name for name, item in found.items() if _is_cloud(item) and _last(name) not in ("colors", "normals")]
    for key in KEYS:
        named = [name for name in clouds if _last(name) == key]
        if len(named) == 1:
            return named[0]
        if named:
            break
    if len(clouds) == 1:
        return clouds[0]
    if clouds:
        raise FormatError(f"it holds several clouds; name one with dataset=: {listed}")
    raise FormatError(f"it holds no data set of numbers of shape (N, 3); it holds {listed}")


def _last(name: str) -> str:
    return name.rpartition("/")[2].lower()


def _is_cloud(item: "h5py.Dataset", rows: int | None = None) -> bool:
    try:
        kind = item.dtype.kind
    except (TypeError, ValueError):  # A type NumPy has no word for.
        return False
    shape = item.shape
    return kind in "fiu" and shape is not None and len(shape) == 2 and shape[1] == 3 and rows in (None, shape[0])


def _read(item: "h5py.Dataset", path: Path) -> np.ndarray:
    """All of a data set `(N, 3)` once its bytes justify it."""
    if not _is_cloud(item):
        hint = "; transpose it" if item.shape and len(item.shape) == 2 and item.shape[0] == 3 else ""
        raise FormatError(f"the data set {item.name} has shape {item.shape}; a cloud is (N, 3) numbers{hint}")
    if item.is_virtual or item.external:
        raise FormatError(f"the data set {item.name} takes its numbers from other files, which are not opened")
    rows = item.chunks[0] * item.chunks[1] if item.chunks else 0
    stored = min(item.id.get_storage_size(), path.stat().st_size)
    check_justified(max(item.size, rows) * item.dtype.itemsize, stored, f"the data set {item.name}")
    if item.chunks:
        _check_chunks(item, rows * item.dtype.itemsize)
    return item[()]


def _check_chunks(item: "h5py.Dataset", size: int) -> None:
    """Refuse chunks that inflate to more than they say, which the library would inflate to the end."""
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
        mask, packed = item.id.read_direct_chunk(place)
        if not mask >> filters.index(_DEFLATE) & 1 and len(zlib.decompressobj().decompress(packed, size + 1)) > size:
            raise FormatError(f"a chunk of the data set {item.name} inflates beyond its {size} bytes")
