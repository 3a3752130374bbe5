"""LAS and LAZ, the formats of surveys, read by laspy and lazrs once their sizes are checked."""

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_wcd.data.io.cloud import COLORS, KNOWN, POINTS, Cloud, from_columns
from keras_wcd.data.io.limits import FormatError, check_justified
from keras_wcd.data.io.names import meaning

_HEADER = struct.Struct("<94xHIIBHI")
"""Size of the header, place of the points, number of VLRs, point format, bytes of a point, points (as of LAS 1.2)."""
_VLR_BYTES = 54
_LAYERED = 3
_LAYERS = {10: 9, 11: 1, 12: 2, 13: 1}
"""Layers of LASzip's items by their type; extra bytes (14) have one for every byte."""
_EXTRA_BYTES = 14


def read(path: Path) -> Cloud:
    """The points in the units of the file, float64; red, green and blue, and normals among extra bytes, where they are.

    Raises:
        FormatError: for a damaged file, or a header that promises more points than its bytes justify.
    """
    import laspy

    try:
        with open(path, "rb") as file:
            compressed = _check_header(file, path.stat().st_size)
            with laspy.open(file, closefd=False, laz_backend=laspy.LazBackend.Lazrs, read_evlrs=False) as reader:
                header = reader.header
                _check_size(header, path.stat().st_size, compressed)
                if compressed:
                    _check_laz(file, header, path.stat().st_size)
                    file.seek(header.offset_to_point_data)
                points = reader.read_points(-1)
            return _cloud(points, header)
    except FormatError:
        raise
    except Exception as error:  # The libraries report damage in many ways.
        raise _damaged(error) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # What the compiled library raises where it gives up.
            raise
        raise _damaged(error) from None


def _damaged(error: BaseException) -> FormatError:
    return FormatError(f"truncated or corrupt LAS or LAZ file ({' '.join(str(error).split())[:120]})")


def _cloud(points, header) -> Cloud:
    if len(points) < header.point_count:
        raise FormatError(f"truncated: the header promises {header.point_count} points, {len(points)} follow")
    columns = {axis: np.asarray(getattr(points, axis), np.float64) for axis in POINTS}
    names, left = list(points.point_format.dimension_names), []
    for name in names:
        word = meaning(name)
        if word in POINTS:
            continue
        if word in KNOWN and (word in COLORS or word.startswith("n")):
            columns[word] = np.asarray(points[name])
        else:
            left.append(name)
    version = f"{header.version.major}.{header.version.minor}, point format {header.point_format.id}"
    return from_columns(columns).noted(version=version, fields=" ".join(names), columns_left_out=", ".join(left))


def _check_header(file: BinaryIO, size: int) -> bool:
    """Whether the points are compressed; refuses a header whose places lie outside the file."""
    start = file.read(_HEADER.size)
    if len(start) < _HEADER.size or start[:4] != b"LASF":
        raise FormatError("it does not begin with LASF; the file is corrupt or no LAS")
    length, place, vlrs, kind, _, _ = _HEADER.unpack(start)
    if not 227 <= length <= place <= size or vlrs * _VLR_BYTES > place - length:
        raise FormatError(f"truncated or corrupt: the points begin at byte {place} of {size} behind {vlrs} records")
    file.seek(0)
    return bool(kind & 0xC0)


def _check_size(header, size: int, compressed: bool) -> None:
    nbytes = header.point_count * header.point_format.size
    if compressed:
        check_justified(nbytes, size, "its header")
    elif nbytes > size - header.offset_to_point_data:
        left = size - header.offset_to_point_data
        raise FormatError(f"the header promises {header.point_count} points ({nbytes} bytes), {left} bytes follow")


def _check_laz(file: BinaryIO, header, size: int) -> None:
    """Refuse sizes of chunks and layers beyond the file: lazrs allocates what they say."""
    data = header.vlrs.get("LasZipVlr")[0].record_data
    compressor, count = struct.unpack_from("<H30xH", data)
    items = [struct.unpack_from("<HHH", data, 34 + 6 * k) for k in range(count)]
    record = sum(length for _, length, _ in items)
    if record != header.point_format.size:
        raise FormatError(f"corrupt: its compressed points have {record} bytes, its points {header.point_format.size}")
    start = header.offset_to_point_data
    table = _table(file, start, size)
    if compressor != _LAYERED:
        return
    layers = sum(length if kind == _EXTRA_BYTES else _LAYERS.get(kind, 0) for kind, length, _ in items)
    place, left = start + 8, header.point_count
    while left > 0 and place < table:
        file.seek(place + record)
        head = file.read(4 + 4 * layers)
        if len(head) < 4 + 4 * layers:
            break
        points, *sizes = struct.unpack(f"<{1 + layers}I", head)
        place += record + len(head) + sum(sizes)
        left -= max(points, 1)
        if place > size:
            raise FormatError(f"truncated or corrupt: a chunk of compressed points ends at byte {place} of {size}")


def _table(file: BinaryIO, start: int, size: int) -> int:
    """Where the table of chunks lies, the file's end where there is none."""
    for where in (start, size - 8):
        file.seek(where)
        (place,) = struct.unpack("<q", file.read(8).ljust(8, b"\0"))
        if place > start:
            break
    else:
        return size
    file.seek(min(place, size))
    head = file.read(8)
    if len(head) == 8:
        (chunks,) = struct.unpack("<4xI", head)
        if chunks > size:
            raise FormatError(f"corrupt: its table promises {chunks} chunks in {size} bytes")
    return min(place, size)
