"""Fine-tuning: a network that begins with the weights of another."""

import os
from typing import Any

import keras

from keras_wcd.predictors import find_model, load_model, model_digest


def started_from(start: Any) -> str | None:
    """A short name for the weights to begin with, another one for others; None for new ones.

    Raises:
        FileNotFoundError: where there is no such file or preset.
    """
    return None if start is None else model_digest(start)


def network_of(start: str | os.PathLike | keras.Model) -> keras.Model:
    """The network of a `.keras` file or of a preset, by its path or name.

    Raises:
        FileNotFoundError: where there is none.
        ValueError: where it is damaged or no network that can be trained.
    """
    return start if isinstance(start, keras.Model) else load_model(find_model(start))


def take_weights(network: keras.Model, start: str | os.PathLike | keras.Model) -> None:
    """Give a network the weights of another one of its kind and sizes.

    Raises:
        ValueError: where the other has other weights, naming the first that differs.
    """
    source = network_of(start)
    told = source.name if isinstance(start, keras.Model) else str(start)
    # The seeds of random draws are the run's own.
    ours, theirs = network.weights, source.weights
    for own, other in zip(ours, theirs, strict=False):
        if tuple(own.shape) != tuple(other.shape):
            raise ValueError(
                f"start={told!r}: {other.path} has shape {tuple(other.shape)}, {own.path} of the recipe's network has "
                f"{tuple(own.shape)}; give the recipe the network's arguments (network.KEY, --set network.KEY=VALUE)"
            )
    if len(ours) != len(theirs):
        raise ValueError(
            f"start={told!r}: a {type(source).__name__} of {len(theirs)} weights; the recipe's network is a "
            f"{type(network).__name__} of {len(ours)}"
        )
    network.set_weights(source.get_weights())
