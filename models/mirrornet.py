"""MirrorNet: our compact network, which keeps what was measured and mirrors it; the one that ships trained."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wcd.models.arguments import positive
from keras_wcd.models.base import CompletionModel
from keras_wcd.models.layers.attention import attend
from keras_wcd.models.layers.grouping import FarthestPoints, GatherPoints, Neighbors
from keras_wcd.models.layers.mlp import JointDense, coordinate_dtype
from keras_wcd.models.layers.uncast import UncastLayer
from keras_wcd.types import Tensor

CHILDREN = 4
NEIGHBORS = 16
STEP = 3
"""Children of a measured center start from every third of its neighbors: 2048 points over 192 are eleven each."""


@keras.saving.register_keras_serializable("keras_wcd")
class Reflection(UncastLayer):
    r"""Points on the other side of a plane near z = 0, of which a code tells where it lies.

    $$p' = p - 2 (n \cdot p - c) n, \qquad n = (a, b, 1) / |(a, b, 1)|$$

    Args:
        **kwargs: As of `keras.layers.Layer`.
    """

    def call(self, inputs: list[Tensor]) -> Tensor:
        """Points `(B, ..., 3)` and the plane's `(a, b, c)` `(B, 1, 3)` -> `(B, ..., 3)`."""
        points, plane = inputs
        plane = ops.cast(plane, points.dtype)
        while len(plane.shape) < len(points.shape):
            plane = ops.expand_dims(plane, 1)
        normal = ops.concatenate([plane[..., :2], ops.ones_like(plane[..., 2:])], axis=-1)
        a, b, one = (ops.square(normal[..., i : i + 1]) for i in range(3))
        # Summed one by one: of a sum along the axis LiteRT makes an operator that its GPU delegate does not take.
        normal = normal * ops.rsqrt(a + b + one)
        height = ops.sum(points * normal, axis=-1, keepdims=True) - plane[..., 2:]
        return points - 2 * height * normal

    def compute_output_shape(self, input_shape: list[tuple]) -> tuple:
        """That of the points."""
        return input_shape[0]


@keras.saving.register_keras_serializable("keras_wcd")
class MirrorNet(CompletionModel):
    """Points of the scan, their mirror images, and points that a code of the scan proposes; each moves a little.

    Farthest points of the scan become tokens (the largest feature of their neighborhoods); the tokens' code says
    where `num_queries` points are missing and where the plane lies that most things are symmetric to. Seeds look at
    some of the others by attention, move, and each becomes four points: those of a measured seed start from measured
    points, so that what was seen stays as it was. Stages: seeds `(B, num_queries + 2 * num_centers, 3)` and four
    times as many points; the defaults give 512 and 2048.

    The network is ours, made for PCN's frame: z is left to right.

    Args:
        num_input: Points in, N >= `num_centers`.
        num_queries: Points proposed by the code.
        num_centers: Points of the scan that become seeds.
        num_keys: Seeds of each kind that all seeds look at.
        width: Channels; a multiple of `heads`.
        blocks: Attention blocks.
        heads: Heads of every attention.
        symmetric: Whether seeds are mirrored; False proposes `num_centers` more points instead.
        **kwargs: As of `CompletionModel`.
    """

    def __init__(
        self,
        num_input: int = 2048,
        num_queries: int = 128,
        num_centers: int = 192,
        num_keys: int = 64,
        width: int = 128,
        blocks: int = 2,
        heads: int = 4,
        *,
        symmetric: bool = True,
        **kwargs: Any,
    ):
        sizes = {"num_input": num_input, "num_queries": num_queries, "num_centers": num_centers, "num_keys": num_keys}
        sizes |= {"width": width, "blocks": blocks, "heads": heads}
        for name, value in sizes.items():
            positive(value, name)
        if width % heads:
            raise ValueError(f"width must be a multiple of heads ({heads}), got {width}")
        if num_keys > min(num_queries, num_centers) or num_centers > num_input:
            raise ValueError(
                f"num_keys <= num_queries, num_keys <= num_centers <= num_input must hold, got {num_keys}, "
                f"{num_queries}, {num_centers}, {num_input}"
            )

        partial = keras.Input((num_input, 3), name="partial")
        centers, around, tokens = _tokens(partial, num_centers, width)
        code = _code(tokens, width)
        seen = (centers, around, tokens)
        proposed = _proposed(code, num_queries + (0 if symmetric else num_centers), width, "queries")
        kinds = [proposed, seen, _mirrored(seen, code, width)] if symmetric else [proposed, seen]
        points = ops.concatenate([kind[0] for kind in kinds], axis=1)
        children = ops.concatenate([kind[1] for kind in kinds], axis=1)
        x = ops.concatenate([kind[2] for kind in kinds], axis=1)
        x = x + keras.layers.Dense(width, name="position")(points)
        keys = _keys(kinds, num_keys)
        for i in range(1, blocks + 1):
            x = _block(x, keys, width, heads, f"block{i}")
        x = keras.layers.LayerNormalization(epsilon=1e-5, name="seed_norm")(x)
        move = _small(x, 3, width, "move")
        spread = ops.reshape(_small(x, 3 * CHILDREN, width, "spread"), (-1, points.shape[1], CHILDREN, 3))
        fine = children + ops.expand_dims(move, 2) + spread
        stages = (points + move, ops.reshape(fine, (-1, CHILDREN * points.shape[1], 3)))

        super().__init__(partial, stages, num_input=num_input, **kwargs)
        self.num_queries = num_queries
        self.num_centers = num_centers
        self.num_keys = num_keys
        self.width = width
        self.blocks = blocks
        self.heads = heads
        self.symmetric = symmetric


