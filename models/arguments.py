"""Checks of the networks' constructor arguments."""

from collections.abc import Iterable, Sequence

import keras

from keras_wcd.names import arguments_of, refuse_unknown


def positive(value: float, name: str) -> int:
    """`value` as an int >= 1, or a `ValueError` that names the argument."""
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"{name} must be a whole number >= 1, got {value!r}")
    return int(value)


def widths_of(widths: Sequence[int], count: int, name: str) -> tuple[int, ...]:
    """`widths` as a tuple of `count` ints >= 1, or a `ValueError` that names the argument."""
    widths = tuple(widths)
    if len(widths) != count or not all(isinstance(w, int) and w >= 1 for w in widths):
        raise ValueError(f"{name} must be {count} whole numbers >= 1, got {widths}")
    return widths


def refuse_unknown_arguments(network: keras.Model, last: type, given: Iterable[str]) -> None:
    """Raise for what a network hands on to Keras, which drops what it does not know without a word.

    Args:
        network: The network whose constructor runs.
        last: The last class of the library among its bases.
        given: The keywords that arrived there.

    Raises:
        UnknownArgumentError: `PCN has no argument 'num_corse'; did you mean num_coarse? known are ...`.
    """
    own = [name for name in arguments_of(type(network), last=last) if name not in ("inputs", "outputs")]
    refuse_unknown(type(network), given, [*own, "name", "trainable"])
