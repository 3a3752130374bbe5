"""Local heaps of HDF5 files, looked at before the library opens one: a list in them that never ends hangs it."""

import os
import struct

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAP = b"HEAP\0\0\0\0"
"""Signature, version and what is reserved."""
_NO_MORE = 1
"""The offset that ends a list of free blocks."""
LOOKED_AT = 2**20
"""Bytes from the beginning of a file that are looked through: heaps of names lie before the data sets."""
_FORMATS = {4: "I", 8: "Q"}


def check_heaps(path: str | os.PathLike) -> None:
    """Refuse a file in which the free blocks of a heap name each other in a circle.

    The library follows them without counting, and takes memory for each.

    Raises:
        ValueError: for such a file; whoever knows its name puts it in front.
    """
    with open(path, "rb") as file:
        # Of bytes in memory a signature is found several times as fast as of a mapped file.
        check_heaps_of(file.read(LOOKED_AT))


def check_heaps_of(data: bytes) -> None:
    """`check_heaps` of the first bytes of a file."""
    base = data.find(_SIGNATURE)
    if base < 0 or base + 16 > len(data):
        return  # What is none is the library's to refuse.
    first = 13 if data[base + 8] < 2 else 9
    offset, length = (_FORMATS.get(data[base + first + k]) for k in (0, 1))
    if offset is None or length is None:
        return
    place = data.find(_HEAP)
    while place >= 0:
        if _is_endless(data, base, place, struct.Struct(f"<{length}{length}{offset}"), struct.Struct(f"<{length}")):
            raise ValueError("the list of the free blocks of one of its heaps has no end")
        place = data.find(_HEAP, place + 1)


def _is_endless(data: bytes, base: int, place: int, head: struct.Struct, offset: struct.Struct) -> bool:
    if place + len(_HEAP) + head.size > len(data):
        return False
    size, free, start = head.unpack_from(data, place + len(_HEAP))
    seen: set[int] = set()
    while free != _NO_MORE and free not in seen:
        seen.add(free)
        at = base + start + free
        if free >= size or at + offset.size > len(data):
            return False
        (free,) = offset.unpack_from(data, at)
    return free != _NO_MORE
