"""PLY, the polygon file format: vertices and faces, ascii and binary of both endians."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from keras_wcd.data.io import text
from keras_wcd.data.io.cloud import KNOWN, Cloud, columns_of, from_columns, from_text_columns
from keras_wcd.data.io.limits import FormatError, header_line

ENCODINGS = ("binary", "ascii")
_MAX_HEADER_LINES = 1000
_ORDERS = {"ascii": "<", "binary_little_endian": "<", "binary_big_endian": ">"}
_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip


class Property(NamedTuple):
    """One property of an element; a list has the dtype of its length in `length`."""

    name: str
    dtype: str
    length: str | None = None


@dataclass(frozen=True)
class Element:
    """One block of a file."""

    name: str
    count: int
    properties: list[Property]


def read(path: Path) -> tuple[Cloud, np.ndarray]:
    """Vertices and triangles `(F, 3)`, F = 0 for a cloud; polygons become fans of triangles."""
    with open(path, "rb") as file:
        encoding, elements = _read_header(file)
        data = file.read()
    reader = _Ascii(data) if encoding == "ascii" else _Binary(data, _ORDERS[encoding])
    vertices, faces = None, np.zeros((0, 3), np.int64)
    for element in elements:
        if element.name == "vertex":
            vertices = reader.vertices(element)
        elif element.name == "face":
            faces = fans(reader.lists(element))
        else:
            reader.lists(element)  # Read past it.
    if vertices is None:
        raise FormatError("the header names no element vertex")
    if faces.size and not (faces.min() >= 0 and faces.max() < len(vertices)):
        raise FormatError(f"a face names a vertex outside 0 to {len(vertices) - 1}")
    names = [p.name for element in elements if element.name == "vertex" for p in element.properties]
    left = ", ".join(name for name in names if name not in KNOWN) or None
    return vertices.noted(encoding=encoding, fields=" ".join(names), columns_left_out=left), faces


def write(file: BinaryIO, cloud: Cloud, encoding: str) -> None:
    """Write the points of a cloud as vertices, with their normals and colors where there are any."""
    columns = columns_of(cloud)
    form = "ascii" if encoding == "ascii" else "binary_little_endian"
    kinds = {np.dtype(np.uint8): "uchar", np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
    lines = "".join(f"property {kinds[values.dtype]} {name}\n" for name, values in columns.items())
    file.write(f"ply\nformat {form} 1.0\nelement vertex {len(cloud)}\n{lines}end_header\n".encode())
    if encoding == "ascii":
        text.dump(file, cloud)
        return
    rows = np.zeros(len(cloud), [(name, values.dtype.newbyteorder("<")) for name, values in columns.items()])
    for name, values in columns.items():
        rows[name] = values
    file.write(rows.tobytes())


class _Binary:
    """Elements one after the other out of bytes."""

    def __init__(self, data: bytes, order: str):
        self.data, self.order, self.position = data, order, 0

    def vertices(self, element: Element) -> Cloud:
        known = [p.name for p in element.properties if p.name in KNOWN and p.length is None]
        if all(p.length is None for p in element.properties):
            rows = self._rows(element, [(p.name, self.order + p.dtype) for p in element.properties])
        else:
            rows = self._equal_lists(element) if element.count else None
        if rows is not None:
            return from_columns({name: rows[name] for name in known})
        read = [self._record(element) for _ in range(element.count)]
        return from_columns(
            {
                p.name: np.array([row[p.name][0] for row in read], self.order + p.dtype)
                for p in element.properties
                if p.name in known
            }
        )

    def lists(self, element: Element) -> list[np.ndarray] | np.ndarray:
        """The vertex indices of every face; an array where all have equally many."""
        if all(p.length is None for p in element.properties):
            self._rows(element, [(p.name, self.order + p.dtype) for p in element.properties])
            return []
        if not element.count:
            return []
        rows, wanted = self._equal_lists(element), _index_property(element)
        return rows[wanted] if rows is not None else [self._record(element)[wanted] for _ in range(element.count)]

    def _equal_lists(self, element: Element) -> np.ndarray | None:
        """Structured rows of an element whose lists are all as long as those of its first row, None where not."""
        start, layout, lengths = self.position, [], []
        for p in element.properties:
            if p.length is None:
                layout.append((p.name, self.order + p.dtype))
                self._take(p.dtype)
                continue
            length = int(self._take(p.length)[0])
            self._take(p.dtype, length)
            lengths.append((f"{p.name} length", length))
            layout += [(f"{p.name} length", self.order + p.length), (p.name, self.order + p.dtype, (length,))]
        after = self.position
        self.position = start
        if np.dtype(layout).itemsize == after - start and element.count * (after - start) <= len(self.data) - start:
            rows = self._rows(element, layout)
            if all((rows[name] == length).all() for name, length in lengths):
                return rows
        self.position = start
        return None

    def _record(self, element: Element) -> dict[str, np.ndarray]:
        return {
            p.name: self._take(p.dtype, 1 if p.length is None else int(self._take(p.length)[0]))
            for p in element.properties
        }

    def _rows(self, element: Element, layout: list[tuple]) -> np.ndarray:
        dtype = np.dtype(layout)
        if element.count * dtype.itemsize > len(self.data) - self.position:
            raise FormatError(
                f"the header promises {element.count} x {element.name} ({element.count * dtype.itemsize} bytes), "
                f"{len(self.data) - self.position} bytes follow"
            )
        rows = np.frombuffer(self.data, dtype, element.count, self.position)
        self.position += rows.nbytes
        return rows

    def _take(self, kind: str, count: int = 1) -> np.ndarray:
        dtype = np.dtype(self.order + kind)
        if not 0 <= count * dtype.itemsize <= len(self.data) - self.position:
            raise FormatError("truncated: the file ends inside a list")
        values = np.frombuffer(self.data, dtype, count, self.position)
        self.position += values.nbytes
        return values


class _Ascii:
    """Elements one after the other out of lines."""

    def __init__(self, data: bytes):
        self.lines = data.splitlines()
        self.position = 0

    def vertices(self, element: Element) -> Cloud:
        scalars = [p for p in element.properties if p.length is None]
        known = {p.name: k for k, p in enumerate(scalars) if p.name in KNOWN}
        lines = self._take(element)
        if len(scalars) < len(element.properties):
            lines = [b" ".join(_without_lists(line.split(), element)) for line in lines]
        rows = text.parse(b"\n".join(lines), columns=list(known.values()), count=element.count)
        columns = {name: rows[:, i] for i, name in enumerate(known)}
        return from_text_columns(columns, {name: np.dtype(scalars[k].dtype) for name, k in known.items()})

    def lists(self, element: Element) -> list[np.ndarray]:
        lines = self._take(element)
        if all(p.length is None for p in element.properties):
            return []
        wanted, faces = _index_property(element), []
        for line in lines:
            words, start = line.split(), 0
            try:
                for p in element.properties:
                    length = 1 if p.length is None else int(words[start])
                    start += p.length is not None
                    if length < 0 or start + length > len(words):
                        raise IndexError
                    if p.name == wanted:
                        faces.append(np.array([int(word) for word in words[start : start + length]], np.int64))
                    start += length
            except (ValueError, IndexError, OverflowError):
                raise FormatError(f"a face is not a list of vertex numbers: {line[:60]!r}") from None
        return faces

    def _take(self, element: Element) -> list[bytes]:
        if element.count > len(self.lines) - self.position:
            raise FormatError(
                f"the header promises {element.count} x {element.name}, {len(self.lines) - self.position} lines follow"
            )
        lines = self.lines[self.position : self.position + element.count]
        self.position += element.count
        return lines


def _without_lists(words: list[bytes], element: Element) -> list[bytes]:
    """The words of a row that are no list's."""
    start, found = 0, []
    try:
        for p in element.properties:
            length = 1 if p.length is None else 1 + int(words[start])
            if length < 1 or start + length > len(words):
                raise IndexError
            found += words[start : start + 1] if p.length is None else []
            start += length
    except (ValueError, IndexError):
        raise FormatError(
            f"a row of the element {element.name} ends inside a list: {b' '.join(words)[:60]!r}"
        ) from None
    return found


