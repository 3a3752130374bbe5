"""Training loops. Names are resolved at first use."""

import importlib

_HOMES = {
    "AdversarialTraining": "adversarial",
    "Fitted": "loop",
    "RECIPES": "recipes",
    "Recipe": "recipes",
    "fit": "loop",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"keras_wcd.training.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'keras_wcd.training' has no attribute {name!r}")
