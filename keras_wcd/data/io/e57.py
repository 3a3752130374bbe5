"""E57 files (ASTM E2807), read by pye57, which the extra `e57` installs."""

from pathlib import Path

import numpy as np

from keras_wcd.data.io.cloud import Cloud
from keras_wcd.data.io.colors import as_colors
from keras_wcd.data.io.limits import FormatError, check_justified

_PLACES = {
    "cartesian": ("cartesianX", "cartesianY", "cartesianZ"),
    "spherical": ("sphericalRange", "sphericalAzimuth", "sphericalElevation"),
}
_TONES = ("colorRed", "colorGreen", "colorBlue")
_BYTES = 3 * 8 + 3 * 2 + 1
"""Of a point with colors while it is read."""


def read(path: Path) -> Cloud:
    """The valid points of all scans in the frame that their poses share, with colors where all scans have them.

    Raises:
        FormatError: for a damaged file, more points than its bytes justify, or where pye57 is not installed.
    """
    try:
        import pye57
    except ImportError:
        raise FormatError('e57 files are read by pye57; pip install "keras-wcd[e57]"') from None

    try:
        file = pye57.E57(str(path))
        try:
            count = sum(file.get_header(k).point_count for k in range(file.scan_count))
            check_justified(count * _BYTES, path.stat().st_size, "its header")
            scans = [_scan(file, k) for k in range(file.scan_count)]
        finally:
            file.close()
    except FormatError:
        raise
    except Exception as error:  # The library reports damage in many ways.
        raise FormatError(f"truncated or corrupt E57 file ({' '.join(str(error).split())[:120]})") from None
    if not scans:
        return Cloud(np.zeros((0, 3)))
    found = [scan.colors for scan in scans if scan.colors is not None]
    colors = as_colors(np.concatenate(found)) if len(found) == len(scans) else None
    cloud = Cloud(np.concatenate([scan.points for scan in scans]), colors)
    return cloud.noted(scans=f"{len(scans)}, each put in its place")


def _scan(file, index: int) -> Cloud:
    """The valid points of a scan in its place, with its colors as they are stored."""
    import pye57
    from pye57.utils import convert_spherical_to_cartesian

    header = file.get_header(index)
    system = next((kind for kind in _PLACES if set(_PLACES[kind]) <= set(header.point_fields)), None)
    if system is None:
        raise FormatError(f"a scan holds {', '.join(header.point_fields)[:100]} and no coordinates")
    fields = dict.fromkeys(_PLACES[system], "d")
    if set(_TONES) <= set(header.point_fields):
        fields |= dict.fromkeys(_TONES, "H")  # 16 bits hold those of 8 as well.
    invalid = f"{system}InvalidState"
    fields |= {invalid: "b"} if invalid in header.point_fields else {}
    data, buffers = {}, pye57.libe57.VectorSourceDestBuffer()
    for name, kind in fields.items():
        data[name] = np.zeros(header.point_count, kind)
        buffers.append(pye57.libe57.SourceDestBuffer(file.image_file, name, data[name], header.point_count, True, True))
    header.points.reader(buffers).read()
    valid = data[invalid] == 0 if invalid in data else slice(None)
    points = np.stack([data[name] for name in _PLACES[system]], axis=1)[valid]
    points = convert_spherical_to_cartesian(points) if system == "spherical" else points
    if header.has_pose():
        points = file.to_global(points, header.rotation, header.translation)
    return Cloud(points, np.stack([data[tone] for tone in _TONES], axis=1)[valid] if _TONES[0] in data else None)
