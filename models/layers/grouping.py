"""Layers that choose points, find their neighbors and bring features from one set of points to another.

They are the operations of PointNet++ (Qi et al., NeurIPS 2017) as graph pieces. Coordinates stay in float32 under
mixed precision: a difference of neighbors in float16 would be mostly rounding.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_wcd.models.layers.uncast import UncastLayer
from keras_wcd.ops import ball_query, farthest_point_sampling, gather_points, knn, three_interpolate
from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class FarthestPoints(UncastLayer):
    """Indices `(B, count)` of the farthest points of clouds `(B, N, 3)`.

    Args:
        count: Points to choose.
        rule: As of `farthest_point_sampling`; "pointnet2" passes points near the origin over.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, count: int, rule: str = "pointnet2", **kwargs: Any):
        super().__init__(**kwargs)
        self.count, self.rule = count, rule

    def call(self, points: Tensor) -> Tensor:
        """Clouds `(B, N, 3)` -> indices `(B, count)`."""
        return farthest_point_sampling(points, self.count, rule=self.rule)

    def compute_output_spec(self, points: keras.KerasTensor) -> keras.KerasTensor:
        """`(B, count)` in int32."""
        return keras.KerasTensor((points.shape[0], self.count), "int32")

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "count": self.count, "rule": self.rule}


@keras.saving.register_keras_serializable("keras_wcd")
class Neighbors(UncastLayer):
    """Indices of `count` neighbors around every center: the nearest, or the first ones inside a ball.

    Args:
        count: Neighbors K per center.
        radius: Radius of the ball (`ball_query`), or None for the nearest (`knn`; a center that is one of the
            points is among its own).
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, count: int, radius: float | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.count, self.radius = count, radius

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Centers `(B, S, 3)`, points `(B, N, 3)` -> indices `(B, S, K)`."""
        centers, points = inputs
        if self.radius is None:
            return knn(centers, points, self.count)[1]
        return ball_query(centers, points, self.radius, self.count)

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
        """`(B, S, K)` in int32."""
        return keras.KerasTensor((*inputs[0].shape[:2], self.count), "int32")

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "count": self.count, "radius": self.radius}


@keras.saving.register_keras_serializable("keras_wcd")
class GatherPoints(UncastLayer):
    """Rows `(B, ..., C)` of points or features `(B, N, C)` by index `(B, ...)`; differentiable in the rows."""

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Rows `(B, N, C)`, indices `(B, ...)` -> `(B, ..., C)`."""
        return gather_points(*inputs)

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
        """The shape of the indices, then channels."""
        rows, index = inputs
        return keras.KerasTensor((*index.shape, rows.shape[-1]), rows.dtype)


@keras.saving.register_keras_serializable("keras_wcd")
class ThreeInterpolation(UncastLayer):
    """Features at the queries from the three nearest points (`three_interpolate`).

    Args:
        squared: Squared distances in the weights, as in TensorFlow 1 releases.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, squared: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.squared = squared

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Queries `(B, N, 3)`, points `(B, M, 3)`, their features `(B, M, C)` -> `(B, N, C)`."""
        return three_interpolate(*inputs, squared=self.squared)

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
        """One row of features per query."""
        queries, _, features = inputs
        return keras.KerasTensor((*queries.shape[:2], features.shape[-1]), features.dtype)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "squared": self.squared}


@keras.saving.register_keras_serializable("keras_wcd")
class GroupedDense(UncastLayer):
    r"""A dense layer of neighbors' relative positions and features, which are never joined.

    $$[p_k - c, f_k] W + b = (p_k - c) W_p + (f W_f + b)_k$$

    Features are multiplied once per point, not once per neighbor. The weights are those of
    `keras.layers.Dense` on the concatenation.

    Args:
        units: Output channels.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: Sequence[tuple]) -> None:
        """Make one kernel for positions and features."""
        channels = 3 + input_shape[3][-1]
        self.kernel = self.add_weight(name="kernel", shape=(channels, self.units), initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Indices `(B, S, K)`, centers `(B, S, 3)`, points `(B, N, 3)`, features `(B, N, C)` -> `(B, S, K, units)`."""
        index, centers, points, features = inputs
        dtype = self.compute_dtype
        kernel, bias = (ops.cast(variable, dtype) for variable in (self.kernel, self.bias))
        offset = ops.cast(gather_points(points, index) - ops.expand_dims(centers, 2), dtype)
        projected = ops.matmul(ops.cast(features, dtype), kernel[3:]) + bias
        return ops.matmul(offset, kernel[:3]) + gather_points(projected, index)

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
        """`(B, S, K, units)`."""
        return keras.KerasTensor((*inputs[0].shape, self.units), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "units": self.units}
