"""Layers and graph pieces that several networks share, with PyTorch's constants."""

import math
from collections.abc import Sequence
from typing import Any, cast

import keras
import numpy as np
from keras import ops

from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class JointDense(keras.layers.Layer):
    r"""A dense layer of the concatenation of its inputs along channels, which is never made.

    $$[x_1, \dots, x_n] W + b = \sum_i x_i W_i + b$$

    Each input meets its own rows of W and the products are added with broadcasting, so that a feature of the
    whole cloud, of a point and of a grid node are each multiplied once where they are, not once per output
    point. The weights are those of `keras.layers.Dense` on the concatenation.

    Args:
        units: Output channels.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: Sequence[tuple]) -> None:
        """Make one kernel for all inputs."""
        channels = sum(shape[-1] for shape in input_shape)
        self.kernel = self.add_weight(name="kernel", shape=(channels, self.units), initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Inputs `(..., C_i)` whose leading axes broadcast -> `(..., units)`."""
        parts, start = [], 0
        for x in inputs:
            parts.append(ops.matmul(x, self.kernel[start : start + x.shape[-1]]))
            start += x.shape[-1]
        # The fewest rows first: the sum is as large as the output only at the end.
        total = self.bias
        for part in sorted(parts, key=_rows):
            total = total + part
        return total

    def compute_output_shape(self, input_shape: Sequence[tuple]) -> tuple:
        """The broadcast leading axes, then `units`."""
        leading = []
        for axis in zip(*(shape[:-1] for shape in input_shape), strict=True):
            wide = {size for size in axis if size != 1}
            leading.append(wide.pop() if len(wide) == 1 else None if wide else 1)
        return (*leading, self.units)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "units": self.units}


def _rows(x: Tensor) -> float:
    """Rows of one cloud's features, as far as they are known while a graph is made."""
    return math.prod(math.inf if size is None else size for size in x.shape[1:-1])


@keras.saving.register_keras_serializable("keras_wcd")
class FoldingGrid(keras.layers.Layer):
    """The nodes of a square grid on a plane, for every input alike.

    Args:
        steps: Nodes along a side, S.
        extent: The grid spans -extent to extent.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, steps: int, extent: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.steps, self.extent = steps, extent

    def call(self, inputs: Tensor) -> Tensor:
        """Nodes `(1, S * S, 2)`, the first coordinate varying fastest; the input is not used."""
        line = np.linspace(-self.extent, self.extent, self.steps, dtype=np.float32)
        nodes = np.stack([np.tile(line, self.steps), np.repeat(line, self.steps)], axis=-1)
        return ops.convert_to_tensor(nodes[None], dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`(1, S * S, 2)`."""
        return (1, self.steps**2, 2)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "steps": self.steps, "extent": self.extent}


def batch_norm(name: str) -> keras.layers.BatchNormalization:
    """Batch normalization with PyTorch's constants (its momentum 0.1 is Keras's 0.9)."""
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)


def coordinate_dtype() -> str | None:
    """Dtype of the layers that put out coordinates: float16 has steps of half a thousandth at 1."""
    return "float32" if keras.config.dtype_policy().compute_dtype in ("float16", "bfloat16") else None


def mlp(
    x: Tensor | list[Tensor],
    widths: Sequence[int],
    name: str,
    *,
    norm: bool = True,
    coordinates: bool = False,
    slope: float = 0.0,
) -> Tensor:
    """Dense, batch normalization and ReLU per width, `name_1`, `name_1_norm`, ...; the last Dense stands alone.

    Args:
        x: Features `(..., C)`, or a list of them that is joined as by `JointDense`.
        widths: Channels of each Dense.
        name: What the layers' names begin with.
        norm: Whether batch normalization is there.
        coordinates: Whether the last layer puts out coordinates, in float32 under mixed precision.
        slope: Slope of the ReLU below zero; a leaky one where it is not 0.

    Returns:
        Features `(..., widths[-1])`.
    """
    for i, width in enumerate(widths, start=1):
        last = i == len(widths)
        dense = JointDense if isinstance(x, list) else keras.layers.Dense
        dtype = coordinate_dtype() if last and coordinates else None
        x = dense(width, name=f"{name}_{i}", dtype=dtype)(x)
        if not last:
            x = batch_norm(f"{name}_{i}_norm")(x) if norm else x
            x = ops.leaky_relu(x, slope) if slope else ops.relu(x)
    return cast("Tensor", x)  # The first layer has joined a list.


def mlp_names(official: str, name: str, count: int, *, norm: bool = True) -> dict[str, str]:
    """Where a PyTorch Sequential of `count` such layers keeps its weights: its modules -> ours."""
    step = 3 if norm else 2
    names = {f"{official}.{step * i}": f"{name}_{i + 1}" for i in range(count)}
    if norm:
        names |= {f"{official}.{step * i + 1}": f"{name}_{i + 1}_norm" for i in range(count - 1)}
    return names


def pcn_encoder(partial: Tensor, widths: Sequence[int], latent: int) -> Tensor:
    """The two stacked PointNet layers of PCN: a cloud `(B, N, 3)` -> its code `(B, 1, latent)`."""
    local = mlp(partial, widths[:2], "encoder_a")
    code = ops.max(local, axis=1, keepdims=True)
    return ops.max(mlp([code, local], (widths[2], latent), "encoder_b"), axis=1, keepdims=True)


PCN_ENCODER = {**mlp_names("first_conv", "encoder_a", 2), **mlp_names("second_conv", "encoder_b", 2)}
"""Official modules of `pcn_encoder`."""
