"""Layers between clouds and cubic volumes of features: gridding, its reverse, convolution, pooling, sampling."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wcd.models.layers import draws
from keras_wcd.models.layers.mlp import batch_norm
from keras_wcd.models.layers.uncast import UncastLayer, at_least_float32
from keras_wcd.ops import cubic_feature_sampling, gather_points, gridding, gridding_reverse
from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class Gridding(UncastLayer):
    """Clouds `(B, N, 3)` in the cube [-1, 1] as weights `(B, S, S, S, 1)` of a grid's vertices, in float32.

    Args:
        size: Vertices S along a side.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.size = size

    def call(self, points: Tensor) -> Tensor:
        """Clouds `(B, N, 3)` -> `(B, S, S, S, 1)`."""
        return ops.expand_dims(gridding(points, self.size), -1)

    def compute_output_spec(self, points: keras.KerasTensor) -> keras.KerasTensor:
        """`(B, S, S, S, 1)`."""
        return keras.KerasTensor((points.shape[0], *(self.size,) * 3, 1), points.dtype)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("keras_wcd")
class GriddingReverse(UncastLayer):
    """Weights `(B, S, S, S, 1)` of a grid's vertices as one point per cell, `(B, S ** 3, 3)`, in float32 or wider."""

    def call(self, grid: Tensor) -> Tensor:
        """`(B, S, S, S, 1)` -> `(B, S ** 3, 3)`."""
        return gridding_reverse(at_least_float32(grid[..., 0]))

    def compute_output_spec(self, grid: keras.KerasTensor) -> keras.KerasTensor:
        """`(B, S ** 3, 3)`."""
        return keras.KerasTensor(
            (grid.shape[0], grid.shape[1] ** 3, 3), "float64" if grid.dtype == "float64" else "float32"
        )


@keras.saving.register_keras_serializable("keras_wcd")
class CubicFeatures(UncastLayer):
    """Features of the eight vertices around every point: `(B, N, 3)`, `(B, S, S, S, C)` -> `(B, N, 8 * C)`."""

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """The first vertex's channels first."""
        points, features = inputs
        count = points.shape[1] or -1
        return ops.reshape(cubic_feature_sampling(points, features), (-1, count, 8 * features.shape[-1]))

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
        """`(B, N, 8 * C)`."""
        points, features = inputs
        return keras.KerasTensor((*points.shape[:2], 8 * features.shape[-1]), features.dtype)


@keras.saving.register_keras_serializable("keras_wcd")
class RandomPoints(draws.DrawingLayer, UncastLayer):
    """Some of a cloud's points at random, never a row of zeros unless there is nothing else.

    In training each call draws anew. At inference the rows keep one random order (row i that of row i modulo
    `table`), and the first that are not zero are taken. Where there are too few, they are repeated in turn.
    The caller may give the draw, `(B, count)`: under `rows` the rows, under `rnd_idx` their numbers among the
    rows that are not zero.

    Args:
        count: Points to choose.
        table: Length of the order at inference.
        seed: Of that order.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, count: int, table: int, seed: int = 0, **kwargs: Any):
        super().__init__(seed, **kwargs)
        self.count, self.table, self.seed = count, table, seed

    def call(self, points: Tensor, training: bool = False) -> Tensor:
        """Clouds `(B, N, 3)` -> `(B, count, 3)`."""
        # The release asks for the sum of the coordinates, which rounding decides for points of symmetric cells.
        fixed = ops.stop_gradient(points)
        present = (fixed[..., 0] != 0) | (fixed[..., 1] != 0) | (fixed[..., 2] != 0)
        expected = (points.shape[0], self.count)
        rows = draws.given("rows", expected, "int32")
        if rows is None:
            rows = draws.given("rnd_idx", expected, "int32")
            if rows is not None:
                size = present.shape[1]
                in_turn = ops.cast(ops.arange(size, 0, -1), "float32")
                rows = ops.take_along_axis(ops.top_k(ops.where(present, in_turn, 0.0), size)[1], rows, axis=1)
        return gather_points(points, self._drawn(present, training) if rows is None else rows)

    def _drawn(self, present: Tensor, training: bool) -> Tensor:
        batch, size = ops.shape(present)
        if training:
            priority = keras.random.uniform((batch, size), dtype="float32", seed=self.seed_generator)
        else:
            order = np.random.default_rng(self.seed).permutation(self.table).astype(np.float32)
            order = np.resize(order, size) if isinstance(size, int) else ops.take(order, ops.arange(size) % self.table)
            priority = ops.expand_dims(ops.convert_to_tensor(order), 0)
        rows = ops.cast(ops.top_k(ops.where(present, priority, -1.0), self.count)[1], "int32")
        found = ops.sum(ops.cast(present, "int32"), axis=1, keepdims=True)
        place = ops.expand_dims(ops.arange(self.count, dtype="int32"), 0) % ops.clip(found, 1, self.count)
        return ops.take_along_axis(rows, place, axis=1)

    def compute_output_spec(self, points: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """`(B, count, 3)`."""
        return keras.KerasTensor((points.shape[0], self.count, 3), points.dtype)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "count": self.count, "table": self.table, "seed": self.seed}


def convolved_down(x: Tensor, channels: int, name: str) -> Tensor:
    """Convolution of width 4, normalization, LeakyReLU and max pooling: `(B, S, S, S, C)` -> half the side.

    The official convolution pads two vertices on both sides; its last output on each axis is dropped by the
    pooling and not computed here.
    """
    x = keras.layers.ZeroPadding3D(((2, 1),) * 3)(x)
    x = keras.layers.Conv3D(channels, 4, name=name)(x)
    x = ops.leaky_relu(batch_norm(f"{name}_norm")(x), 0.2)
    # MaxPooling3D is no builtin operator of LiteRT, and strided slices are slow: neighbors along z, y and x are
    # made the halves of an axis. This order gives ties to the first vertex, as pooling does.
    half = x.shape[1] // 2
    for size in (channels, half * channels, half * half * channels):
        x = ops.reshape(x, (-1, 2, size))
        x = ops.maximum(x[:, 0], x[:, 1])
    return ops.reshape(x, (-1, half, half, half, channels))


def convolved_up(x: Tensor, channels: int, name: str) -> Tensor:
    """Transposed convolution of width 4 and stride 2, normalization and ReLU: `(B, S, S, S, C)` -> twice the side."""
    x = keras.layers.Conv3DTranspose(channels, 4, strides=2, padding="same", use_bias=False, name=name)(x)
    return ops.relu(batch_norm(f"{name}_norm")(x))
