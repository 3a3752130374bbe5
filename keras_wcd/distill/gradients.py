"""Derivatives of profiles by `tf.GradientTape`: one teacher's, and those of many weightings at once."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_wcd.types import Tensor
from keras_wcd.weighting import Weighting

ENTRIES = 2**19
"""Parameter sets times distances that are differentiated at once: 4 MB for each intermediate tensor."""


def profile_gradient(profile: Callable[[Tensor], Tensor], distances: np.ndarray) -> np.ndarray | None:
    r"""$z(d) = \phi'(d)$ of a profile in float64, `(n,)`; None where no gradient reaches the distance."""
    import tensorflow as tf

    d = tf.constant(distances, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(d)
        cost = tf.convert_to_tensor(profile(d))
    gradient = tape.gradient(cost, d)
    return None if gradient is None else tf.convert_to_tensor(gradient).numpy()


def weighting_gradients(
    family: type[Weighting] | Weighting,
    parameters: np.ndarray,
    scales: np.ndarray,
    distances: np.ndarray,
    *,
    shift: str | None,
) -> np.ndarray:
    r"""$z(d) = \frac{d}{dd} \left[ f(d / s + m) \, d \right]$ for P parameter sets, in float64.

    Args:
        family: A class of weightings, or one weighting as it stands.
        parameters: Its parameters in the order of its fields `(P, n)`; `(P, 0)` for a weighting as it stands.
        scales: s `(P,)`.
        distances: d `(D,)`.
        shift: `"mode"` for m the mode at each parameter set, None for m = 0.

    Returns:
        `(P, D)`.
    """
    import tensorflow as tf

    function, d = _compiled(family, shift), tf.constant(distances, tf.float64)
    block = max(1, ENTRIES // distances.size)
    columns = np.column_stack([parameters, scales])
    parts = [function(tf.constant(columns[i : i + block], tf.float64), d) for i in range(0, len(columns), block)]
    return parts[0].numpy() if len(parts) == 1 else np.concatenate([part.numpy() for part in parts])


def require_tensorflow() -> None:
    """Raises unless Keras runs on TensorFlow."""
    if keras.config.backend() != "tensorflow":
        raise RuntimeError(
            "distillation differentiates with tf.GradientTape and needs Keras's TensorFlow backend, "
            f"not {keras.config.backend()!r}: set KERAS_BACKEND=tensorflow before Keras is imported"
        )


@functools.lru_cache(maxsize=64)
def _compiled(family: type[Weighting] | Weighting, shift: str | None) -> Callable[..., Any]:
    """The graph of a family, traced once for any number of parameter sets and distances."""
    import tensorflow as tf

    signature = [tf.TensorSpec([None, None], tf.float64), tf.TensorSpec([None], tf.float64)]

    @tf.function(input_signature=signature, autograph=False)
    def gradients(columns: Tensor, distances: Tensor) -> Tensor:
        scale = columns[:, -1:]
        if isinstance(family, type):
            weighting = family(*[columns[:, i : i + 1] for i, _ in enumerate(dataclasses.fields(family))])
        else:
            weighting = family
        mode = tf.cast(weighting.mode, tf.float64) if shift == "mode" else 0.0
        d = tf.zeros_like(scale) + distances
        with tf.GradientTape() as tape:
            tape.watch(d)
            cost = weighting(d / scale + mode) * d
        return tape.gradient(cost, d)

    # The concrete graph is called without tf.function's look-up: a search calls it thousands of times.
    return gradients.get_concrete_function()
