"""Functions of point tensors: neighbours, sampling, grouping, interpolation.

Names are resolved at first use, so that what needs only NumPy (`keras_wcd.ops.sampling`) loads no framework.
"""

import importlib

_HOMES = {
    "ball_query": "points",
    "cubic_feature_sampling": "grids",
    "device_only": "host",
    "farthest_point_sampling": "points",
    "gather_points": "neighbors",
    "gridding": "grids",
    "gridding_reverse": "grids",
    "knn": "neighbors",
    "nearest": "neighbors",
    "nearest_both": "neighbors",
    "three_interpolate": "points",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"keras_wcd.ops.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'keras_wcd.ops' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
