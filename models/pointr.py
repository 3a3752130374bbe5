"""PoinTr: Diverse Point Cloud Completion with Geometry-Aware Transformers (Yu et al., ICCV 2021)."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_wcd.models.arguments import positive, widths_of
from keras_wcd.models.base import CompletionModel
from keras_wcd.models.layers.attention import attend
from keras_wcd.models.layers.edges import EdgeDense
from keras_wcd.models.layers.grouping import FarthestPoints, GatherPoints, Neighbors
from keras_wcd.models.layers.mlp import FoldingGrid, JointDense, coordinate_dtype, mlp, mlp_names
from keras_wcd.models.weights.initialization import draw_as_pytorch, draw_normal, weighted_layers
from keras_wcd.types import Tensor

GROUPER = (32, 64, 64, 128)
"""Channels of the four edge convolutions that make the proxies."""
GROUP = 16
"""Neighbors of an edge convolution."""
NEAREST = 8
"""Neighbors that the first blocks of the transformer look at."""
SLOPE = 0.2
"""Slope of the leaky ReLU below zero."""
DEVIATION = 0.02
"""Standard deviation of the first weights of the transformer's linear layers."""
CONVOLUTIONS = ("group_0", "position_", "proxy_", "code_", "query_")
"""What the names of the layers begin with that are one-dimensional convolutions in the release."""


