"""Point cloud completion with weighted Chamfer distances, for Keras 3.

Names are resolved at first use, so that what needs no framework loads none.
"""

import importlib

__version__ = "0.1.0"

_SUBPACKAGES = (
    *("data", "distill", "export", "losses", "metrics", "models", "ops", "training", "visual"),
    "weighting",
)
_FORMER = ("pictures", "plotting")
"""Modules of earlier versions, which say what to use."""
_LOSSES = (
    *("CD", "DCD", "HyperCD", "InfoCD", "WeightedCD", "LandauCD", "ExtremeValueCD", "ChiSquaredCD", "LogLogisticCD"),
    *("GammaCD", "WeibullCD", "LogisticCD", "NormalCD"),
)

__all__ = sorted((*_SUBPACKAGES, *_LOSSES))


def __getattr__(name: str):
    if name in (*_SUBPACKAGES, *_FORMER):
        return importlib.import_module(f"keras_wcd.{name}")
    if name in _LOSSES:
        return getattr(importlib.import_module("keras_wcd.losses"), name)
    raise AttributeError(f"module 'keras_wcd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
