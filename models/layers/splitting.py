"""Splitting of one feature into several: a transposed convolution whose stride is its width."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class Splitting(keras.layers.Layer):
    r"""Every feature becomes `factor` features, each by a matrix of its own.

    $$y_u = x W_u + b, \qquad u = 1, \dots, \text{factor}$$

    It is what a transposed convolution does where stride and width are both `factor`, and what one of that
    width does to a single feature. The kernel `(factor, units, C)` is laid out as Keras lays out theirs.

    Args:
        units: Channels of each child.
        factor: Children of each feature.
        use_bias: Whether there is the bias b, the same for all children.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, units: int, factor: int, use_bias: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.units, self.factor, self.use_bias = units, factor, use_bias

    def build(self, input_shape: tuple) -> None:
        """Make the kernel and the bias."""
        # Fans of one child, as the kernel of a dense layer has; Keras would count the children as a receptive field.
        limit = (6 / (input_shape[-1] + self.units)) ** 0.5
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.factor, self.units, input_shape[-1]),
            initializer=keras.initializers.RandomUniform(-limit, limit),
        )
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def call(self, x: Tensor) -> Tensor:
        """Features `(..., C)` -> `(..., factor * units)`, the channels of the first child first."""
        kernel = ops.reshape(self.kernel, (self.factor * self.units, -1))
        y = ops.matmul(x, ops.transpose(kernel))
        return y + ops.tile(self.bias, (self.factor,)) if self.use_bias else y

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """The last axis is `factor * units`."""
        return (*input_shape[:-1], self.factor * self.units)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "units": self.units, "factor": self.factor, "use_bias": self.use_bias}