def _tokens(partial: Tensor, count: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Farthest points `(B, S, 3)`, the measured points near each `(B, S, 4, 3)`, and their features `(B, S, C)`."""
    gather = GatherPoints(name="gather")
    centers = gather([partial, FarthestPoints(count, rule="standard", name="farthest")(partial)])
    index = Neighbors(NEIGHBORS, name="neighbors")([centers, partial])
    group = gather([partial, index])
    # Features see distances of some 0.05 as numbers of the order of 1.
    x = keras.layers.Dense(width // 4, activation="relu", name="local_1")(20 * (group - ops.expand_dims(centers, 2)))
    x = keras.layers.Dense(width // 2, activation="relu", name="local_2")(x)
    x = JointDense(width, name="token_1")([ops.max(x, axis=2), centers])
    around = gather([partial, index[:, :, : CHILDREN * STEP : STEP]])
    return centers, around, keras.layers.Dense(width, name="token_2")(ops.relu(x))


def _code(tokens: Tensor, width: int) -> Tensor:
    """The code of the whole scan `(B, 1, 2 C)`."""
    x = keras.layers.Dense(2 * width, activation="relu", name="code_1")(tokens)
    shared = keras.layers.Dense(2 * width, name="code_2")(ops.max(x, axis=1, keepdims=True))
    x = JointDense(3 * width, name="code_3")([x, shared])
    return keras.layers.Dense(2 * width, activation="relu", name="code_4")(ops.max(ops.relu(x), axis=1, keepdims=True))


def _proposed(code: Tensor, count: int, width: int, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Points `(B, Q, 3)` that the code proposes, four times each, and their features `(B, Q, C)`."""
    x = keras.layers.Dense(2 * width, activation="relu", name=f"{name}_1")(code)
    points = keras.layers.Dense(3 * count, name=f"{name}_2", dtype=coordinate_dtype())(x)
    points = ops.reshape(points, (-1, count, 3))
    children = ops.tile(ops.expand_dims(points, 2), (1, 1, CHILDREN, 1))
    features = ops.reshape(keras.layers.Dense(8 * count, name=f"{name}_3")(x), (-1, count, 8))
    return points, children, keras.layers.Dense(width, name=f"{name}_4")(ops.relu(features))


def _mirrored(seen: tuple[Tensor, Tensor, Tensor], code: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mirror images of points, of the points near them, and their features."""
    centers, around, tokens = seen
    plane = keras.layers.Dense(3, kernel_initializer="zeros", name="plane", dtype=coordinate_dtype())(code)
    reflect = Reflection(name="reflect")
    features = keras.layers.Dense(width, name="mirrored")(tokens)
    return reflect([centers, plane]), reflect([around, plane]), features


def _keys(kinds: list[tuple[Tensor, Tensor, Tensor]], count: int) -> list[slice]:
    """Rows of the seeds that all look at: the first ones of each kind; of the scan those are farthest points."""
    starts = np.cumsum([0, *(kind[0].shape[1] for kind in kinds[:-1])])
    return [slice(int(start), int(start) + count) for start in starts]


def _block(x: Tensor, keys: list[slice], width: int, heads: int, name: str) -> Tensor:
    """A transformer block: all seeds look at some of them."""
    y = keras.layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm_1")(x)
    source = ops.concatenate([y[:, rows] for rows in keys], axis=1)
    dense = {part: keras.layers.Dense(width, name=f"{name}_{part}") for part in ("query", "key", "value", "out")}
    x = x + dense["out"](attend(dense["query"](y), dense["key"](source), dense["value"](source), heads))
    y = keras.layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm_2")(x)
    y = keras.layers.Dense(2 * width, activation="relu", name=f"{name}_hidden_1")(y)
    return x + keras.layers.Dense(width, name=f"{name}_hidden_2")(y)


def _small(x: Tensor, channels: int, width: int, name: str) -> Tensor:
    """Offsets `(..., channels)` that start near nothing."""
    x = keras.layers.Dense(width, activation="relu", name=f"{name}_1")(x)
    small = keras.initializers.RandomNormal(stddev=0.01, seed=0)
    return keras.layers.Dense(channels, kernel_initializer=small, name=f"{name}_2", dtype=coordinate_dtype())(x)