@keras.saving.register_keras_serializable("keras_wcd")
class PoinTr(CompletionModel):
    """A transformer from proxies of the seen points to proxies of the missing ones, each unfolded into a patch.

    Weight-compatible with the authors' release. Stages: coarse, `num_query` predicted points and as many
    farthest points of the partial cloud; fine, `num_query * grid_size ** 2` predicted points and the partial
    cloud itself. The defaults are the PCN configuration (448 and 16384 points from 2048); `num_query=96` is
    that of ShapeNet-55 (192 and 8192). The output holds the input, so the graph takes exactly `num_input`
    points.

    Args:
        num_query: Proxies of the missing part.
        grid_size: Nodes along the side of a patch.
        centers: Points left by the two samplings of the partial cloud; the last ones are its proxies.
        width: Channels of the transformer.
        heads: Heads of every attention; they divide `width`.
        depth: Blocks of the encoder and of the decoder.
        latent: Length of the global codes.
        folding: Width of each folding's first hidden layer; the second has half of it.
        **kwargs: As of `CompletionModel`.
    """

    def __init__(
        self,
        num_query: int = 224,
        grid_size: int = 8,
        centers: Sequence[int] = (512, 128),
        width: int = 384,
        heads: int = 6,
        depth: Sequence[int] = (6, 8),
        latent: int = 1024,
        folding: int = 256,
        **kwargs: Any,
    ):
        num_query, grid_size = positive(num_query, "num_query"), positive(grid_size, "grid_size")
        centers, depth = widths_of(centers, 2, "centers"), widths_of(depth, 2, "depth")
        width, heads = positive(width, "width"), positive(heads, "heads")
        latent, folding = positive(latent, "latent"), positive(folding, "folding")
        num_input = positive(kwargs.get("num_input", 2048), "num_input")
        _check(num_query, centers, num_input, width, heads)

        partial = keras.Input((num_input, 3), name="partial")
        # Proxies: a few points of the partial cloud, with features of what lies around them.
        places, x = _grouper(partial, centers)
        position = mlp(places, (width // 3, width), "position", slope=SLOPE)
        x = mlp(x, (width, width), "proxy", slope=SLOPE)
        near = Neighbors(NEAREST)([places, places])
        for i in range(depth[0]):
            x = _encoder_block(x + position, heads, f"encoder_{i}", None if i else near)
        # Queries: the missing part's places, from a code of all proxies.
        code = ops.max(mlp(x, (latent, latent), "code", slope=SLOPE), axis=1, keepdims=True)
        coarse = keras.layers.Dense(latent, activation="relu", name="coarse_1")(code)
        coarse = keras.layers.Dense(3 * num_query, dtype=coordinate_dtype(), name="coarse_2")(coarse)
        coarse = ops.reshape(coarse, (-1, num_query, 3))
        q = mlp([code, coarse], (latent, latent, width), "query", norm=False, slope=SLOPE)
        near = Neighbors(NEAREST)([coarse, coarse]), Neighbors(NEAREST)([coarse, places])
        for i in range(depth[1]):
            q = _decoder_block(q, x, heads, f"decoder_{i}", (None, None) if i else near)
        # Patches: a grid folded twice around every query's place.
        code = ops.max(mlp(q, (latent, latent), "patch_code", slope=SLOPE), axis=1, keepdims=True)
        feature = ops.expand_dims(JointDense(width, name="patch")([code, q, coarse]), 2)
        # Axes: cloud, query, node of its patch, channels.
        grid = ops.expand_dims(FoldingGrid(grid_size, 1.0, name="grid")(partial), 1)
        widths = (folding, max(folding // 2, 1), 3)
        folded = mlp([grid, feature], widths, "fold_a", coordinates=True)
        offset = mlp([folded, feature], widths, "fold_b", coordinates=True)
        fine = ops.reshape(ops.expand_dims(coarse, 2) + offset, (-1, num_query * grid_size**2, 3))
        seen = GatherPoints()([partial, FarthestPoints(num_query)(partial)])
        stages = ops.concatenate([coarse, seen], axis=1), ops.concatenate([fine, partial], axis=1)

        super().__init__(partial, stages, **kwargs)
        self.num_query = num_query
        self.grid_size = grid_size
        self.centers = centers
        self.width = width
        self.heads = heads
        self.depth = depth
        self.latent = latent
        self.folding = folding
        draw_as_pytorch(self)
        self._draw_transformer()

    def _draw_transformer(self) -> None:
        """The release's own first weights: its linear layers with deviation 0.02, its convolutions by Glorot's rule."""
        table = self.official_weights().items()
        names = {name for module, name in table if name and module.startswith("base_model.")}
        for layer in weighted_layers(self, names):
            if layer.name.startswith(CONVOLUTIONS):
                draw_normal(layer, math.sqrt(2 / sum(layer.kernel.shape)))
            elif not layer.name.startswith("group_"):
                draw_normal(layer, DEVIATION)

    def official_weights(self) -> dict[str, str | None]:
        """Modules of `models/PoinTr.py` and `models/Transformer.py` in the authors' repository."""
        names: dict[str, str | None] = {"base_model.grouper.input_trans": "group_0", "reduce_map": "patch"}
        for i in range(1, 1 + len(GROUPER)):
            layer = f"base_model.grouper.layer{i}"
            names |= {f"{layer}.0": f"group_{i}", f"{layer}.1": f"group_{i}_norm"}
        for official, name in (("pos_embed", "position"), ("input_proj", "proxy"), ("increase_dim", "code")):
            names |= mlp_names(f"base_model.{official}", name, 2)
        names |= mlp_names("base_model.coarse_pred", "coarse", 2, norm=False)
        names |= mlp_names("base_model.mlp_query", "query", 3, norm=False)
        names |= mlp_names("increase_dim", "patch_code", 2)
        names |= mlp_names("foldingnet.folding1", "fold_a", 3) | mlp_names("foldingnet.folding2", "fold_b", 3)
        for blocks, count, parts in (("encoder", self.depth[0], ENCODER), ("decoder", self.depth[1], DECODER)):
            for i in range(count):
                for module, part in parts.items():
                    unused = i > 0 and part.endswith(("edges", "merge"))
                    names[f"base_model.{blocks}.{i}.{module}"] = None if unused else f"{blocks}_{i}_{part}"
        return names


ENCODER = {
    "norm1": "norm_1",
    "attn.qkv": "self_in",
    "attn.proj": "self_out",
    "knn_map.0": "self_edges",
    "merge_map": "self_merge",
    "norm2": "norm_2",
    "mlp.fc1": "mlp_1",
    "mlp.fc2": "mlp_2",
}
"""Modules of an official encoder block, and what our layers' names end with."""
DECODER = {
    **{module.replace("attn.", "self_attn."): part for module, part in ENCODER.items()},
    "norm_q": "norm_query",
    "norm_v": "norm_value",
    "attn.q_map": "cross_query",
    "attn.k_map": "cross_key",
    "attn.v_map": "cross_value",
    "attn.proj": "cross_out",
    "knn_map_cross.0": "cross_edges",
    "merge_map_cross": "cross_merge",
}
"""The same for a decoder block."""


def _check(num_query: int, centers: tuple[int, ...], num_input: int, width: int, heads: int) -> None:
    """Refuse sizes that leave fewer points than are sampled or looked at."""
    if not num_input >= centers[0] >= centers[1] >= NEAREST or centers[0] < GROUP:
        raise ValueError(
            f"centers must fall from num_input ({num_input}), the first at least {GROUP} and the last at least "
            f"{NEAREST}, got {centers}"
        )
    if not NEAREST <= num_query <= num_input:
        raise ValueError(f"num_query must lie between {NEAREST} and num_input ({num_input}), got {num_query}")
    if width % heads:
        raise ValueError(f"heads must divide width ({width}), got {heads}")


def _grouper(partial: Tensor, centers: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Places `(B, centers[1], 3)` and features `(B, centers[1], 128)` of the partial cloud's proxies."""
    points, x = partial, keras.layers.Dense(8, name="group_0")(partial)
    for i, channels in enumerate(GROUPER):
        chosen, around = points, x
        if i % 2:
            index = FarthestPoints(centers[i // 2])(points)
            chosen, around = GatherPoints()([points, index]), GatherPoints()([x, index])
        index = Neighbors(GROUP)([chosen, points])
        x = EdgeDense(channels, use_bias=False, name=f"group_{i + 1}")([index, around, x])
        x = keras.layers.GroupNormalization(4, epsilon=1e-5, name=f"group_{i + 1}_norm")(x)
        points, x = chosen, ops.max(ops.leaky_relu(x, SLOPE), axis=2)
    return points, x


def _encoder_block(x: Tensor, heads: int, name: str, near: Tensor | None) -> Tensor:
    """Self-attention and a small network, each added to its input; `near` adds the neighbors' branch."""
    x = x + _self_attention(_norm(x, f"{name}_norm_1"), heads, name, near)
    return _with_mlp(x, name)


def _decoder_block(q: Tensor, x: Tensor, heads: int, name: str, near: tuple[Tensor | None, ...]) -> Tensor:
    """As an encoder block of the queries, which also attend to the proxies x."""
    q = q + _self_attention(_norm(q, f"{name}_norm_1"), heads, name, near[0])
    query, value = _norm(q, f"{name}_norm_query"), _norm(x, f"{name}_norm_value")
    parts = (("query", query), ("key", value), ("value", value))
    parts = (keras.layers.Dense(q.shape[-1], use_bias=False, name=f"{name}_cross_{k}")(v) for k, v in parts)
    seen = keras.layers.Dense(q.shape[-1], name=f"{name}_cross_out")(attend(*parts, heads=heads))
    return _with_mlp(q + _with_neighbors(seen, query, value, f"{name}_cross", near[1]), name)


def _self_attention(x: Tensor, heads: int, name: str, near: Tensor | None) -> Tensor:
    parts = keras.layers.Dense(3 * x.shape[-1], use_bias=False, name=f"{name}_self_in")(x)
    seen = keras.layers.Dense(x.shape[-1], name=f"{name}_self_out")(attend(*ops.split(parts, 3, axis=-1), heads=heads))
    return _with_neighbors(seen, x, x, f"{name}_self", near)


def _with_neighbors(seen: Tensor, query: Tensor, value: Tensor, name: str, near: Tensor | None) -> Tensor:
    """What attention saw, merged with what the nearest points say; `seen` itself where `near` is None."""
    if near is None:
        return seen
    edges = EdgeDense(seen.shape[-1], name=f"{name}_edges")([near, query, value])
    # The leaky ReLU rises, so that it commutes with the maximum.
    edges = ops.leaky_relu(ops.max(edges, axis=2), SLOPE)
    return JointDense(seen.shape[-1], name=f"{name}_merge")([seen, edges])


def _with_mlp(x: Tensor, name: str) -> Tensor:
    """`x` and a network of one hidden layer on it; the sum is the block's output and bears its name."""
    hidden = keras.layers.Dense(2 * x.shape[-1], name=f"{name}_mlp_1")(_norm(x, f"{name}_norm_2"))
    hidden = keras.layers.Dense(x.shape[-1], name=f"{name}_mlp_2")(ops.gelu(hidden, approximate=False))
    return keras.layers.Add(name=name)([x, hidden])


def _norm(x: Tensor, name: str) -> Tensor:
    return keras.layers.LayerNormalization(epsilon=1e-5, name=name)(x)
