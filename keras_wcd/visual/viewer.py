"""A page of one HTML file with clouds one can turn: no library, no network, light and dark."""

import base64
import html
import json
import os
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_wcd.files import replacing

PAGE = pathlib.Path(__file__).with_name("viewer.html")
MARK = re.compile(r"\{\{(title|data)\}\}")
"""What a page puts in its place in `PAGE`."""
MAX_POINTS = 60_000
"""Points of a layer that a page keeps; more are thinned at random. A point takes 8 characters, 12 with a color."""
STEPS = 65535
PALETTE = ((230, 126, 34), (52, 131, 216), (46, 160, 103), (190, 92, 170))
"""Colors of layers without their own: legible on white and on black, told apart without green and red."""


class Layer(NamedTuple):
    """Points that are shown or hidden together.

    Attributes:
        title: What the page calls them.
        points: `(N, 3)`, y up, finite.
        colors: `(N, 3)`, uint8; None gives the layer one color.
    """

    title: str
    points: np.ndarray
    colors: np.ndarray | None = None


def write_page(path: str | os.PathLike, layers: Sequence[Layer], title: str) -> None:
    """Write `cloud_page` to a file that appears whole or not at all.

    Raises:
        ValueError: for no layer, an empty or infinite one, or a missing folder.
    """
    text = cloud_page(layers, title)
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise ValueError(f"{path}: its folder does not exist; create it first")
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def cloud_page(layers: Sequence[Layer], title: str) -> str:
    """The HTML of a page with a three-dimensional view of `layers`, turned with the mouse, a finger or the arrows."""
    clouds = [np.asarray(layer.points, np.float64) for layer in layers]
    if not clouds or any(c.ndim != 2 or c.shape[1] != 3 or not len(c) or not np.isfinite(c).all() for c in clouds):
        raise ValueError("layers must be one or more clouds (N, 3) of finite points, N >= 1")
    low = np.min([points.min(axis=0) for points in clouds], axis=0)
    high = np.max([points.max(axis=0) for points in clouds], axis=0)
    # One step for all axes keeps the proportions.
    step = float((high - low).max()) / STEPS or 1.0
    data = {
        "size": ((high - low) / step).round().tolist(),
        "layers": [
            _packed(layer, (c - low) / step, k) for k, (layer, c) in enumerate(zip(layers, clouds, strict=True))
        ],
    }
    # In a script element only "<" can end the data early.
    content = json.dumps(data).replace("<", "\\u003c")
    values = {"title": html.escape(title), "data": content}
    # In one pass: a title that holds a mark stays as it is.
    return MARK.sub(lambda mark: values[mark[1]], PAGE.read_text(encoding="utf-8"))


def _packed(layer: Layer, steps: np.ndarray, number: int) -> dict:
    kept = np.arange(len(steps))
    if len(kept) > MAX_POINTS:
        kept = np.sort(np.random.default_rng(0).choice(len(kept), MAX_POINTS, replace=False))
    colors = None if layer.colors is None else _base64(np.asarray(layer.colors, np.uint8)[kept])
    return {
        "title": layer.title,
        "count": len(steps),
        "points": _base64(steps[kept].round().astype("<u2")),
        "color": PALETTE[number % len(PALETTE)],
        "colors": colors,
    }


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
