"""Values that a caller gives in place of a network's own random draws, by key, for the time of one call."""

import contextlib
import contextvars
from collections.abc import Iterator, Mapping

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
