"""Every loss on a path through the backend: eager, or all of them in one compiled function, which is compiled once."""

import functools
from typing import NamedTuple

import keras
import numpy as np
import pytest
from backends import gradient
from loss_oracles import other_arguments

from keras_wcd.losses import LOSSES

PATHS = ["eager", "graph", "xla"]
SIDES = [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]
"""Weights of the predicted and the true side."""
CASES = {
    f"{name} {number}": (name, arguments)
    for name in sorted(LOSSES)
    for number, arguments in enumerate(other_arguments(name))
}
"""Names with other arguments than the defaults."""


class Found(NamedTuple):
    """What a loss is on some clouds.

    Attributes:
        values: Of every cloud, `(3, B)` by `SIDES`; of other arguments of both sides alone, `(1, B)`.
        mean: Over the batch, of both sides.
        slope: Gradient of the mean, None under JAX's compiler.
    """

    values: np.ndarray
    mean: np.ndarray
    slope: np.ndarray | None


def evaluate(path, true, pred, *, others=False):
    """`Found` of every loss by its name, or of other arguments by `CASES`."""
    return _evaluated(path, others, *((cloud.tobytes(), cloud.shape, cloud.dtype.str) for cloud in (true, pred)))


@functools.lru_cache(maxsize=32)
def _evaluated(path, others, *clouds):
    true, pred = (np.frombuffer(data, dtype).reshape(shape) for data, shape, dtype in clouds)
    found = _function(path, others)(true, pred)
    return {key: Found(*(None if part is None else to_numpy(part) for part in parts)) for key, parts in found.items()}


@functools.cache
def _losses(others):
    """Losses of every cloud and the loss of the mean, by key."""
    if others:
        wanted = {key: (name, arguments, SIDES[:1]) for key, (name, arguments) in CASES.items()}
    else:
        wanted = {name: (name, {}, SIDES) for name in sorted(LOSSES)}
    return {
        key: (
            [LOSSES[name](**arguments, pred_weight=p, true_weight=t, reduction=None) for p, t in sides],
            LOSSES[name](**arguments),
        )
        for key, (name, arguments, sides) in wanted.items()
    }


@functools.cache
def _function(path, others):
    """A function of two clouds that answers with the parts of `Found` by key, compiled as the path says."""
    if path == "eager":
        return lambda true, pred: {key: _plain(key, others, true, pred) for key in _losses(others)}
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        compiled = tf.function(functools.partial(_in_graph, others), jit_compile=path == "xla")
        return lambda true, pred: compiled(tf.constant(true), tf.constant(pred))
    if keras.config.backend() == "jax" and path == "xla":
        import jax

        return jax.jit(lambda true, pred: {key: (*_values(key, others, true, pred), None) for key in _losses(others)})
    pytest.skip("a path of other backends")
    return None


def _in_graph(others, true, pred):
    import tensorflow as tf

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(pred)
        means = {key: mean(true, pred) for key, (_, mean) in _losses(others).items()}
    return {
        key: (tf.stack([loss(true, pred) for loss in each]), means[key], tape.gradient(means[key], pred))
        for key, (each, _) in _losses(others).items()
    }


def _values(key, others, true, pred):
    each, mean = _losses(others)[key]
    return keras.ops.stack([loss(true, pred) for loss in each]), mean(true, pred)


def _plain(key, others, true, pred):
    mean = _losses(others)[key][1]
    return (*_values(key, others, true, pred), gradient(lambda p: mean(true, p), pred))


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)
