"""The former name of `keras_wcd.complete` and `keras_wcd.predictors`; it goes with the next release."""

import warnings

from keras_wcd import complete, predictors

_HOMES = (complete, predictors)


def __getattr__(name: str) -> object:
    home = next((home for home in _HOMES if hasattr(home, name)), None)
    if home is None or name.startswith("__"):
        raise AttributeError(f"module 'keras_wcd.completing' has no attribute {name!r}")
    warnings.warn(
        f"keras_wcd.completing is now two modules; import {name} from {home.__name__}", FutureWarning, stacklevel=2
    )
    return getattr(home, name)
