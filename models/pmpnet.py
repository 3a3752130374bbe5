"""PMP-Net: Point Moving Paths (Wen et al., CVPR 2021) and PMP-Net++ (Wen et al., TPAMI 2023)."""

from collections.abc import Sequence
from typing import Any, cast

import keras
from keras import ops

from keras_wcd.models.arguments import positive, widths_of
from keras_wcd.models.base import CompletionModel
from keras_wcd.models.layers.grouping import FarthestPoints, GatherPoints, GroupedDense, Neighbors, ThreeInterpolation
from keras_wcd.models.layers.mlp import JointDense, batch_norm, coordinate_dtype, mlp
from keras_wcd.models.layers.noise import PointNoise
from keras_wcd.models.layers.vector_attention import VectorAttention, attention_names, dense_names
from keras_wcd.models.weights.initialization import draw_as_pytorch
from keras_wcd.types import Tensor

RADII = (0.2, 0.4)
"""Of the balls around the points of the two coarser levels."""
GROUPED = 32
"""Points of a ball."""
ATTENDED = 16
"""Neighbors that attention sees."""
TAIL = 32
"""Channels of the noise that the displacements are made from."""
POINT_SCALE = 0.01
"""Standard deviation of the noise beside the points."""


@keras.saving.register_keras_serializable("keras_wcd")
class MovingCost(keras.layers.Layer):
    r"""Adds the loss $w \sum_k \operatorname{mean}_{b,i} \lVert \delta_{ki} \rVert^2$ of the displacements.

    Args:
        weight: The weight w.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, weight: float, **kwargs: Any):
        super().__init__(**{"dtype": coordinate_dtype(), **kwargs})
        self.weight = weight

    def call(self, moves: Sequence[Tensor]) -> Tensor:
        """Displacements `(B, N, 3)` of every step -> the last, unchanged."""
        squares = [ops.mean(ops.sum(ops.square(move), axis=-1)) for move in moves]
        self.add_loss(self.weight * sum(squares[1:], squares[0]))
        return moves[-1]

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument; the dtype is always float32."""
        config = {**super().get_config(), "weight": self.weight}
        config.pop("dtype")
        return config


