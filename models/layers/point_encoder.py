"""The encoder and the seeds that SnowflakeNet and SeedFormer share: a few points with features, a code, a cloud."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_wcd.models.layers.grouping import FarthestPoints, GatherPoints, GroupedDense, Neighbors
from keras_wcd.models.layers.mlp import mlp, mlp_names
from keras_wcd.models.layers.vector_attention import (
    VectorAttention,
    attention_names,
    dense_names,
    residual_mlp,
    residual_mlp_names,
)
from keras_wcd.types import Tensor

GROUP = 16
"""Neighbors of the set abstractions."""


def farthest(points: Tensor, count: int, name: str) -> Tensor:
    """The `count` farthest points `(B, count, 3)` of a cloud."""
    return GatherPoints()([points, FarthestPoints(count, name=f"{name}_points")(points)])


def surroundings(points: Tensor, neighbors: int, name: str) -> tuple[Tensor, Tensor]:
    """What attention among points needs to know of where they are: p_i - p_j `(B, N, K, 3)` and j `(B, N, K)`."""
    index = Neighbors(neighbors, name=f"{name}_neighbors")([points, points])
    return ops.expand_dims(points, 2) - GatherPoints()([points, index]), index


def set_abstraction(
    points: Tensor, features: Tensor, count: int, widths: Sequence[int], name: str
) -> tuple[Tensor, Tensor]:
    """The `count` farthest points `(B, S, 3)` and features `(B, S, widths[1])` of what lies around each."""
    centers = farthest(points, count, name)
    index = Neighbors(GROUP, name=f"{name}_neighbors")([centers, points])
    x = GroupedDense(widths[0], name=f"{name}_1")([index, centers, points, features])
    x = keras.layers.Dense(widths[1], name=f"{name}_2")(ops.relu(x))
    return centers, ops.max(x, axis=2)


def point_transformer(
    x: Tensor, points: Tensor, attention: int, neighbors: int, name: str, *, own_value: bool
) -> Tensor:
    """A residual block of attention among the nearest points: features `(B, N, C)` -> `(B, N, C)`.

    With `own_value` the value is that of the point itself and not its neighbor's, as SnowflakeNet has it.
    """
    start = keras.layers.Dense(attention, name=f"{name}_start")(x)
    query, key, value = (keras.layers.Dense(attention, name=f"{name}_{p}")(start) for p in ("query", "key", "value"))
    around = surroundings(points, neighbors, name)
    attend = VectorAttention(attention, name=f"{name}_attention")
    found = attend([*around, query, key]) + value if own_value else attend([*around, query, key, value])
    return x + keras.layers.Dense(x.shape[-1], name=f"{name}_end")(found)


def point_encoder(
    partial: Tensor, patches: Sequence[int], width: int, latent: int, attention: tuple[int, int], *, own_value: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Two set abstractions, each with a `point_transformer` behind it, and a code.

    Args:
        partial: Clouds `(B, N, 3)`.
        patches: Points of the two levels.
        width: Channels of the first level; the second has twice as many.
        latent: Length L of the code.
        attention: Channels of the attention, and neighbors.
        own_value: As of `point_transformer`.

    Returns:
        The points of the second level `(B, S, 3)`, their features `(B, S, 2 * width)`, the code `(B, 1, L)`.
    """
    points, x = set_abstraction(partial, partial, patches[0], (width // 2, width), "group_1")
    x = point_transformer(x, points, *attention, "transformer_1", own_value=own_value)
    points, x = set_abstraction(points, x, patches[1], (width, 2 * width), "group_2")
    x = point_transformer(x, points, *attention, "transformer_2", own_value=own_value)
    code = mlp([points, x], (4 * width, latent), "group_3", norm=False)
    return points, x, ops.max(code, axis=1, keepdims=True)


def point_encoder_names(official: str) -> dict[str, str | None]:
    """Where PyTorch keeps the weights of a `point_encoder`; normalizations that it stores are not in use."""
    table = {}
    for i in (1, 2, 3):
        for j in (0, 1):
            module = f"{official}.sa_module_{i}.mlp_conv.{j}"
            table |= {f"{module}.conv": f"group_{i}_{j + 1}", f"{module}.bn": None}
    for i in (1, 2):
        module, name = f"{official}.transformer_{i}", f"transformer_{i}"
        table |= {f"{module}.linear_{part}": f"{name}_{part}" for part in ("start", "end")}
        table |= dense_names(module, name, ("query", "key", "value"))
        table |= attention_names(module, f"{name}_attention")
    return table


def seed_cloud(x: Tensor, code: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The first cloud `(B, M, 3)` and its features `(B, M, width)`, from features `(B, M, C)` and the code."""
    x = residual_mlp([x, code], width, width, "seed_a")
    x = residual_mlp(x, width // 2, width, "seed_b")
    x = residual_mlp([x, code], width, width, "seed_c")
    return mlp(x, (width // 2, 3), "seed", norm=False, coordinates=True), x


def seed_cloud_names(official: str) -> dict[str, str]:
    """Where PyTorch keeps the weights of a `seed_cloud`."""
    table = mlp_names(f"{official}.mlp_4", "seed", 2, norm=False)
    for i, letter in enumerate("abc", start=1):
        table |= residual_mlp_names(f"{official}.mlp_{i}", f"seed_{letter}")
    return table


def moved(points: Tensor, features: Tensor, hidden: int, name: str) -> tuple[Tensor, Tensor]:
    """The children of points `(B, N, 3)` that features `(B, N, U, C)` tell where to go, by less than 1 along an axis.

    Returns:
        The children `(B, N * U, 3)`, those of the first point first, and their features `(B, N * U, C)`.
    """
    delta = mlp(ops.relu(features), (hidden, 3), f"{name}_delta", norm=False, coordinates=True)
    children = ops.expand_dims(points, 2) + ops.tanh(delta)
    count = points.shape[1] * features.shape[2]
    return ops.reshape(children, (-1, count, 3)), ops.reshape(features, (-1, count, features.shape[3]))
