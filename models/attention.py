"""Attention between neighbouring points."""

import keras
from keras import ops

from keras_wcd.models.grouping import GatherPoints, Neighbors
from keras_wcd.models.layers import mlp, mlp_names
from keras_wcd.types import Tensor


def vector_attention(x: Tensor, points: Tensor, name: str, *, width: int = 64, neighbors: int = 16) -> Tensor:
    r"""A residual block of the Point Transformer's vector attention (Zhao et al., ICCV 2021).

    $$y_i = x_i + \mathrm{end}\Bigl(\sum_k \mathrm{softmax}_k\bigl(\gamma(q_i - k_k + \delta_{ik})\bigr)
    \odot (v_i + \delta_{ik})\Bigr), \qquad \delta_{ik} = \theta(p_i - p_k)$$

    over the nearest neighbours k of point i. The value is that of the point itself, as in the released
    PMP-Net++ and SnowflakeNet; the paper has the neighbour's.

    Args:
        x: Features `(B, N, C)`.
        points: Their points `(B, N, 3)`.
        name: What the layers' names begin with.
        width: Channels of the attention.
        neighbors: Neighbours per point.

    Returns:
        Features `(B, N, C)`.
    """
    index = Neighbors(neighbors)([points, points])
    start = keras.layers.Dense(width, name=f"{name}_start")(x)
    key, query, value = (keras.layers.Dense(width, name=f"{name}_{part}")(start) for part in ("key", "query", "value"))
    offset = ops.expand_dims(points, 2) - GatherPoints()([points, index])
    position = mlp(offset, (width, width), f"{name}_position")  # (B, N, K, width)
    relation = ops.expand_dims(query, 2) - GatherPoints()([key, index])
    weight = ops.softmax(mlp(relation + position, (4 * width, width), f"{name}_attention"), axis=2)
    # The weights of a point sum to 1, so that its own value stands outside the sum.
    gathered = value + ops.sum(weight * position, axis=2)
    return x + keras.layers.Dense(x.shape[-1], name=f"{name}_end")(gathered)


def vector_attention_names(official: str, name: str) -> dict[str, str]:
    """Where the official block keeps its weights: its modules -> ours."""
    parts = {f"conv_{part}": part for part in ("key", "query", "value")}
    parts |= {"linear_start": "start", "linear_end": "end"}
    return {
        **{f"{official}.{module}": f"{name}_{part}" for module, part in parts.items()},
        **mlp_names(f"{official}.pos_mlp", f"{name}_position", 2),
        **mlp_names(f"{official}.attn_mlp", f"{name}_attention", 2),
    }
