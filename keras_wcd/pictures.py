"""The former name of `keras_wcd.visual.pictures`; it goes with the next release."""

import warnings

from keras_wcd.visual import pictures


def __getattr__(name: str) -> object:
    if name.startswith("__") or not hasattr(pictures, name):
        raise AttributeError(f"module 'keras_wcd.pictures' has no attribute {name!r}")
    warnings.warn(
        f"keras_wcd.pictures is now keras_wcd.visual.pictures; import {name} from there", FutureWarning, stacklevel=2
    )
    return getattr(pictures, name)
