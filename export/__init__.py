"""Trained networks as SavedModel folders and LiteRT files, checked, timed and run on a device.

Names resolve at first use, so that `keras_wcd.export.runtime` comes without TensorFlow and Keras. No module is
called as a function is: importing the one would hide the other.
"""

import importlib

_HOMES = {
    "Benchmark": "timing",
    "Verification": "verification",
    "benchmark": "timing",
    "operators": "opcodes",
    "runtime": None,
    "to_saved_model": "savedmodel",
    "to_tflite": "tflite",
    "verify": "verification",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'keras_wcd.export' has no attribute {name!r}")
    if _HOMES[name] is None:
        return importlib.import_module(f"keras_wcd.export.{name}")
    return getattr(importlib.import_module(f"keras_wcd.export.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
