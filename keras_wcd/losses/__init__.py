"""Losses between point clouds, the table of them, and `get`, which finds one by name."""

import keras

from keras_wcd.losses.base import AbstractChamfer as AbstractChamfer
from keras_wcd.losses.base import AbstractProfile as AbstractProfile
from keras_wcd.losses.chamfer import CD
from keras_wcd.losses.density import DCD
from keras_wcd.losses.hyper import HyperCD
from keras_wcd.losses.info import InfoCD
from keras_wcd.losses.weighted import (
    ChiSquaredCD,
    ExtremeValueCD,
    GammaCD,
    LandauCD,
    LogisticCD,
    LogLogisticCD,
    NormalCD,
    WeibullCD,
    WeightedCD,
)

LOSSES = {
    "cd": CD,
    "hyper_cd": HyperCD,
    "info_cd": InfoCD,
    "dcd": DCD,
    "weighted_cd": WeightedCD,
    "landau_cd": LandauCD,
    "extreme_value_cd": ExtremeValueCD,
    "chi_squared_cd": ChiSquaredCD,
    "log_logistic_cd": LogLogisticCD,
    "gamma_cd": GammaCD,
    "weibull_cd": WeibullCD,
    "logistic_cd": LogisticCD,
    "normal_cd": NormalCD,
}


def get(loss: "keras.losses.Loss | str | dict | type") -> keras.losses.Loss:
    """A loss from itself, its class, a name or a config.

    Args:
        loss: A Keras loss; a class of `LOSSES`; a name such as `"landau_cd"`, `"LandauCD"`, `"keras_wcd>LandauCD"`,
            `"cd_l1"` or `"cd_l2"`; a dict written by `keras.saving.serialize_keras_object`; or a dict of a name and
            arguments such as `{"name": "hyper_cd", "alpha": 10.0}`.

    Raises:
        ValueError: if nothing of that name exists; the message lists the names.
    """
    if isinstance(loss, keras.losses.Loss):
        return loss
    if isinstance(loss, type) and issubclass(loss, keras.losses.Loss):
        return loss()
    if isinstance(loss, dict) and "class_name" in loss:
        return keras.saving.deserialize_keras_object(loss)
    if isinstance(loss, dict) and "name" in loss:
        arguments = dict(loss)
        return _class(arguments.pop("name"))(**arguments)
    if isinstance(loss, str):
        key = _plain(loss)
        return CD(key[2:]) if key in ("cdl1", "cdl2") else _class(loss)()
    raise ValueError(f"loss must be a Keras loss, a name or a config, got {loss!r}")


def _class(name: str) -> type:
    for key, loss in LOSSES.items():
        if _plain(key) == _plain(name):
            return loss
    raise ValueError(f"unknown loss {name!r}; known are {', '.join(sorted([*LOSSES, 'cd_l1', 'cd_l2']))}")


def _plain(name: str) -> str:
    return name.rpartition(">")[2].replace("_", "").replace("-", "").lower()