@keras.saving.register_keras_serializable("keras_wcd")
class PMPNet(CompletionModel):
    """Every point of the partial cloud is moved in a few steps to where the whole shape is.

    Weight-compatible with the released networks: PMP-Net as trained on PCN's data, or PMP-Net++ (`plus=True`),
    which adds attention after each of the two groupings. Stages: the cloud after each step, `(B, num_input, 3)`
    each. The official size is 2048 points on every data set, so ShapeNet-55 has no configuration of its
    own; for 16384 points the authors join the answers to eight random samples of the partial cloud.

    The networks draw noise beside the points and beside the features that displacements are made from, also
    when they are tested. `noise` takes these draws, unit normal and `(B, channels, N)`, by their place among the
    release's draws: "3" (points) and "4", "6", "8" (features, by step), with `plus` also "5" and "7" (points of
    steps 2 and 3). Without it they are random in training and fixed at inference.

    Args:
        num_input: Points in and out.
        plus: PMP-Net++ in place of PMP-Net.
        samples: Points of the two coarser levels of each step.
        steps: Moving steps, S; displacements of step k are below $10^{1-k}$.
        width: Channels of the narrowest layers; all others are multiples.
        point_noise: Channels of noise beside the points (the first step's, all steps' with `plus`); 0 is PMP-Net
            as trained on Completion3D.
        moving_weight: Weight of the mean squared displacement, summed over steps, in the training loss. The
            release adds 1e-5/3 times its sum over a batch of 16 clouds to CD-L2: a weight of 0.109 here.
        seed: Of the noise at inference; None is no noise there.
        **kwargs: As of `CompletionModel`.
    """

    def __init__(
        self,
        num_input: int = 2048,
        plus: bool = False,
        samples: Sequence[int] = (512, 128),
        steps: int = 3,
        width: int = 64,
        point_noise: int = 3,
        moving_weight: float = 0.0,
        seed: int | None = 0,
        **kwargs: Any,
    ):
        num_input, samples = positive(num_input, "num_input"), widths_of(samples, 2, "samples")
        steps, width = positive(steps, "steps"), positive(width, "width")
        point_noise = positive(point_noise, "point_noise") if point_noise else 0
        if not num_input >= samples[0] >= samples[1]:
            raise ValueError(f"samples must not rise, nor exceed num_input ({num_input}), got {samples}")
        if not moving_weight >= 0:
            raise ValueError(f"moving_weight must be >= 0, got {moving_weight!r}")

        partial = keras.Input((num_input, 3), name="partial")
        points, memory, stages, moves, keys = partial, None, [], [], []
        for step in range(1, steps + 1):
            beside = None
            if point_noise and (plus or step == 1):
                keys.append(str(2 * step + 1))
                beside = PointNoise(point_noise, POINT_SCALE, num_input, keys[-1], seed)(points)
            keys.append(str(2 * step + 2))
            tail = PointNoise(TAIL, POINT_SCALE if plus else 1.0, num_input, keys[-1], seed)(points)
            x, memory = _features(points, beside, memory, f"step{step}", samples, width, plus)
            move = mlp([x, tail], (2 * width, width, 3), f"step{step}_move", coordinates=True)
            moves.append(ops.tanh(move) / 10 ** (step - 1))
            if step == steps and moving_weight:
                moves[-1] = MovingCost(moving_weight, name="moving_cost")(moves)
            points = points + moves[-1]
            stages.append(points)

        super().__init__(partial, stages, num_input=num_input, **kwargs)
        self.draw_keys = tuple(keys)
        self.plus = bool(plus)
        self.samples = samples
        self.steps = steps
        self.width = width
        self.point_noise = point_noise
        self.moving_weight = float(moving_weight)
        self.seed = seed
        draw_as_pytorch(self)

    def official_weights(self) -> dict[str, str | None]:
        """Modules of `models/model.py` in the release; the last convolution's normalization is never used."""
        names = {}
        for step in range(1, self.steps + 1):
            ours, theirs = f"step{step}", f"step_{step}"
            for level in (1, 2, 3):
                names |= _names(f"{theirs}.sa_module_{level}.mlp_conv", f"{ours}_down{level}", 3)
                names |= _names(f"{theirs}.fp_module_{level}.mlp_conv", f"{ours}_up{level}", 3 if level == 1 else 2)
                for gate in "zrh" if step > 1 else "":
                    names |= _pair(f"{theirs}.unit_{level}.conv_{gate}", f"{ours}_memory{level}_{gate}")
            for level in (1, 2) if self.plus else ():
                module, name = f"{theirs}.transformer_start_{level}", f"{ours}_attention{level}"
                names |= attention_names(module, name) | dense_names(module, name, ("key", "query", "value"))
                names |= {f"{module}.linear_{part}": f"{name}_{part}" for part in ("start", "end")}
            names |= _names(f"{theirs}.mlp_conv", f"{ours}_move", 3)
            names[f"{theirs}.mlp_conv.2.bn"] = None
        return names


