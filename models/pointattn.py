"""PointAttN: You Only Need Attention for Point Cloud Completion (Wang et al., AAAI 2024)."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wcd.models.arguments import positive, widths_of
from keras_wcd.models.base import CompletionModel
from keras_wcd.models.layers.attention import attend
from keras_wcd.models.layers.grouping import FarthestPoints, GatherPoints
from keras_wcd.models.layers.mlp import JointDense, coordinate_dtype
from keras_wcd.models.layers.splitting import Splitting
from keras_wcd.models.weights.initialization import clear_bias, draw_as_pytorch, draw_uniform, fan_in, weighted_layers
from keras_wcd.types import Tensor

LEVELS = 3
"""Levels of the encoder; the first keeps a quarter of the points, each further one half of those before it."""
PARTS = ("query", "key", "value")


@keras.saving.register_keras_serializable("keras_wcd")
class PointAttN(CompletionModel):
    """Attention over whole clouds takes the place of neighborhoods, from the encoder to the last refinement.

    Weight-compatible with the released network. Stages: coarse `(B, num_coarse, 3)`, then the
    `num_merged` farthest points of partial and coarse cloud together, refined to `up_factors[0]` times as many
    and again to `up_factors[1]` times as many. The defaults are the PCN configuration (256, 2048, 16384 points).
    No configuration for ShapeNet-55 was published; `up_factors=(4, 4)` gives its 8192 points.

    Args:
        num_input: Points in, N >= 16.
        num_coarse: Points of the coarse stage, an even number.
        num_merged: Points that the refinements start from.
        up_factors: Points made of each one by the two refinements.
        width: Channels of the narrowest layers; the others are multiples. A multiple of `heads`.
        heads: Heads of every attention.
        hidden: Width of the hidden layer in each attention block.
        **kwargs: As of `CompletionModel`.
    """

    def __init__(
        self,
        num_input: int = 2048,
        num_coarse: int = 256,
        num_merged: int = 512,
        up_factors: Sequence[int] = (4, 8),
        width: int = 64,
        heads: int = 4,
        hidden: int = 1024,
        **kwargs: Any,
    ):
        num_input, num_coarse = positive(num_input, "num_input"), positive(num_coarse, "num_coarse")
        num_merged, up_factors = positive(num_merged, "num_merged"), widths_of(up_factors, 2, "up_factors")
        width, heads, hidden = positive(width, "width"), positive(heads, "heads"), positive(hidden, "hidden")
        _check(num_input, num_coarse, num_merged, width, heads)

        partial = keras.Input((num_input, 3), name="partial")
        sizes = {"heads": heads, "hidden": hidden}
        code = _encode(partial, width, sizes)
        coarse = _seeds(code, num_coarse, width, sizes)
        # The partial cloud comes first: its first point is where the sampling starts.
        points = _farthest(ops.concatenate([partial, coarse], axis=1), num_merged, "merged")
        stages = [coarse]
        for i, factor in enumerate(up_factors, start=1):
            points = _refine(points, code, factor, width, sizes, f"refine{i}")
            stages.append(points)

        super().__init__(partial, stages, num_input=num_input, **kwargs)
        self.num_coarse = num_coarse
        self.num_merged = num_merged
        self.up_factors = up_factors
        self.width = width
        self.heads = heads
        self.hidden = hidden
        draw_as_pytorch(self)
        # PyTorch's attention draws its projections by Glorot's rule, as one matrix of 3 * C columns.
        for layer in weighted_layers(self):
            if layer.name.endswith(tuple(f"_{part}" for part in PARTS)):
                draw_uniform(layer, math.sqrt(6 / (4 * fan_in(layer))))
            elif layer.name.endswith("_out"):
                clear_bias(layer)

    def adapt_official(self, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """PyTorch packs the projections of queries, keys and values into one array."""
        adapted = {}
        for name, value in weights.items():
            module, packed, kind = name.rpartition(".in_proj_")
            if packed and len(value) % 3 == 0:
                parts = zip(PARTS, np.split(value, 3), strict=True)
                adapted |= {f"{module}.{part}.{kind}": one for part, one in parts}
            else:
                adapted[name] = value
        return adapted

    def official_weights(self) -> dict[str, str | None]:
        """Modules of the released state dict, as its names tell."""
        names: dict[str, str | None] = {"encoder.conv1": "embed_1", "encoder.conv2": "embed_2"}
        for level in range(1, LEVELS + 1):
            names |= _block_names(f"encoder.sa{level}", f"down{level}_cross")
            names |= _block_names(f"encoder.sa{level}_1", f"down{level}_self")
        for i in range(LEVELS):
            names |= _block_names(f"encoder.sa{i}_d", f"seeds_{i + 1}")
        for official, ours in (("ps_adj", "code"), ("ps", "split"), ("ps_refuse", "widen")):
            names[f"encoder.{official}"] = f"seeds_{ours}"
        names |= {"encoder.conv_out1": "coarse_1", "encoder.conv_out": "coarse_2"}
        for official, ours in (("refine", "refine1"), ("refine1", "refine2")):
            for i in (1, 2, 3):
                names |= _block_names(f"{official}.sa{i}", f"{ours}_{i}")
            names |= {f"{official}.{theirs}": f"{ours}_{name}" for theirs, name in _REFINEMENT.items()}
        return names


_REFINEMENT = {
    "conv_x": "embed_1",
    "conv_x1": "embed_2",
    "conv_11": "code_1",
    "conv_1": "code_2",
    "conv_ps": "children",
    "conv_delta": "delta",
    "conv_out1": "offset_1",
    "conv_out": "offset_2",
}
_BLOCK = {
    "input_proj": "project",
    "norm13": "norm_1",
    **{f"multihead_attn1.{part}": part for part in PARTS},
    "multihead_attn1.out_proj": "out",
    "norm12": "norm_2",
    "linear11": "hidden_1",
    "linear12": "hidden_2",
}


def _block_names(official: str, name: str) -> dict[str, str]:
    return {f"{official}.{module}": f"{name}_{part}" for module, part in _BLOCK.items()}


def _check(num_input: int, num_coarse: int, num_merged: int, width: int, heads: int) -> None:
    if num_input < 2 ** (LEVELS + 1):
        raise ValueError(f"num_input must be at least {2 ** (LEVELS + 1)}, got {num_input}")
    if num_coarse % 2:
        raise ValueError(f"num_coarse must be even, got {num_coarse}")
    if num_merged > num_input + num_coarse:
        raise ValueError(f"num_merged must not exceed num_input + num_coarse, got {num_merged}")
    if width % heads:
        raise ValueError(f"width must be a multiple of heads ({heads}), got {width}")


def _encode(points: Tensor, width: int, sizes: dict) -> Tensor:
    """Geometric details perception: a cloud `(B, N, 3)` -> its code `(B, 1, 8 * width)`.

    At each level the farthest points attend to all points of the level before, then to each other.
    """
    x = keras.layers.Dense(width, name="embed_1")(points)
    x = keras.layers.Dense(width, name="embed_2")(_gelu(x))
    count = points.shape[1] // 2
    for level in range(1, LEVELS + 1):
        count //= 2
        index = FarthestPoints(count, rule="standard")(points)
        points, kept = GatherPoints()([points, index]), GatherPoints()([x, index])
        seen = _block(kept, x, kept.shape[-1], f"down{level}_cross", **sizes)
        x = _block([kept, seen], None, 2 * kept.shape[-1], f"down{level}_self", **sizes)
    return keras.layers.GlobalMaxPooling1D(keepdims=True, name="code")(x)


def _seeds(code: Tensor, count: int, width: int, sizes: dict) -> Tensor:
    """The coarse cloud `(B, count, 3)` from the code `(B, 1, C)`."""
    split = Splitting(width, count // 2, name="seeds_split")
    x = _gelu(split(_gelu(keras.layers.Dense(8 * width, name="seeds_code")(code))))
    x = _gelu(keras.layers.Dense(8 * width, name="seeds_widen")(ops.reshape(x, (-1, count // 2, width))))
    for i in range(1, LEVELS + 1):
        x = _block(x, None, 8 * width, f"seeds_{i}", **sizes)
    x = ops.reshape(_children(x, 2), (-1, count, 4 * width))
    return _coordinates(x, width, "coarse")


def _refine(points: Tensor, code: Tensor, factor: int, width: int, sizes: dict, name: str) -> Tensor:
    """Self-feature augment: clouds `(B, M, 3)` and their code -> `(B, factor * M, 3)`, child after child."""
    x = keras.layers.Dense(width, name=f"{name}_embed_1")(points)
    x = keras.layers.Dense(2 * width, name=f"{name}_embed_2")(_gelu(x))
    code = keras.layers.Dense(4 * width, name=f"{name}_code_1")(code)
    code = keras.layers.Dense(2 * width, name=f"{name}_code_2")(_gelu(code))
    y = [x, code]
    for i, channels in enumerate((8 * width, 8 * width, 2 * width * factor), start=1):
        y = _block(y, None, channels, f"{name}_{i}", **sizes)
    children = _children(keras.layers.Dense(2 * width * factor, name=f"{name}_children")(y), factor)
    delta = JointDense(2 * width, name=f"{name}_delta")([children, ops.expand_dims(x, 1)])
    moved = _coordinates(delta, width, f"{name}_offset") + ops.expand_dims(points, 1)  # (B, factor, M, 3)
    return ops.reshape(moved, (-1, factor * points.shape[1], 3))


def _block(
    x: Tensor | list[Tensor], source: Tensor | None, width: int, name: str, *, heads: int, hidden: int
) -> Tensor:
    r"""A transformer block in which `x` attends to `source`, or to itself where that is None.

    $$s = N_1(P x), \qquad s' = N_2(s + \mathrm{MHA}(s, N_1(P\,\mathrm{source}))), \qquad y = s' + F(s')$$
    """
    project = (JointDense if isinstance(x, list) else keras.layers.Dense)(width, name=f"{name}_project")
    first, second = (keras.layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm_{i}") for i in (1, 2))
    s = first(project(x))
    source = s if source is None else first(project(source))
    parts = zip(PARTS, (s, source, source), strict=True)
    seen = attend(*(keras.layers.Dense(width, name=f"{name}_{part}")(value) for part, value in parts), heads=heads)
    s = second(s + keras.layers.Dense(width, name=f"{name}_out")(seen))
    y = _gelu(keras.layers.Dense(hidden, name=f"{name}_hidden_1")(s))
    return s + keras.layers.Dense(width, name=f"{name}_hidden_2")(y)


def _children(x: Tensor, factor: int) -> Tensor:
    """Features `(B, M, C * factor)` -> of the children `(B, factor, M, C)`; a child's channels lie `factor` apart."""
    x = ops.reshape(x, (-1, x.shape[1], x.shape[-1] // factor, factor))
    return ops.transpose(x, (0, 3, 1, 2))


def _coordinates(x: Tensor, width: int, name: str) -> Tensor:
    hidden = _gelu(keras.layers.Dense(width, name=f"{name}_1")(x))
    return keras.layers.Dense(3, name=f"{name}_2", dtype=coordinate_dtype())(hidden)


def _farthest(points: Tensor, count: int, name: str) -> Tensor:
    return GatherPoints(name=name)([points, FarthestPoints(count, rule="standard")(points)])


def _gelu(x: Tensor) -> Tensor:
    return ops.gelu(x, approximate=False)
