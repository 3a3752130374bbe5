"""First weights as PyTorch draws them, for networks without normalization to make up for another choice."""

import keras
import numpy as np


def draw_as_pytorch(model: keras.Model) -> None:
    r"""Draw every kernel of `model` anew, uniform between plus and minus $1 / \sqrt{\text{fan in}}$.

    These are PyTorch's defaults, under which the published recipes train; Keras's own (Glorot) have up to three
    times the variance in every layer, and coordinates that pass many layers start far outside the unit frame,
    where a hyperbolic tangent has no slope and a distance-weighted loss may have the wrong one. Biases stay zero.
    """
    for layer in model._flatten_layers(include_self=False):
        kernel = getattr(layer, "kernel", None)
        if isinstance(kernel, keras.Variable):
            # Of (in, out); of (children, out, in), PyTorch takes the children's channels for the fan.
            fan = kernel.shape[0] if len(kernel.shape) == 2 else kernel.shape[0] * kernel.shape[1]
            limit = float(1 / np.sqrt(fan))
            kernel.assign(keras.random.uniform(kernel.shape, -limit, limit, dtype=kernel.dtype))