def _features(
    points: Tensor,
    beside: Tensor | None,
    memory: dict | None,
    name: str,
    samples: tuple[int, ...],
    width: int,
    plus: bool,
) -> tuple[Tensor, dict]:
    """Features of the points `(B, N, 2 * width)`, and the features of each level as the next step's memory."""
    own = [points] if beside is None else [points, beside]
    levels = [(points, ops.concatenate([ops.cast(part, own[-1].dtype) for part in own], axis=-1))]
    for level, (count, radius) in enumerate(zip(samples, RADII, strict=True), start=1):
        centers, x = _group(*levels[-1], count, radius, width * level, f"{name}_down{level}")
        if plus:
            x = _attend(x, centers, width, f"{name}_attention{level}")
        levels.append((centers, x))
    x = _activated(list(levels[2]), (4 * width, 8 * width, 16 * width), f"{name}_down3")
    x = ops.max(x, axis=1, keepdims=True)

    states = {}
    # Official order of channels at each level: what comes from below, then the level's own.
    skips = {3: [levels[2][1]], 2: [levels[1][1]], 1: [points, *([points] if plus else own)]}
    for level, widths in ((3, (4, 4)), (2, (4, 2)), (1, (2, 2, 2))):
        if level < 3:
            x = ThreeInterpolation()([levels[level - 1][0], levels[level][0], x])
        x = _activated([x, *skips[level]], [width * w for w in widths], f"{name}_up{level}")
        if memory is not None:
            x = _remember(x, memory[level], f"{name}_memory{level}")
        states[level] = x
    return x, states


def _group(points: Tensor, features: Tensor, count: int, radius: float, width: int, name: str) -> tuple[Tensor, Tensor]:
    """Set abstraction: farthest points `(B, count, 3)` and the features `(B, count, 2 * width)` of their balls."""
    centers = GatherPoints()([points, FarthestPoints(count)(points)])
    index = Neighbors(GROUPED, radius)([centers, points])
    x = GroupedDense(width, name=f"{name}_1")([index, centers, points, features])
    x = ops.relu(batch_norm(f"{name}_1_norm")(x))
    return centers, ops.max(_activated(x, (width, 2 * width), name, first=2), axis=2)


def _attend(x: Tensor, points: Tensor, width: int, name: str) -> Tensor:
    """The residual block of PMP-Net++: vector attention whose value is the point's own, not the neighbor's."""
    index = Neighbors(ATTENDED)([points, points])
    offset = ops.expand_dims(points, 2) - GatherPoints()([points, index])
    start = keras.layers.Dense(width, name=f"{name}_start")(x)
    key, query, value = (keras.layers.Dense(width, name=f"{name}_{part}")(start) for part in ("key", "query", "value"))
    value = value + VectorAttention(width, name=name)([offset, index, query, key])
    return x + keras.layers.Dense(x.shape[-1], name=f"{name}_end")(value)


def _remember(x: Tensor, memory: Tensor, name: str) -> Tensor:
    """The recurrent path aggregation: a gated mixture of a level's features and those of the step before."""
    width = x.shape[-1]

    def gate(inputs: list[Tensor], part: str) -> Tensor:
        return batch_norm(f"{name}_{part}_norm")(JointDense(width, name=f"{name}_{part}")(inputs))

    update, reset = ops.sigmoid(gate([x, memory], "z")), ops.sigmoid(gate([x, memory], "r"))
    proposal = ops.relu(gate([x, reset * memory], "h"))
    return x + update * (proposal - x)


def _activated(x: Tensor | list[Tensor], widths: Sequence[int], name: str, *, first: int = 1) -> Tensor:
    """Dense, batch normalization and ReLU per width, `name_1`, `name_1_norm`, ..., counted from `first`."""
    for i, width in enumerate(widths, start=first):
        dense = JointDense if isinstance(x, list) else keras.layers.Dense
        x = ops.relu(batch_norm(f"{name}_{i}_norm")(dense(width, name=f"{name}_{i}")(x)))
    return cast("Tensor", x)  # The first layer has joined a list.


def _pair(official: str, name: str) -> dict[str, str]:
    return {f"{official}.conv": name, f"{official}.bn": f"{name}_norm"}


def _names(official: str, name: str, count: int) -> dict[str, str]:
    """Where `count` convolutions of the release keep their weights: their modules -> ours."""
    pairs = [_pair(f"{official}.{i}", f"{name}_{i + 1}") for i in range(count)]
    return {module: layer for pair in pairs for module, layer in pair.items()}
