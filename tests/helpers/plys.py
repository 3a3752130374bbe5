"""PLY files written by hand."""

import struct

import numpy as np

PLY = "ply\nformat {} 1.0\ncomment made by hand\n{}end_header\n"


def header(encoding, *elements):
    return PLY.format(encoding, "".join(elements)).encode()


def quad_ply(encoding, lengths):
    """A unit square as one face for each of `lengths`, each a fan of that many corners."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    faces = {3: [[0, 1, 2], [0, 2, 3]], 4: [[0, 1, 2, 3]]}
    rows = [face for length in lengths for face in faces[length]]
    head = header(
        encoding,
        "element vertex 4\nproperty float x\nproperty float y\nproperty float z\n",
        f"element face {len(rows)}\nproperty list uchar int vertex_indices\n",
    )
    if encoding == "ascii":
        lines = [" ".join(map(str, c)) for c in corners] + [" ".join(map(str, [len(r), *r])) for r in rows]
        return head + "\n".join(lines).encode()
    order = "<" if "little" in encoding else ">"
    body = corners.astype(order + "f4").tobytes()
    return head + body + b"".join(struct.pack(f"{order}B{len(r)}i", len(r), *r) for r in rows)
