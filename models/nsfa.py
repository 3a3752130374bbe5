"""NSFA: Detail Preserved Point Cloud Completion via Separated Feature Aggregation (Zhang et al., ECCV 2020)."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wcd.models.arguments import positive, widths_of
from keras_wcd.models.base import CompletionModel
from keras_wcd.models.layers import draws
from keras_wcd.models.layers.grouping import FarthestPoints, GatherPoints, GroupedDense, Neighbors, ThreeInterpolation
from keras_wcd.models.layers.mlp import FoldingGrid, coordinate_dtype, mlp
from keras_wcd.models.layers.uncast import UncastLayer
from keras_wcd.types import Tensor

RADII = (0.05, 0.1, 0.2, 0.3, 0.4)
"""Of the balls in which the five levels of the encoder group their points."""
VARIANTS = ("rfa", "glfa")
BRANCHES = 8
"""Half of them for the seen part, half for the missing one."""


@keras.saving.register_keras_serializable("keras_wcd")
class SelectedRows(UncastLayer):
    """Rows of the farthest points that score highest, in the order of their scores, or rows that are given.

    Args:
        count: Rows to select, of twice as many farthest points. The caller may give them under `rows`.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, count: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.count = count

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Indices `(B, 2 * count)` of the farthest points, scores `(B, N, 1)` of all -> indices `(B, count)`."""
        farthest, scores = inputs
        rows = draws.given("rows", (farthest.shape[0], self.count), "int32")
        if rows is not None:
            return rows
        kept = ops.take_along_axis(ops.cast(scores[..., 0], "float32"), farthest, axis=1)
        order = ops.cast(ops.top_k(kept, self.count)[1], "int32")
        return ops.take_along_axis(farthest, order, axis=1)

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
        """`(B, count)` in int32."""
        return keras.KerasTensor((inputs[0].shape[0], self.count), "int32")

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "count": self.count}


@keras.saving.register_keras_serializable("keras_wcd")
class NSFA(CompletionModel):
    """The seen and the missing part of a shape decoded from features aggregated in two ways.

    Weight-compatible with the authors' TensorFlow 1 release, by the names of its variables. The branches decode a
    dense cloud, some of its points are selected, and those unfold to the answer. Stages: the selected points
    `(B, num_coarse, 3)`, the dense cloud `(B, 8 * num_input, 3)`, the answer `(B, num_coarse * grid_size ** 2, 3)`.
    `noise={"rows": ...}` gives the rows selected of the dense cloud, `(B, num_coarse)`.

    As in the release, the features of the first level stand in the order of farthest point sampling beside
    features in the order of the input, and the scores by which points are selected get no gradient: their
    layers stay as they are made or loaded.

    Args:
        variant: `"rfa"`, residual feature aggregation, or `"glfa"`, global and local feature aggregation.
        num_input: Points of the input.
        num_coarse: Points selected.
        grid_size: Nodes along the side of the patch that a selected point unfolds to.
        samples: Points of the encoder's second, third and fourth level.
        neighbors: Neighbors in a ball.
        width: Channels of the first level's features, by which all other widths scale; a multiple of 8.
        **kwargs: As of `CompletionModel`.
    """

    draw_keys = ("rows",)

    def __init__(
        self,
        variant: str = "rfa",
        num_input: int = 2048,
        num_coarse: int = 4096,
        grid_size: int = 2,
        samples: Sequence[int] = (1024, 512, 256),
        neighbors: int = 32,
        width: int = 64,
        **kwargs: Any,
    ):
        if variant not in VARIANTS:
            raise ValueError(f"variant must be one of {VARIANTS}, got {variant!r}")
        num_input, num_coarse = positive(num_input, "num_input"), positive(num_coarse, "num_coarse")
        grid_size, neighbors = positive(grid_size, "grid_size"), positive(neighbors, "neighbors")
        samples = widths_of(samples, 3, "samples")
        if positive(width, "width") % 8:
            raise ValueError(f"width must be a multiple of 8, got {width!r}")
        if 2 * num_coarse > BRANCHES * num_input:
            raise ValueError(f"num_coarse must be at most {BRANCHES * num_input // 2}, got {num_coarse}")

        partial = keras.Input((num_input, 3), name="partial")
        last = samples[2] // 2 if variant == "rfa" else samples[2]
        levels = _levels(partial, (num_input, *samples, last), neighbors, width)
        whole = ops.concatenate(levels[4 if variant == "rfa" else 3], axis=-1)
        code = ops.max(_mlp(whole, (8 * width, 8 * width, 16 * width), "global"), axis=1, keepdims=True)
        features = _aggregated(partial, code, levels, width)
        seen = _joined(features, partial, variant, missing=False)
        missing = _joined(features, _transformed(partial, width), variant, missing=True)
        sources = [seen] * (BRANCHES // 2) + [missing] * (BRANCHES // 2)
        point = [_mlp(x, (4 * width, 2 * width), f"branch_{i}") for i, x in enumerate(sources)]
        point = _mlp(ops.concatenate(point, axis=1), (width,), "point")
        dense = keras.layers.Dense(3, name="high", dtype=coordinate_dtype())(point)
        score = ops.softplus(_mlp(point, (width // 4, width // 8, 1), "score", trainable=False))
        farthest = FarthestPoints(2 * num_coarse, "standard", name="candidates")(dense)
        rows = SelectedRows(num_coarse, name="selection")([farthest, score])
        coarse, point = GatherPoints(name="coarse")([dense, rows]), GatherPoints()([point, rows])

        center, point = ops.expand_dims(coarse, 2), ops.expand_dims(point, 2)
        grid = ops.expand_dims(FoldingGrid(grid_size, 0.05, name="grid")(partial), 1)
        folded = [grid, center, point, ops.expand_dims(code, 1)]
        offset = mlp(folded, (8 * width, 8 * width, 3), "folding", norm=False, coordinates=True)
        fine = ops.reshape(center + offset, (-1, num_coarse * grid_size**2, 3))

        super().__init__(partial, (coarse, dense, fine), num_input=num_input, **kwargs)
        self.variant = variant
        self.num_coarse = num_coarse
        self.grid_size = grid_size
        self.samples = samples
        self.neighbors = neighbors
        self.width = width

    def official_weights(self) -> dict[str, str | None]:
        """Scopes of `models/rfa.py` and `models/glfa.py` in the authors' repository."""
        encoder, up = "encoder_0", "up_layer"
        table = {}
        for i in range(1, 7):
            name = "global" if i == 6 else f"level_{i}"
            table |= {f"{encoder}/layer{i}/conv{j}/conv2d": f"{name}_{j + 1}" for j in range(3)}
        table |= {f"{encoder}/fa_layer{i}/conv_0/conv2d": f"up_{'global' if i == 0 else 6 - i}" for i in range(5)}
        for i in range(BRANCHES):
            table |= {f"{up}/fc_layer0_{i}/conv2d": f"branch_{i}_1", f"{up}/conv_{i}/conv2d": f"branch_{i}_2"}
        table |= {f"{up}/fc_layer1/conv2d": "point_1", f"{up}/fc_layer2/conv2d": "high"}
        table |= {f"{up}/fc_layer{i + 3}/conv2d": f"score_{i + 1}" for i in range(3)}
        for i in range(3):
            table[f"{up}/tconv{i + 1}/conv2d"] = f"transform_{i + 1}"
            table[f"{up}/tconv{i + 1}/batch_normalization"] = f"transform_{i + 1}_norm"
        for i in range(2):
            table[f"{up}/tfc{i + 1}"] = f"transform_{i + 4}"
            table[f"{up}/tfc{i + 1}/bn"] = f"transform_{i + 4}_norm"
        table[f"{up}/transform_XYZ"] = "transform_6"
        return table | {f"folding/conv_{i}": f"folding_{i + 1}" for i in range(3)}

    def adapt_official(self, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The convolution over the three coordinates of a point as a dense layer of them."""
        name = "up_layer/tconv1/conv2d/kernel"
        if name in weights and weights[name].ndim == 4:
            weights = {**weights, name: weights[name].reshape(-1, weights[name].shape[-1])}
        return weights


def _mlp(x: keras.KerasTensor, widths: Sequence[int], name: str, trainable: bool = True) -> keras.KerasTensor:
    """Dense and ReLU per width, the last one too."""
    for i, width in enumerate(widths, start=1):
        x = ops.relu(keras.layers.Dense(width, name=f"{name}_{i}", trainable=trainable)(x))
    return x


def _levels(partial: keras.KerasTensor, counts: Sequence[int], neighbors: int, width: int) -> list[tuple]:
    """Points and features of the encoder's levels, each from balls around the farthest points of the one before."""
    points, x, levels = partial, None, []
    for i, (count, radius) in enumerate(zip(counts, RADII, strict=True), start=1):
        centers = GatherPoints()([points, FarthestPoints(count, "standard")(points)])
        index = Neighbors(neighbors, radius)([centers, points])
        hidden, out = width * 2**i // 4, width * 2**i // 2
        if x is None:
            offset = GatherPoints()([points, index]) - ops.expand_dims(centers, 2)
            x = keras.layers.Dense(hidden, name=f"level_{i}_1")(offset)
        else:
            x = GroupedDense(hidden, name=f"level_{i}_1")([index, centers, points, x])
        for j, units in enumerate((hidden, out), start=2):
            x = keras.layers.Dense(units, name=f"level_{i}_{j}")(ops.relu(x))
        x = ops.max(ops.relu(x), axis=2)
        points = centers
        levels.append((points, x))
    return levels


def _aggregated(partial: keras.KerasTensor, code: keras.KerasTensor, levels: list[tuple], width: int) -> list:
    """Features of the input points: the global one, those of the levels 5 to 2, brought there, and level 1's."""
    one = ops.zeros_like(partial[..., :1])
    features = [ops.relu(keras.layers.Dense(width, name="up_global")(code)) + ops.cast(one, code.dtype)]
    for i in (5, 4, 3, 2):
        points, x = levels[i - 1]
        # The layer comes before the interpolation, with which it commutes.
        x = keras.layers.Dense(width, name=f"up_{i}")(x)
        features.append(ops.relu(ThreeInterpolation(squared=True)([partial, points, x])))
    return [*features, levels[0][1]]


def _joined(features: list, points: keras.KerasTensor, variant: str, missing: bool) -> keras.KerasTensor:
    """What a branch decodes: `features` are those of the whole, then of the levels 5, 4, 3, 2, 1."""
    whole, *local = features
    if variant == "glfa":
        chosen = [whole, *(local[:3] if missing else local[2:])]
    else:
        chosen = [whole, *(whole - x if missing else x for x in local)]
    return ops.concatenate([*chosen, ops.cast(points, whole.dtype)], axis=-1)


def _transformed(partial: keras.KerasTensor, width: int) -> keras.KerasTensor:
    """The points under a matrix that a PointNet finds, near the identity."""
    x = partial
    for i, units in enumerate((width, 2 * width, 16 * width, 8 * width, 4 * width), start=1):
        x = keras.layers.Dense(units, name=f"transform_{i}")(x)
        x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"transform_{i}_norm")(x)
        x = ops.relu(x)
        if i == 3:
            x = ops.max(x, axis=1)
    matrix = keras.layers.Dense(9, name="transform_6", kernel_initializer="zeros", dtype=coordinate_dtype())(x)
    matrix = ops.reshape(matrix, (-1, 3, 3)) + np.eye(3, dtype=np.float32)
    return ops.matmul(partial, matrix)
