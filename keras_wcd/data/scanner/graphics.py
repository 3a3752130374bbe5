"""The one door to tensorflow-graphics, a second implementation of the camera's transforms.

It is an extra and nothing needs it: it has had no release since 2021, and its wheel asks for tensorflow-addons, which
has none for a Python after 3.11. Where it is there it says the same as `camera`'s own lines, and the tests compare.
"""

import functools
import importlib
from typing import Any, NamedTuple


class Modules(NamedTuple):
    """The two modules of tensorflow-graphics that a camera needs."""

    rotation: Any
    perspective: Any


@functools.cache
def modules() -> Modules | None:
    """`rotation_matrix_3d` and `perspective` of tensorflow-graphics; None where it is missing, or a new TensorFlow
    breaks it."""
    try:
        return Modules(
            importlib.import_module("tensorflow_graphics.geometry.transformation.rotation_matrix_3d"),
            importlib.import_module("tensorflow_graphics.rendering.camera.perspective"),
        )
    except (ImportError, AttributeError, TypeError):
        return None
