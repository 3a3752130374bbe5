"""glb and gltf files: what they need is told before they are read, and their points where they hold no triangles."""

import json
import struct
from pathlib import Path

import numpy as np

from keras_wcd.data.io.cloud import Cloud, narrowed
from keras_wcd.data.io.colors import as_colors
from keras_wcd.data.io.limits import FormatError

EXTENSIONS = (".glb", ".gltf")
_COMPRESSIONS = {
    "KHR_draco_mesh_compression": "Draco",
    "EXT_meshopt_compression": "meshopt",
    "KHR_meshopt_compression": "meshopt",
    "KHR_texture_basisu": "KTX textures",
}
_HARMLESS = (
    "KHR_materials_",
    "KHR_texture_transform",
    "KHR_lights_",
    "KHR_mesh_quantization",
    "EXT_texture_",
    "KHR_xmp",
)
"""What extensions that change no surface begin with."""


def check(path: Path) -> None:
    """Refuse what cannot be read: another version, compressed geometry, buffers elsewhere, sizes out of nothing.

    Raises:
        FormatError: naming the extension or the version.
    """
    content = _header(path)
    if not isinstance(content, dict):
        raise FormatError("its header is no glTF")
    version = str(content.get("asset", {}).get("version", "of no version"))
    if not version.startswith("2."):
        raise FormatError(f"it is glTF {version}; glTF 2.0 is read: export it again")
    used = {*content.get("extensionsRequired", ()), *_used(content)}
    for name in sorted(used):
        if not name.startswith(_HARMLESS):
            what = f" ({_COMPRESSIONS[name]})" if name in _COMPRESSIONS else ""
            raise FormatError(f"it needs the glTF extension {name}{what}, which is not read; export it without")
    for buffer in content.get("buffers", ()):
        uri = str(buffer.get("uri", "data:"))
        if not uri.startswith("data:") and (Path(uri).name != uri or not (path.parent / uri).is_file()):
            raise FormatError(f"its buffer {uri[:60]!r} is no file beside it; export it as glb")
    _check_accessors(content, path.stat().st_size)


def read_scene(scene) -> tuple[Cloud, np.ndarray]:
    """Vertices `(V, 3)` and triangles `(F, 3)` of a scene of trimesh in its place; without triangles its points."""
    vertices, faces, clouds, colors = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], [], []
    for node in scene.graph.nodes_geometry:
        matrix, name = scene.graph[node]
        geometry = scene.geometry[name]
        placed = np.asarray(geometry.vertices, np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
        if getattr(geometry, "faces", None) is not None:
            faces.append(np.asarray(geometry.faces, np.int64).reshape(-1, 3) + sum(map(len, vertices)))
            vertices.append(placed)
        elif hasattr(geometry, "colors"):
            clouds.append(placed)
            colors.append(np.asarray(geometry.colors)[:, :3] if len(geometry.colors) == len(placed) else None)
    if sum(map(len, faces)) or not clouds:
        return Cloud(np.concatenate(vertices)), np.concatenate(faces)
    shown = None if any(c is None for c in colors) else as_colors(np.concatenate(colors))
    return Cloud(narrowed(np.concatenate(clouds)), shown), faces[0]


def _header(path: Path) -> object:
    size = path.stat().st_size
    with open(path, "rb") as file:
        if path.suffix.lower() == ".gltf":
            data = file.read()
        else:
            start = file.read(20)
            if len(start) < 20 or start[:4] != b"glTF":
                raise FormatError("it does not begin with glTF; the file is corrupt or no glb")
            _, version, _, length, _ = struct.unpack("<4sIIII", start)
            if version != 2:
                raise FormatError(f"it is glTF {version}.0; glTF 2.0 is read: export it again")
            if length > size:
                raise FormatError(f"truncated: a chunk of {length} bytes is promised, the file has {size}")
            data = file.read(length)
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise FormatError("its header is no JSON; the file is corrupt") from None


def _used(content: dict) -> set[str]:
    """Extensions of the geometry: of primitives and of views of buffers."""
    primitives = [p for mesh in content.get("meshes", ()) for p in mesh.get("primitives", ())]
    parts = [*primitives, *content.get("bufferViews", ())]
    return {name for part in parts for name in part.get("extensions", ()) if name in _COMPRESSIONS}


def _check_accessors(content: dict, size: int) -> None:
    """Refuse accessors that stand for zeros out of no data, and coordinates that are shares of whole numbers."""
    accessors = content.get("accessors", ())
    for accessor in accessors:
        if "bufferView" not in accessor and accessor["count"] > size:
            raise FormatError(f"an accessor promises {accessor['count']} entries out of no data")
    for mesh in content.get("meshes", ()):
        for primitive in mesh.get("primitives", ()):
            place = primitive.get("attributes", {}).get("POSITION")
            if place is not None and accessors[place].get("normalized"):
                raise FormatError("it needs KHR_mesh_quantization with normalized positions, which is not read")
