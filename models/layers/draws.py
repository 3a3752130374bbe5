"""A network's own random draws, and values that a caller gives in their place, by key, for the time of one call."""

import contextlib
import contextvars
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
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


def given(
    key: str, expected: Sequence[int | str | None] | None = None, dtype: str | None = None, *, name: str | None = None
) -> Tensor | None:
    """What the caller gave for the draw `key`, as a tensor, or None where the layer draws for itself.

    Args:
        key: The draw.
        expected: Its shape; None and words stand for sizes that may be any. Without it every shape will do.
        dtype: What it is cast to.
        name: What the error calls it; by default `noise['key']`.

    Raises:
        ValueError: where it has another shape.
    """
    value = (_given.get() or {}).get(key)
    if value is None:
        return None
    value = ops.convert_to_tensor(value)
    if expected is not None:
        sizes = zip(value.shape, expected, strict=False)
        if len(value.shape) != len(expected) or any(a != b for a, b in sizes if a is not None and isinstance(b, int)):
            shape = ", ".join("any" if size is None else str(size) for size in expected)
            raise ValueError(f"{name or f'noise[{key!r}]'} must have shape ({shape}), got {tuple(value.shape)}")
    return value if dtype is None else ops.cast(value, dtype)


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
