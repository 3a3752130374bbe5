"""Dense layers on the edges of a graph of points, the first step of an edge convolution."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_wcd.ops import gather_points
from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class EdgeDense(keras.layers.Layer):
    r"""A dense layer of the edges from points to their neighbors, as in DGCNN (Wang et al., TOG 2019).

    $$[x_k - q, q] \begin{pmatrix} W_1 \\ W_2 \end{pmatrix} + b = (x W_1)_k + q (W_2 - W_1) + b$$

    By the right side every feature is multiplied once per point, not once per edge. The weights are those of
    `keras.layers.Dense` on the concatenation.

    Args:
        units: Output channels.
        use_bias: Whether there is the bias b.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, units: int, use_bias: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.units, self.use_bias = units, use_bias

    def build(self, input_shape: Sequence[tuple]) -> None:
        """Make one kernel for both halves of an edge."""
        channels = 2 * input_shape[1][-1]
        self.kernel = self.add_weight(name="kernel", shape=(channels, self.units), initializer="glorot_uniform")
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Indices `(B, S, K)`, features `(B, S, C)` of points, `(B, N, C)` of neighbors -> `(B, S, K, units)`."""
        index, queries, features = inputs
        half = queries.shape[-1]
        there, here = self.kernel[:half], self.kernel[half:] - self.kernel[:half]
        own = ops.matmul(queries, here)
        own = own + self.bias if self.use_bias else own
        return gather_points(ops.matmul(features, there), index) + ops.expand_dims(own, 2)

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
        """`(B, S, K, units)`."""
        return keras.KerasTensor((*inputs[0].shape, self.units), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "units": self.units, "use_bias": self.use_bias}
