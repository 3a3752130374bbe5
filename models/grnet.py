"""GRNet: Gridding Residual Network for dense point cloud completion (Xie et al., ECCV 2020)."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_wcd.models.arguments import positive, widths_of
from keras_wcd.models.base import CompletionModel
from keras_wcd.models.layers.mlp import coordinate_dtype
from keras_wcd.models.layers.volumes import (
    CubicFeatures,
    Gridding,
    GriddingReverse,
    RandomPoints,
    convolved_down,
    convolved_up,
)
from keras_wcd.models.weights.initialization import draw_normal, fan_in, weighted_layers

CHILDREN = 8


@keras.saving.register_keras_serializable("keras_wcd")
class GRNet(CompletionModel):
    """A cloud written to a grid, completed there by 3D convolutions, read back and densified.

    Weight-compatible with the authors' release and with the copy in PoinTr's repository. Stages: sparse
    `(B, num_sparse, 3)`, dense `(B, 8 * num_sparse, 3)`. The defaults are the PCN configuration (16384 points);
    `num_sparse=1024, scale=0.5` is PoinTr's for ShapeNet-55 (8192). Input points lie in the cube of half side
    1 / scale around the origin; what lies outside is not seen.

    The sparse points are drawn among the input and the points read from the grid: anew in training, the same
    ones every time at inference, or by `noise={"rows": (B, num_sparse)}`, rows of the two clouds joined
    (`"rnd_idx"`: their numbers among the rows that are not zero).

    Args:
        num_sparse: Points of the sparse stage.
        scale: What the coordinates are multiplied by before they are written to the grid.
        resolution: Vertices along a side of the grid, a multiple of 16.
        channels: Channels of the four convolutions.
        latent: Length of the global code.
        hidden: Widths of the point-wise layers before the last one.
        **kwargs: As of `CompletionModel`.
    """

    draw_keys = ("rows", "rnd_idx")

    def __init__(
        self,
        num_sparse: int = 2048,
        scale: float = 1.0,
        resolution: int = 64,
        channels: Sequence[int] = (32, 64, 128, 256),
        latent: int = 2048,
        hidden: Sequence[int] = (1792, 448, 112),
        **kwargs: Any,
    ):
        num_sparse, latent = positive(num_sparse, "num_sparse"), positive(latent, "latent")
        channels, hidden = widths_of(channels, 4, "channels"), widths_of(hidden, 3, "hidden")
        if not scale > 0:
            raise ValueError(f"scale must be positive, got {scale!r}")
        if positive(resolution, "resolution") % 16:
            raise ValueError(f"resolution must be a multiple of 16, got {resolution!r}")

        partial = keras.Input((None, 3), name="partial")
        scaled = partial * float(scale)
        grid = Gridding(resolution, name="gridding")(scaled)
        levels = [grid]
        for i, width in enumerate(channels, start=1):
            levels.append(convolved_down(levels[-1], width, f"conv{i}"))
        volume = _through_code(levels.pop(), latent)
        features = []
        for i, width in enumerate((*channels[2::-1], 1), start=7):
            volume = convolved_up(volume, width, f"dconv{i}") + levels.pop()
            features.insert(0, volume)
        read = GriddingReverse(name="gridding_reverse")(features.pop(0))
        sparse = RandomPoints(num_sparse, resolution**3 + 2048, name="sampling")(
            ops.concatenate([scaled, read], axis=1)
        )
        # The grid of 32 vertices first, that of 8 last.
        x = [CubicFeatures(name=f"features_{i}")([sparse, volume]) for i, volume in enumerate(features)]
        x = ops.concatenate(x, axis=-1)
        for i, width in enumerate(hidden, start=11):
            x = ops.relu(keras.layers.Dense(width, name=f"fc{i}")(x))
        offset = keras.layers.Dense(3 * CHILDREN, name="fc14", dtype=coordinate_dtype())(x)
        dense = ops.expand_dims(sparse, 2) + ops.reshape(offset, (-1, num_sparse, CHILDREN, 3))
        dense = ops.reshape(dense, (-1, num_sparse * CHILDREN, 3))

        super().__init__(partial, (sparse / float(scale), dense / float(scale)), **kwargs)
        self.num_sparse = num_sparse
        self.scale = float(scale)
        self.resolution = resolution
        self.channels = channels
        self.latent = latent
        self.hidden = hidden
        for layer in weighted_layers(self):
            dense = isinstance(layer, keras.layers.Dense)
            draw_normal(layer, 0.01 if dense else math.sqrt(2 / fan_in(layer)))

    def official_weights(self) -> dict[str, str | None]:
        """Modules of `models/grnet.py` in the release, of `models/GRNet.py` in PoinTr's repository."""
        names = {f"conv{i}": f"conv{i}" for i in range(1, 5)} | {f"dconv{i}": f"dconv{i}" for i in range(7, 11)}
        table = {f"{name}.0": name for name in names} | {f"{name}.1": f"{name}_norm" for name in names}
        table |= {f"fc{i}.0": f"fc{i}" for i in (5, 6, 11, 12, 13)}
        return {**table, "fc14": "fc14"}


def _through_code(volume: keras.KerasTensor, latent: int) -> keras.KerasTensor:
    """The smallest volume with what two dense layers over all of it add to it."""
    side, channels = volume.shape[1], volume.shape[-1]
    size = side**3 * channels
    # Channels first, as the official weights have them.
    code = ops.reshape(ops.transpose(volume, (0, 4, 1, 2, 3)), (-1, size))
    code = ops.relu(keras.layers.Dense(latent, name="fc5")(code))
    code = ops.relu(keras.layers.Dense(size, name="fc6")(code))
    return volume + ops.transpose(ops.reshape(code, (-1, channels, side, side, side)), (0, 2, 3, 4, 1))
