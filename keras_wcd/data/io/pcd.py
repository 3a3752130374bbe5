"""PCD, the point cloud library's format: ascii, binary and binary_compressed."""

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_wcd.data.io import lzf, text
from keras_wcd.data.io.cloud import KNOWN, POINTS, Cloud, from_columns, from_text_columns
from keras_wcd.data.io.colors import pack_colors
from keras_wcd.data.io.limits import FormatError, header_line

ENCODINGS = ("ascii", "binary", "binary_compressed")
_FORMATS = {4: "%.9g", 8: "%.17g"}
_NORMALS = ("normal_x", "normal_y", "normal_z")
_MAX_HEADER_LINES = 100
_KINDS = {"F": "f", "I": "i", "U": "u"}
_SIZES = {"F": (4, 8), "I": (1, 2, 4, 8), "U": (1, 2, 4, 8)}


def read(path: Path) -> Cloud:
    """The fields x, y, z of every point; normal_x, normal_y, normal_z and rgb or rgba where there are any."""
    with open(path, "rb") as file:
        header = _read_header(file)
        count, names, dtype = _layout(header)
        encoding = header["DATA"][0].lower()
        if encoding not in ENCODINGS:
            raise FormatError(f"DATA must be one of {ENCODINGS}, the header says {encoding!r}")
        cloud = _read_points(file, path.stat().st_size - file.tell(), encoding, count, names, dtype)
    left = [name for name in names if name not in KNOWN and not name.startswith("_")]
    return cloud.noted(encoding=encoding, fields=" ".join(header["FIELDS"]), columns_left_out=", ".join(left) or None)


def write(file: BinaryIO, cloud: Cloud, encoding: str) -> None:
    """Write a cloud; colors go into the field rgb."""
    fields = {name: cloud.points[:, k] for k, name in enumerate(POINTS)}
    if cloud.normals is not None:
        fields |= {name: cloud.normals[:, k] for k, name in enumerate(_NORMALS)}
    if cloud.colors is not None:
        fields["rgb"] = pack_colors(cloud.colors)
    sizes = " ".join(str(values.dtype.itemsize) for values in fields.values())
    kinds = " ".join("U" if name == "rgb" else "F" for name in fields)
    lines = (
        f"# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS {' '.join(fields)}\n"
        f"SIZE {sizes}\nTYPE {kinds}\nCOUNT {' '.join('1' * len(fields))}\n"
        f"WIDTH {len(cloud)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(cloud)}\nDATA {encoding}\n"
    )
    file.write(lines.encode())
    if encoding == "ascii":
        formats = [_FORMATS[values.dtype.itemsize] if name != "rgb" else "%d" for name, values in fields.items()]
        np.savetxt(file, np.stack(list(fields.values()), axis=1).astype(np.float64), fmt=formats)
        return
    little = {name: values.astype(values.dtype.newbyteorder("<")) for name, values in fields.items()}
    if encoding == "binary":
        rows = np.zeros(len(cloud), [(name, values.dtype) for name, values in little.items()])
        for name, values in little.items():
            rows[name] = values
        file.write(rows.tobytes())
    else:
        columns = b"".join(values.tobytes() for values in little.values())
        packed = lzf.compress(columns)
        file.write(struct.pack("<II", len(packed), len(columns)) + packed)


def _read_points(file: BinaryIO, left: int, encoding: str, count: int, names: list[str], dtype: np.dtype) -> Cloud:
    """The points behind a header, of which `left` bytes are there."""
    if encoding == "ascii":
        columns = _read_ascii(file.read(), count, names, dtype)
        return from_text_columns(columns, {name: dtype[name].base for name in columns})
    if encoding == "binary_compressed":
        return from_columns(_read_compressed(file, left, count, dtype))
    if count * dtype.itemsize > left:
        raise FormatError(f"the header promises {count} points ({count * dtype.itemsize} bytes), {left} bytes follow")
    rows = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return from_columns({name: rows[name][:, 0] for name in _wanted(names)})


