"""Gradients on whichever Keras backend is in use, for tests that hold on all of them."""

import keras
import numpy as np
import pytest

BACKEND = keras.config.backend()

tensorflow_only = pytest.mark.skipif(BACKEND != "tensorflow", reason="a promise of the TensorFlow backend")


def gradient(function, x, second=False):
    """d function(x)/dx of a scalar function, as NumPy; or the gradient of the squared gradient's sum."""
    x = np.asarray(x)
    if BACKEND == "tensorflow":
        return _tensorflow(function, x, second)
    if BACKEND == "jax":
        return np.asarray(_jax(function, second)(x))
    import torch

    x = torch.tensor(x, requires_grad=True)
    (g,) = torch.autograd.grad(function(x), x, create_graph=second)
    if second:
        (g,) = torch.autograd.grad((g**2).sum(), x)
    return g.detach().numpy()


def _tensorflow(function, x, second):
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = function(x)
        g = inner.gradient(value, x)
        total = tf.reduce_sum(g**2)
    return (outer.gradient(total, x) if second else g).numpy()


def _jax(function, second):
    import jax

    first = jax.grad(function)
    return jax.grad(lambda x: (first(x) ** 2).sum()) if second else first