def _index_property(element: Element) -> str:
    names = [p.name for p in element.properties if p.length]
    return next((name for name in names if name.startswith("vertex_ind")), names[0])


def fans(faces: list[np.ndarray] | np.ndarray) -> np.ndarray:
    """Triangles `(F, 3)` of polygons; those of fewer than three corners are left out."""
    if any(face.dtype.kind not in "iu" for face in ([faces] if isinstance(faces, np.ndarray) else faces)):
        raise FormatError("its faces name vertices by numbers of another type than whole ones")
    if isinstance(faces, np.ndarray):
        corners = faces.shape[1]
        fans = [faces[:, [0, k, k + 1]] for k in range(1, corners - 1)]
        return np.concatenate(fans).astype(np.int64) if fans else np.zeros((0, 3), np.int64)
    fans = [(f[0], f[k], f[k + 1]) for f in faces for k in range(1, len(f) - 1)]
    return np.array(fans, np.int64).reshape(-1, 3)


def _read_header(file: BinaryIO) -> tuple[str, list[Element]]:
    if header_line(file, 16).strip() != b"ply":
        raise FormatError("it does not begin with 'ply'; the file is corrupt or no PLY")
    encoding, elements = None, []
    for _ in range(_MAX_HEADER_LINES):
        words = header_line(file).decode("ascii", "replace").split()
        if words == ["end_header"]:
            break
        if words[:1] in (["comment"], ["obj_info"]):
            continue
        try:
            encoding = _header_line(words, elements) or encoding
        except (IndexError, KeyError, ValueError):
            raise FormatError(f"cannot read the header at {' '.join(words)[:60]!r}; is it truncated?") from None
    else:
        raise FormatError(f"its header has no end within {_MAX_HEADER_LINES} lines")
    if encoding not in _ORDERS:
        raise FormatError(f"format must be one of {sorted(_ORDERS)}, the header says {encoding!r}")
    for element in elements:
        if element.name == "vertex" and not {"x", "y", "z"} <= {p.name for p in element.properties if p.length is None}:
            names = ", ".join(p.name for p in element.properties)
            raise FormatError(f"its vertices have no properties x, y and z; they have {names or 'none'}")
        if len({p.name for p in element.properties}) < len(element.properties) or not element.properties:
            raise FormatError(f"the properties of the element {element.name!r} are missing or named twice")
    return encoding, elements


def _header_line(words: list[str], elements: list[Element]) -> str | None:
    """Add what the line declares to `elements`; the format's name where the line gives it."""
    if words[0] == "format":
        return words[1]
    if words[0] == "element":
        elements.append(Element(words[1].lower(), int(words[2]), []))
        if elements[-1].count < 0:
            raise ValueError
    elif words[0] == "property" and words[1] == "list":
        elements[-1].properties.append(Property(words[4].lower(), _TYPES[words[3].lower()], _TYPES[words[2].lower()]))
    elif words[0] == "property":
        elements[-1].properties.append(Property(words[2].lower(), _TYPES[words[1].lower()]))
    else:
        raise ValueError
    return None
