"""A network's own random draws, and values that a caller gives in their place, by key, for the time of one call."""

import contextlib
import contextvars
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wcd.types import Tensor

_given: contextvars.ContextVar[Mapping[str, Tensor] | None] = contextvars.ContextVar("keras_wcd_draws", default=None)


@contextlib.contextmanager
def giving(values: Mapping[str, Tensor]) -> Iterator[None]:
    """Make `values` what `given` answers inside this context."""
    token = _given.set(values)
    try:
        yield
    finally:
        _given.reset(token)


def given(key: str) -> Tensor | None:
    """What the caller gave for the draw `key`, as a tensor, or None where the layer draws for itself."""
    value = (_given.get() or {}).get(key)
    return None if value is None else ops.convert_to_tensor(value)


class DrawingLayer(keras.layers.Layer):
    """A layer without weights that draws from `seed_generator`, whose state is saved as weights are.

    Keras saves no such states; without them a network that is loaded would repeat its first draws.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def save_own_variables(self, store: MutableMapping) -> None:
        """Save the state of the draws."""
        store["seed_generator_state"] = ops.convert_to_numpy(self.seed_generator.state.value)

    def load_own_variables(self, store: Mapping) -> None:
        """Go on where the saved network's draws were."""
        self.seed_generator.state.assign(np.asarray(store["seed_generator_state"]))
