"""First weights as the official releases, or their frameworks, draw them: trainings start where published ones did."""

import math
from collections.abc import Iterable, Iterator

import keras


def draw_as_pytorch(model: keras.Model) -> None:
    r"""Draw every kernel and bias of `model` anew, uniform between plus and minus $1 / \sqrt{\text{fan in}}$.

    These are PyTorch's defaults. Keras's own (Glorot) have up to six times the variance in every layer, and
    coordinates that pass some layers start more than a diagonal outside the unit frame, where a hyperbolic tangent
    has no slope and a weighted Chamfer distance may have the wrong one.
    """
    for layer in weighted_layers(model):
        draw_uniform(layer, 1 / math.sqrt(fan_in(layer)), bias=True)


def weighted_layers(model: keras.Model, names: Iterable[str] | None = None) -> Iterator[keras.layers.Layer]:
    """The layers of `model` that have a kernel; only those called `names`, where given."""
    names = None if names is None else set(names)
    for layer in model._flatten_layers(include_self=False):
        if isinstance(getattr(layer, "kernel", None), keras.Variable) and (names is None or layer.name in names):
            yield layer


def fan_in(layer: keras.layers.Layer) -> int:
    """PyTorch's fan in of a kernel `(in, out)`, `(children, out, in)`, `(S, S, S, in, out)` or `(S, S, S, out, in)`.

    Of a transposed convolution, as the second and the last are, it is what comes out and not what goes in.
    """
    return math.prod(layer.kernel.shape[:-1])


def draw_uniform(layer: keras.layers.Layer, limit: float, *, bias: bool = False) -> None:
    """Draw the kernel uniform between `-limit` and `limit`, and with `bias` the bias too, which is zero else."""
    layer.kernel.assign(keras.random.uniform(layer.kernel.shape, -limit, limit, dtype=layer.kernel.dtype))
    if not bias:
        clear_bias(layer)
    elif getattr(layer, "bias", None) is not None:
        layer.bias.assign(keras.random.uniform(layer.bias.shape, -limit, limit, dtype=layer.bias.dtype))


def draw_normal(layer: keras.layers.Layer, deviation: float) -> None:
    """Draw the kernel from a normal distribution; the bias is zero."""
    layer.kernel.assign(keras.random.normal(layer.kernel.shape, stddev=deviation, dtype=layer.kernel.dtype))
    clear_bias(layer)


def clear_bias(layer: keras.layers.Layer) -> None:
    """Make the bias zero, where there is one."""
    if getattr(layer, "bias", None) is not None:
        layer.bias.assign(keras.ops.zeros(layer.bias.shape, layer.bias.dtype))
