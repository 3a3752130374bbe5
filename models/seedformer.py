"""SeedFormer: Patch Seeds based Point Cloud Completion with Upsample Transformer (Zhou et al., ECCV 2022)."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wcd.models.arguments import positive, widths_of
from keras_wcd.models.base import CompletionModel
from keras_wcd.models.layers.mlp import coordinate_dtype, mlp, mlp_names
from keras_wcd.models.layers.point_encoder import (
    farthest,
    moved,
    point_encoder,
    point_encoder_names,
    seed_cloud,
    seed_cloud_names,
    surroundings,
)
from keras_wcd.models.layers.vector_attention import (
    VectorAttention,
    attention_names,
    dense_names,
    residual_mlp,
    residual_mlp_names,
)
from keras_wcd.models.weights.initialization import draw_as_pytorch
from keras_wcd.ops import gather_points, knn
from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class SeedInterpolation(keras.layers.Layer):
    r"""Features of the seeds at other points: the three nearest, weighted by inverse squared distance.

    $$f(q) = \frac{\sum_j w_j f_j}{\sum_j w_j}, \qquad w_j = \frac{1}{\lVert q - s_j \rVert^2 + 10^{-8}}$$

    Gradient flows through the weights too. All is float32 or wider.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{"dtype": coordinate_dtype(), **kwargs})

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """`[queries (B, N, 3), seeds (B, M, 3), features (B, M, C)]` -> `(B, N, C)`."""
        queries, seeds, features = inputs
        square, index = knn(queries, seeds, 3)
        weight = 1 / (square + 1e-8)
        weight = weight / ops.sum(weight, axis=-1, keepdims=True)
        terms = [weight[..., j : j + 1] * gather_points(features, index[..., j]) for j in range(3)]
        return terms[0] + terms[1] + terms[2]

    def compute_output_shape(self, input_shape: Sequence[tuple]) -> tuple:
        """`(B, N, C)`."""
        return (*input_shape[0][:2], input_shape[2][2])


