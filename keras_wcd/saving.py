"""A network as it is written: without what trains it."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def without_optimizer(model: keras.Model) -> Iterator[None]:
    """Leave a trained network's optimizer out of what is written inside this context.

    Keras writes it beside the weights, two or three times their size, and TensorFlow cannot follow one whose rate was
    changed.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        yield
        return
    # None in its place would leave it among what TensorFlow follows.
    del model.optimizer
    try:
        yield
    finally:
        model.optimizer = optimizer
