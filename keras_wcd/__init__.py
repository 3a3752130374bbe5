"""Point cloud completion with weighted Chamfer distances, for Keras 3."""

import importlib

__version__ = "0.1.0"

_SUBPACKAGES = ("data", "distill", "export", "metrics", "models", "ops", "plotting", "training", "weighting")


def __getattr__(name: str):
    if name in _SUBPACKAGES:
        return importlib.import_module(f"keras_wcd.{name}")
    raise AttributeError(f"module 'keras_wcd' has no attribute {name!r}")
