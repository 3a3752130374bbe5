"""Losses between point clouds, and `get`, which finds one by name; `losses.table` lists them."""

import functools
from typing import Any

import keras

from keras_wcd.losses.base import AbstractChamfer as AbstractChamfer
from keras_wcd.losses.base import AbstractProfile as AbstractProfile
from keras_wcd.losses.table import *  # noqa: F403 - all that the table names
from keras_wcd.losses.table import CD, LOSSES
from keras_wcd.names import find, plain

NAMES = {**LOSSES, "cd_l1": functools.partial(CD, norm="l1"), "cd_l2": functools.partial(CD, norm="l2")}
"""What `get` finds: the losses, and the field's names of the two Chamfer distances."""


def get(loss: "keras.losses.Loss | type[keras.losses.Loss] | str | dict") -> keras.losses.Loss:
    """A loss from itself, its class, a name or a config.

    Args:
        loss: A Keras loss; a class of one; a name of `NAMES` in any spelling, such as `"landau_cd"`, `"LandauCD"`,
            `"keras_wcd>LandauCD"` or `"cd-l1"`; a dict written by `keras.saving.serialize_keras_object`; or one of a
            name and arguments, such as `{"name": "hyper_cd", "alpha": 10.0}`.

    Raises:
        ValueError: if nothing of that name exists, with the nearest name and all of them; for an argument that the
            loss has not, with those it has.
    """
    if isinstance(loss, keras.losses.Loss):
        return loss
    if isinstance(loss, type) and issubclass(loss, keras.losses.Loss):
        return loss()
    if isinstance(loss, str):
        return _named(loss)
    if isinstance(loss, dict) and "class_name" in loss:
        return _deserialized(loss)
    if isinstance(loss, dict) and "name" in loss:
        return _named(**loss)
    raise ValueError(f"loss must be a Keras loss, a name or a config, got {loss!r}")


def knows(name: str) -> bool:
    """Whether `get` finds a loss of this name."""
    return plain(name) in map(plain, NAMES)


def _named(name: str, **arguments: Any) -> keras.losses.Loss:
    kind = find(NAMES, name, "loss")
    if isinstance(kind, functools.partial) and (twice := sorted(set(kind.keywords) & set(arguments))):
        raise ValueError(f"{name} sets {', '.join(twice)} itself; name the loss cd to choose it")
    return kind(**arguments)


def _deserialized(config: dict) -> keras.losses.Loss:
    try:
        loss = keras.saving.deserialize_keras_object(config)
    except Exception as error:
        # What lies in a config, such as one of a damaged file, may fail anywhere in Keras.
        raise ValueError(f"loss config of {str(config['class_name'])[:80]!r} cannot be read: {error}") from error
    if not isinstance(loss, keras.losses.Loss):
        kind = type(loss).__name__
        raise ValueError(f"loss config of {str(config['class_name'])[:80]!r} is of a {kind}, which is no loss")
    return loss