@keras.saving.register_keras_serializable("keras_wcd")
class SeedFormer(CompletionModel):
    """Patch seeds with features from a point transformer, and layers that split points under attention.

    Weight-compatible with the authors' release. Stages: the seeds, then one cloud per up layer; the first up
    layer starts from the `num_coarse` farthest points of the seeds and the partial cloud together. The
    defaults are the PCN configuration (256, 512, 2048 and 16384 points); `up_factors=(1, 4, 4)` is that of
    ShapeNet-55 (8192 points).

    Args:
        up_factors: Children of each point in the up layers.
        latent: Length of the global code.
        width: Channels of the up layers' features, even; the other widths are fractions and multiples of it.
        attention: Channels inside every attention.
        num_coarse: Points that the first up layer starts from.
        patches: Points of the encoder's two levels.
        neighbors: Neighbors in every attention.
        seed_factor: Seeds of each of the encoder's last points.
        **kwargs: As of `CompletionModel`.
    """

    def __init__(
        self,
        up_factors: Sequence[int] = (1, 4, 8),
        latent: int = 512,
        width: int = 128,
        attention: int = 64,
        num_coarse: int = 512,
        patches: Sequence[int] = (512, 128),
        neighbors: int = 20,
        seed_factor: int = 2,
        **kwargs: Any,
    ):
        up_factors, patches = widths_of(up_factors, len(up_factors), "up_factors"), widths_of(patches, 2, "patches")
        latent, width = positive(latent, "latent"), 2 * positive(width / 2, "width / 2")
        attention, num_coarse = positive(attention, "attention"), positive(num_coarse, "num_coarse")
        neighbors, seed_factor = positive(neighbors, "neighbors"), positive(seed_factor, "seed_factor")

        partial = keras.Input((None, 3), name="partial")
        # Encoder: a few points with features, and a code of the whole.
        points, x, code = point_encoder(partial, patches, width, latent, (attention, neighbors), own_value=False)
        # Seeds: each of those points split into some.
        around = surroundings(points, neighbors, "seed")
        split = VectorAttention(attention, seed_factor, normalize=False, name="seed_split_attention")
        split = up_transformer(x, x, None, around, split, width, "seed_split")
        split = ops.reshape(split, (-1, patches[1] * seed_factor, width))
        seeds, features = seed_cloud(split, code, width)
        # Up layers: each point split into some, near where it was.
        points, stages, x = farthest(ops.concatenate([seeds, partial], axis=1), num_coarse, "coarse"), [seeds], None
        for i, factor in enumerate(up_factors):
            near = SeedInterpolation(name=f"up_{i}_seeds")([points, seeds, features])
            points, x = up_layer(points, x, near, factor, (width, attention, neighbors), f"up_{i}")
            stages.append(points)

        super().__init__(partial, stages, **kwargs)
        self.up_factors = up_factors
        self.latent = latent
        self.width = width
        self.attention = attention
        self.num_coarse = num_coarse
        self.patches = patches
        self.neighbors = neighbors
        self.seed_factor = seed_factor
        draw_as_pytorch(self)

    def official_weights(self) -> dict[str, str | None]:
        """Modules of `codes/model.py` in the authors' repository; the encoder's normalizations are not in use."""
        table = point_encoder_names("feat_extractor") | seed_cloud_names("seed_generator")
        table |= up_transformer_names("seed_generator.uptrans", "seed_split", upfeat=False)
        table["seed_generator.uptrans.residual_layer"] = "seed_split_residual"
        for i in range(len(self.up_factors)):
            for mlp_name, ours in (("mlp_1", "place"), ("mlp_2", "query"), ("mlp_delta", "delta")):
                table |= mlp_names(f"up_layers.{i}.{mlp_name}.mlp", f"up_{i}_{ours}", 2, norm=False)
            for j, letter in enumerate("ab", start=1):
                table |= up_transformer_names(f"up_layers.{i}.uptrans{j}", f"up_{i}_{letter}")
            table |= residual_mlp_names(f"up_layers.{i}.mlp_delta_feature", f"up_{i}_feature")
        return table

    def adapt_official(self, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The kernels of the splitting transposed convolutions lose their last axis, which is 1."""
        split = [f"up_layers.{i}.uptrans2" for i in range(len(self.up_factors))]
        names = {f"{module}.attn_mlp.3.weight" for module in ("seed_generator.uptrans", *split)}
        return {k: v.reshape(v.shape[:3]) if k in names and v.shape[3:] == (1,) else v for k, v in weights.items()}


def up_transformer(
    key: Tensor,
    query: Tensor,
    near: Tensor | None,
    around: tuple[Tensor, Tensor],
    attend: VectorAttention,
    width: int,
    name: str,
) -> Tensor:
    """The upsample transformer.

    Args:
        key: Features `(B, N, C)` that the keys are made of.
        query: Features `(B, N, C)` that the queries are made of.
        near: Features `(B, N, C)` whose differences enter attention and values, or None.
        around: As of `surroundings`.
        attend: The attention itself.
        width: Output channels.
        name: What the layers' names begin with.

    Returns:
        Features `(B, N, width)`, or `(B, N, U, width)` where the attention has a factor U.
    """
    dense = {part: keras.layers.Dense(attend.dim, name=f"{name}_{part}") for part in ("query", "key", "value")}
    own = residual_mlp([key, query], query.shape[-1], query.shape[-1], f"{name}_own")
    query, key, value = dense["query"](query), dense["key"](key), dense["value"](own)
    if near is not None:
        # q_i - k_j + n_i - n_j and v_j + n_i - n_j, the last n_i outside the sum of weights.
        near = keras.layers.Dense(attend.dim, name=f"{name}_upfeat")(near)
        query, key, value = query + near, key + near, value - near
    found = attend([*around, query, key, value])
    if attend.factor is not None:
        own, near = ops.expand_dims(own, 2), None if near is None else ops.expand_dims(near, 2)
    found = found if near is None else found + near
    if own.shape[-1] != width:
        own = keras.layers.Dense(width, name=f"{name}_residual")(own)
    return keras.layers.Dense(width, name=f"{name}_end")(found) + own


def up_transformer_names(official: str, name: str, upfeat: bool = True) -> dict[str, str]:
    """Where PyTorch keeps the weights of an `up_transformer`: theirs -> ours."""
    return {
        **dense_names(official, name, ("query", "key", "value", "end") + ("upfeat",) * upfeat),
        **residual_mlp_names(f"{official}.mlp_v", f"{name}_own"),
        **attention_names(official, f"{name}_attention"),
    }


def up_layer(
    points: Tensor, before: Tensor | None, near: Tensor, factor: int, sizes: tuple[int, int, int], name: str
) -> tuple[Tensor, Tensor]:
    """Every point split into `factor` points, each moved by less than 1 along an axis.

    Args:
        points: Clouds `(B, N, 3)`.
        before: Features `(B, N, width)` of the up layer before; None in the first.
        near: Features `(B, N, C)` of the seeds nearby.
        factor: Children U of each point.
        sizes: `(width, attention, neighbors)` as of `SeedFormer`.
        name: What the layers' names begin with.

    Returns:
        Clouds `(B, N * U, 3)` and their features `(B, N * U, width)`.
    """
    width, attention, neighbors = sizes
    place = mlp(points, (width // 2, width), f"{name}_place", norm=False)
    whole = ops.max(place, axis=1, keepdims=True)
    query = mlp([place, whole, near], (2 * width, width), f"{name}_query", norm=False)
    around = surroundings(points, neighbors, name)
    attend = VectorAttention(attention, name=f"{name}_a_attention")
    x = up_transformer(query if before is None else before, query, near, around, attend, width, f"{name}_a")
    attend = VectorAttention(attention, factor, name=f"{name}_b_attention")
    children = up_transformer(x if before is None else before, x, near, around, attend, width, f"{name}_b")
    features = residual_mlp([children, ops.expand_dims(x, 2)], width, width, f"{name}_feature")  # (B, N, U, C)
    return moved(points, features, width // 2, name)
