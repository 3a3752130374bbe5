"""Colors of points: what depth they have is told by their values, not by their type."""

import numpy as np

_ONE = 1 + 1e-3
"""The brightest float of a color between 0 and 1, rounding allowed for."""
_BYTE = 255.5
"""The brightest float of an 8-bit color, rounding allowed for."""


def as_colors(values: np.ndarray) -> np.ndarray:
    """Colors `(N, 3)`, uint8, of all the colors of a cloud.

    Whole numbers above 255 anywhere make all of them 16-bit, else they are 8-bit, whatever their type. Floats up to 1
    are shares, others are read as whole numbers are. NaN is black, what lies beyond the ends is put at the end.
    """
    if values.dtype == np.uint8 or not values.size:
        return np.ascontiguousarray(values, np.uint8)
    if values.dtype.kind in "iub":
        top = int(values.max())
        bright = np.clip(values, 0, 0xFFFF) >> 8 if top > 255 else np.clip(values, 0, 255)
        return np.ascontiguousarray(bright, np.uint8)
    values = values.astype(np.float64)
    finite = values[np.isfinite(values)]
    top = finite.max() if finite.size else 0.0
    scale = 255.0 if top <= _ONE else 1.0 if top < _BYTE else 1 / 256
    values = np.nan_to_num(values, nan=0.0, posinf=0xFFFF, neginf=0.0)
    with np.errstate(over="ignore"):
        bright = np.clip(values * scale, 0, 255)
    return (np.floor(bright) if scale < 1 else np.rint(bright)).astype(np.uint8)


def pack_colors(colors: np.ndarray) -> np.ndarray:
    """Colors `(N, 3)` as the whole numbers 0x00RRGGBB `(N,)`, uint32."""
    red, green, blue = colors.astype(np.uint32).T
    return red << 16 | green << 8 | blue


def unpack_colors(packed: np.ndarray) -> np.ndarray:
    """The inverse of `pack_colors`; of floats, as older files of the Point Cloud Library have them, the bits count."""
    with np.errstate(over="ignore", invalid="ignore"):
        if packed.dtype.kind == "f":
            bits = np.ascontiguousarray(packed, np.float32).view(np.uint32)
        else:
            bits = packed.astype(np.uint32)
    return np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], axis=1).astype(np.uint8)