def _read_header(file: BinaryIO) -> dict[str, list[str]]:
    header = {}
    for _ in range(_MAX_HEADER_LINES):
        before = file.tell()
        words = header_line(file).decode("ascii", "replace").split("#")[0].split()
        if words:
            header[words[0].upper()] = words[1:]
        if "DATA" in header or file.tell() == before:
            break
    if "COLUMNS" in header:  # The name of FIELDS before version 0.7.
        header.setdefault("FIELDS", header["COLUMNS"])
    fields = header.get("FIELDS", [])
    header.setdefault("SIZE", ["4"] * len(fields))
    header.setdefault("TYPE", ["F"] * len(fields))
    missing = [key for key in ("FIELDS", "SIZE", "TYPE", "DATA") if not header.get(key)]
    if missing:
        raise FormatError(f"no PCD header (missing {', '.join(missing)}); the file is truncated or no PCD")
    return header


def _layout(header: dict[str, list[str]]) -> tuple[int, list[str], np.dtype]:
    """Points, field names (unique) and dtype of one point."""
    fields, kinds = [field.lower() for field in header["FIELDS"]], [kind.upper() for kind in header["TYPE"]]
    try:
        sizes = [int(size) for size in header["SIZE"]]
        counts = [int(c) for c in header.get("COUNT", ["1"] * len(fields))]
        if "POINTS" in header:
            count = int(header["POINTS"][0])
        else:
            count = int(header["WIDTH"][0]) * int(header.get("HEIGHT", ["1"])[0])
    except (ValueError, KeyError, IndexError):
        raise FormatError("SIZE, COUNT, WIDTH, HEIGHT and POINTS of the header must be whole numbers") from None
    if not len(fields) == len(sizes) == len(kinds) == len(counts):
        raise FormatError("FIELDS, SIZE, TYPE and COUNT of the header differ in length")
    if count < 0 or any(not 1 <= c <= 65536 for c in counts):
        raise FormatError("POINTS and COUNT of the header must be positive")
    if not {"x", "y", "z"} <= set(fields):
        raise FormatError(f"the header names the fields {' '.join(fields)}; x, y and z are needed")
    if any(size not in _SIZES.get(kind, ()) for kind, size in zip(kinds, sizes, strict=True)):
        raise FormatError(f"unknown TYPE and SIZE in the header: {' '.join(kinds)}, {sizes}")
    # Padding fields share the name "_".
    names = [f if fields.index(f) == i else f"{f} {i}" for i, f in enumerate(fields)]
    layout = [(n, f"<{_KINDS[k]}{s}", (c,)) for n, k, s, c in zip(names, kinds, sizes, counts, strict=True)]
    return count, names, np.dtype(layout)


def _wanted(names: list[str]) -> list[str]:
    return [name for name in names if name in KNOWN]


def _read_ascii(content: bytes, count: int, names: list[str], dtype: np.dtype) -> dict[str, np.ndarray]:
    starts = np.cumsum([0] + [dtype[name].shape[0] for name in names])
    wanted = _wanted(names)
    rows = text.parse(content, columns=[int(starts[names.index(name)]) for name in wanted], count=count)
    return {name: rows[:, k] for k, name in enumerate(wanted)}


def _read_compressed(file: BinaryIO, left: int, count: int, dtype: np.dtype) -> dict[str, np.ndarray]:
    """One field after the other, compressed as a whole."""
    if left < 8:
        raise FormatError("truncated: no compressed data after the header")
    packed, size = struct.unpack("<II", file.read(8))
    if packed > left - 8:
        raise FormatError(f"truncated: {packed} bytes of compressed data promised, {left - 8} follow")
    if size != count * dtype.itemsize or size > packed * lzf.MAX_RATIO:
        raise FormatError(f"the header promises {count} points, the compressed data {size} bytes from {packed}")
    data, columns, start = lzf.decompress(file.read(packed), size), {}, 0
    for name in dtype.names or ():
        field = dtype[name]
        if name in KNOWN:
            values = np.frombuffer(data, field.base, count * field.shape[0], start)
            columns[name] = values.reshape(count, -1)[:, 0]
        start += count * field.itemsize
    return columns
