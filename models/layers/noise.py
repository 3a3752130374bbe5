"""Random draws as a layer: random in training, the same every time at inference, or given by the caller."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wcd.models.layers import draws
from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class PointNoise(draws.DrawingLayer):
    """Normal noise per point, `(B, N, channels)`.

    In training each call draws anew. At inference point i of every cloud gets row i of one table (row i modulo
    its length), drawn once from `seed`: points that coincide are told apart, as they were in training, and the
    answer is the same every time. `seed=None` turns the noise off at inference. A value that the caller gives
    under `key` replaces the draw.

    Args:
        channels: Channels of the noise.
        scale: Standard deviation.
        rows: Length of the table.
        key: Name of the draw; a value given under it is unit normal, `(B, channels, N)`.
        seed: Of the table, or None.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, channels: int, scale: float, rows: int, key: str, seed: int | None = 0, **kwargs: Any):
        super().__init__(seed, **kwargs)
        self.channels, self.scale, self.rows, self.key, self.seed = channels, scale, rows, key, seed

    def call(self, points: Tensor, training: bool = False) -> Tensor:
        """Clouds `(B, N, 3)`, of which the shape alone counts -> `(B, N, channels)`."""
        batch, count = ops.shape(points)[:2]
        given = draws.given(self.key, (points.shape[0], self.channels, points.shape[1]), self.compute_dtype)
        if given is not None:
            value = ops.transpose(given, (0, 2, 1))
        elif training:
            value = keras.random.normal(
                (batch, count, self.channels), dtype=self.compute_dtype, seed=self.seed_generator
            )
        elif self.seed is None:
            value = ops.zeros((batch, count, self.channels), dtype=self.compute_dtype)
        else:
            rng = np.random.default_rng([self.seed, *self.key.encode()])
            table = rng.standard_normal((self.rows, self.channels)).astype(np.float32)
            table = ops.convert_to_tensor(table, dtype=self.compute_dtype)
            if points.shape[1] != self.rows:
                table = ops.take(table, ops.arange(count, dtype="int32") % self.rows, axis=0)
            value = ops.broadcast_to(table, (batch, count, self.channels))
        return self.scale * value

    def compute_output_spec(self, points: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """One row of noise per point."""
        return keras.KerasTensor((*points.shape[:2], self.channels), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        own = {name: getattr(self, name) for name in ("channels", "scale", "rows", "key", "seed")}
        return {**super().get_config(), **own}
