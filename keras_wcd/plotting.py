"""The former name of `keras_wcd.visual.plots`; it goes with the next release."""

import warnings

from keras_wcd.visual import plots


def __getattr__(name: str) -> object:
    if name.startswith("__") or not hasattr(plots, name):
        raise AttributeError(f"module 'keras_wcd.plotting' has no attribute {name!r}")
    warnings.warn(
        f"keras_wcd.plotting is now keras_wcd.visual.plots; import {name} from there", FutureWarning, stacklevel=2
    )
    return getattr(plots, name)
