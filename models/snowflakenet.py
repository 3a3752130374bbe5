"""SnowflakeNet: Point Cloud Completion by Snowflake Point Deconvolution (Xiang et al., ICCV 2021)."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_wcd.models.arguments import positive, widths_of
from keras_wcd.models.base import CompletionModel
from keras_wcd.models.layers.mlp import mlp, mlp_names
from keras_wcd.models.layers.point_encoder import (
    farthest,
    moved,
    point_encoder,
    point_encoder_names,
    seed_cloud,
    seed_cloud_names,
    surroundings,
)
from keras_wcd.models.layers.splitting import Splitting
from keras_wcd.models.layers.vector_attention import (
    VectorAttention,
    attention_names,
    dense_names,
    residual_mlp,
    residual_mlp_names,
)
from keras_wcd.models.weights.initialization import draw_as_pytorch
from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class SnowflakeNet(CompletionModel):
    """Points grow out of points: each is split into some, which remember by attention how their parents were split.

    Weight-compatible with the authors' release. Stages: a cloud from the global code alone, then one cloud per
    deconvolution; the first starts from the `num_coarse` farthest points of that cloud and the partial one
    together. The defaults are the PCN configuration (256, 512, 2048 and 16384 points);
    `up_factors=(1, 4, 4)` is that of ShapeNet-55 (8192 points).

    Args:
        up_factors: Children of each point in the deconvolutions.
        latent: Length of the global code.
        width: Channels of the points' features, a multiple of 4; the other widths are fractions and multiples.
        attention: Channels inside every attention.
        num_seeds: Points of the first cloud.
        num_coarse: Points that the first deconvolution starts from.
        patches: Points of the encoder's two levels.
        neighbors: Neighbors in every attention.
        **kwargs: As of `CompletionModel`.
    """

    def __init__(
        self,
        up_factors: Sequence[int] = (1, 4, 8),
        latent: int = 512,
        width: int = 128,
        attention: int = 64,
        num_seeds: int = 256,
        num_coarse: int = 512,
        patches: Sequence[int] = (512, 128),
        neighbors: int = 16,
        **kwargs: Any,
    ):
        up_factors, patches = widths_of(up_factors, len(up_factors), "up_factors"), widths_of(patches, 2, "patches")
        latent, width = positive(latent, "latent"), 4 * positive(width / 4, "width / 4")
        attention, num_coarse = positive(attention, "attention"), positive(num_coarse, "num_coarse")
        neighbors, num_seeds = positive(neighbors, "neighbors"), positive(num_seeds, "num_seeds")

        partial = keras.Input((None, 3), name="partial")
        _, _, code = point_encoder(partial, patches, width, latent, (attention, neighbors), own_value=True)
        split = ops.reshape(Splitting(width, num_seeds, name="seed_split")(code), (-1, num_seeds, width))
        seeds, _ = seed_cloud(split, code, width)
        points, stages, x = farthest(ops.concatenate([seeds, partial], axis=1), num_coarse, "coarse"), [seeds], None
        for i, factor in enumerate(up_factors):
            points, x = deconvolution(points, x, code, factor, (width, attention, neighbors), f"up_{i}")
            stages.append(points)

        super().__init__(partial, stages, **kwargs)
        self.up_factors = up_factors
        self.latent = latent
        self.width = width
        self.attention = attention
        self.num_seeds = num_seeds
        self.num_coarse = num_coarse
        self.patches = patches
        self.neighbors = neighbors
        draw_as_pytorch(self)

    def official_weights(self) -> dict[str, str | None]:
        """Modules of `models/model_completion.py` in the authors' repository."""
        table = point_encoder_names("feat_extractor") | seed_cloud_names("decoder.decoder_coarse")
        table["decoder.decoder_coarse.ps"] = "seed_split"
        for i in range(len(self.up_factors)):
            module, name = f"decoder.uppers.{i}", f"up_{i}"
            for theirs, ours in (("mlp_1", "place"), ("mlp_2", "query"), ("mlp_ps", "narrow"), ("mlp_delta", "delta")):
                table |= mlp_names(f"{module}.{theirs}.mlp", f"{name}_{ours}", 2, norm=False)
            table |= dense_names(f"{module}.skip_transformer", f"{name}_skip", ("query", "key", "value", "end"))
            table |= residual_mlp_names(f"{module}.skip_transformer.mlp_v", f"{name}_skip_own")
            table |= attention_names(f"{module}.skip_transformer", f"{name}_skip_attention")
            table[f"{module}.ps"] = f"{name}_split"
            table |= residual_mlp_names(f"{module}.mlp_delta_feature", f"{name}_feature")
        return table


def skip_transformer(points: Tensor, key: Tensor, query: Tensor, attention: int, neighbors: int, name: str) -> Tensor:
    """What the features `(B, N, C)` of a step make of those of the step before, by attention among neighbors."""
    own = residual_mlp([key, query], query.shape[-1], query.shape[-1], f"{name}_own")
    query, key, value = (
        keras.layers.Dense(attention, name=f"{name}_{part}")(x)
        for part, x in (("query", query), ("key", key), ("value", own))
    )
    attend = VectorAttention(attention, name=f"{name}_attention")
    found = attend([*surroundings(points, neighbors, name), query, key]) + value
    return own + keras.layers.Dense(own.shape[-1], name=f"{name}_end")(found)


def deconvolution(
    points: Tensor, before: Tensor | None, code: Tensor, factor: int, sizes: tuple[int, int, int], name: str
) -> tuple[Tensor, Tensor]:
    """Snowflake point deconvolution: every point split into `factor` points.

    Args:
        points: Clouds `(B, N, 3)`.
        before: Features `(B, N, width)` of the deconvolution before; None in the first.
        code: The global code `(B, 1, L)`.
        factor: Children U of each point.
        sizes: `(width, attention, neighbors)` as of `SnowflakeNet`.
        name: What the layers' names begin with.

    Returns:
        Clouds `(B, N * U, 3)` and their features `(B, N * U, width)`.
    """
    width, attention, neighbors = sizes
    place = mlp(points, (width // 2, width), f"{name}_place", norm=False)
    query = [place, ops.max(place, axis=1, keepdims=True), code]
    query = mlp(query, (2 * width, width), f"{name}_query", norm=False)
    x = skip_transformer(points, query if before is None else before, query, attention, neighbors, f"{name}_skip")
    narrow = mlp(x, (width // 2, width // 4), f"{name}_narrow", norm=False)
    children = Splitting(width, factor, use_bias=False, name=f"{name}_split")(narrow)
    children = ops.reshape(children, (-1, points.shape[1], factor, width))
    features = residual_mlp([children, ops.expand_dims(x, 2)], width, width, f"{name}_feature")
    return moved(points, features, width // 2, name)
