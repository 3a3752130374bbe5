"""Gradients taken out of a training step, to be summed over replicas and parts before the optimizer steps."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from keras_wcd.types import Tensor

_current = threading.local()


class Collected:
    """The gradients of one replica for its part of a batch, by optimizer.

    Args:
        count: Clouds of the part.
        size: Clouds of the whole batch.
        replicas: Replicas among which Keras divides each loss.

    Attributes:
        gradients: Lists of gradients, in the order in which the optimizers were asked to step.
        losses: What each list is the gradient of.
        variables: What each list is the gradient by.
        optimizers: Who was asked.
    """

    def __init__(self, count: Tensor, size: Tensor, replicas: int):
        self.count, self.size, self.replicas = count, size, replicas
        self.gradients: list[list[Tensor]] = []
        self.losses: list[Tensor] = []
        self.variables: list[list[Any]] = []
        self.optimizers: list[Any] = []

    def weighed(self, loss: Tensor) -> Tensor:
        """A mean over the part, as its share of the mean over the batch; 0 for a part of none."""
        import tensorflow as tf

        share = tf.cast(self.replicas * self.count, loss.dtype) / tf.cast(self.size, loss.dtype)
        # The mean over nothing is NaN.
        loss = tf.where(self.count > 0, loss, tf.zeros_like(loss)) * share
        self.losses.append(loss)
        return loss

    def take(self, optimizer: Any, gradients: list, variables: list) -> None:
        """The gradients that an optimizer was to step by, those that are not None."""
        pairs = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
        self.gradients.append([gradient for gradient, _ in pairs])
        self.variables.append([variable for _, variable in pairs])
        self.optimizers.append(optimizer)


def current() -> Collected | None:
    """What gradients go to in this thread; None where optimizers step by themselves."""
    return getattr(_current, "collected", None)


@contextlib.contextmanager
def collecting(count: Tensor, size: Tensor, replicas: int) -> Iterator[Collected]:
    """Optimizers asked to step within give their gradients away instead."""
    before = current()
    _current.collected = Collected(count, size, replicas)
    try:
        yield _current.collected
    finally:
        _current.collected = before
