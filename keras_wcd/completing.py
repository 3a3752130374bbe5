"""The former name of `keras_wcd.complete` and `keras_wcd.predictors`; it goes with the next release."""

import importlib
import warnings

_HOMES = {
    "Answer": ("predictors", "Complete"),
    "Batch": ("complete", "FolderResult"),
    "Completion": ("complete", "Completion"),
    "DEMO_MODEL": ("predictors", "DEMO_MODEL"),
    "NEUTRAL": ("complete", "NEUTRAL"),
    "SHIPPED": ("predictors", "SHIPPED"),
    "Settings": ("complete", "Settings"),
    "UPRIGHT": ("frames", "UPRIGHT"),
    "complete_file": ("complete", "complete_file"),
    "complete_folder": ("complete", "complete_folder"),
    "complete_points": ("complete", "complete_points"),
    "find_model": ("predictors", "find_model"),
    "load_model": ("predictors", "load_model"),
    "merged": ("complete", "merged"),
    "open_model": ("predictors", "open_model"),
    "output_path": ("complete", "output_path"),
    "scans_in": ("complete", "scans_in"),
    "write_views": ("complete", "write_views"),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'keras_wcd.completing' has no attribute {name!r}")
    home, now = _HOMES[name]
    warnings.warn(
        f"keras_wcd.completing goes with the next release; import {now} from keras_wcd.{home}",
        FutureWarning,
        stacklevel=2,
    )
    return getattr(importlib.import_module(f"keras_wcd.{home}"), now)


def __dir__() -> list[str]:
    return sorted(_HOMES)
