"""FBNet: Feedback Network for Point Cloud Completion (Yan et al., ECCV 2022)."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wcd.models.arguments import positive, widths_of
from keras_wcd.models.base import CompletionModel
from keras_wcd.models.layers.edge_convolution import EdgeConvolution, FeedbackBlock, GraphPooling
from keras_wcd.models.layers.grouping import FarthestPoints, GatherPoints
from keras_wcd.models.layers.mlp import coordinate_dtype
from keras_wcd.models.weights.initialization import draw_as_pytorch


@keras.saving.register_keras_serializable("keras_wcd")
class FBNet(CompletionModel):
    """A coarse cloud refined by blocks that see, at every step, what they put out one step before.

    Weight-compatible with the authors' release. The defaults are its one configuration, 2048 points on MVP;
    `up_factors=(1, 4, 8)` gives 16384 points and is ours, there is no official one. Stages: the coarse cloud,
    then each block's clouds from the first step to the last, `(B, num_seeds * up_factors[0], 3)` and so on.

    Args:
        num_coarse: Points of the coarse cloud.
        num_seeds: Points that every step starts from, chosen from the coarse cloud and the input, then from the
            first block's cloud and the input.
        up_factors: Points that each block makes of a point.
        steps: Steps of the feedback.
        samples: Points after each of the encoder's two poolings.
        width: Channels of the blocks' features; the encoder's are multiples of it.
        latent: Width of the coarse decoder.
        neighbors: Neighbors per point.
        **kwargs: As of `CompletionModel`.
    """

    def __init__(
        self,
        num_coarse: int = 128,
        num_seeds: int = 512,
        up_factors: Sequence[int] = (1, 2, 2),
        steps: int = 3,
        samples: Sequence[int] = (512, 256),
        width: int = 128,
        latent: int = 1024,
        neighbors: int = 16,
        **kwargs: Any,
    ):
        num_coarse, num_seeds = positive(num_coarse, "num_coarse"), positive(num_seeds, "num_seeds")
        up_factors, samples = widths_of(up_factors, len(up_factors), "up_factors"), widths_of(samples, 2, "samples")
        steps, latent, neighbors = (
            positive(steps, "steps"),
            positive(latent, "latent"),
            positive(neighbors, "neighbors"),
        )
        if positive(width, "width") % 4:
            raise ValueError(f"width must be a multiple of 4, got {width!r}")

        partial = keras.Input((None, 3), name="partial")
        code = _code(partial, samples, width, neighbors)
        coarse = _coarse(code, latent, num_coarse)
        blocks = [FeedbackBlock(f, width, neighbors, name=f"block_{i}") for i, f in enumerate(up_factors)]
        cloud, count = coarse, num_seeds
        before: list[tuple] = [()] * len(blocks)
        stages: list[list] = [[] for _ in blocks]
        for _ in range(steps):
            for i, block in enumerate(blocks):
                if i == 0:
                    # A later step starts from the first block's cloud of the step before.
                    cloud, count = stages[0][-1] if stages[0] else coarse, num_seeds
                points = _chosen(cloud, partial, count)
                before[i] = block([points, *before[i]])
                cloud, count = before[i][0], count * up_factors[i]
                stages[i].append(cloud)

        super().__init__(partial, (coarse, *(cloud for block in stages for cloud in block)), **kwargs)
        self.num_coarse = num_coarse
        self.num_seeds = num_seeds
        self.up_factors = up_factors
        self.steps = steps
        self.samples = samples
        self.width = width
        self.latent = latent
        self.neighbors = neighbors
        draw_as_pytorch(self)

    def official_weights(self) -> dict[str, str | None]:
        """Modules of `PointCompletion/FBNet/FBNet.py` in the release."""
        table: dict[str, str | None] = {f"coarse_net.fc.{2 * i}": f"coarse_{i + 1}" for i in range(3)}
        for i in (1, 2, 3):
            table |= _edge_names(f"coarse_net.gcn_{i}", f"encoder_{i}")
        for i in (1, 2):
            table |= _attention_names(f"coarse_net.graph_pooling_{i}", f"pooling_{i}/attention")
        for i in range(len(self.up_factors)):
            official, name = f"refine.uppers.{i}", f"block_{i}"
            table |= _edge_names(f"{official}.ext", f"{name}/extraction")
            table |= _edge_names(f"{official}.nodeshuffle.edge_conv", f"{name}/shuffle")
            table |= _attention_names(f"{official}.fb_exploit", f"{name}/attention")
            table[f"{official}.nodeshuffle.mlp.mlp.0"] = f"{name}/split"
            table |= {f"{official}.mlp.mlp.{2 * j}": f"{name}/mlp_{j + 1}" for j in range(2)}
            table |= {f"{official}.mlp_delta.mlp.{2 * j}": f"{name}/offset_{j + 1}" for j in range(3)}
        return table

    def adapt_official(self, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Edges here run from a point to its neighbor, in the release the other way."""
        first = {
            f"{module}.weight" for module, name in self.official_weights().items() if name and name.endswith("/edge")
        }
        return {name: _reversed(array) if name in first else array for name, array in weights.items()}


def _reversed(array: np.ndarray) -> np.ndarray:
    half = array.shape[1] // 2
    return np.concatenate([-array[:, :half], array[:, half:]], axis=1)


def _code(partial: keras.KerasTensor, samples: Sequence[int], width: int, neighbors: int) -> keras.KerasTensor:
    """The hierarchical graph network: `(B, N, 3)` -> maximum and mean of the features, `(B, 8 * width)`."""
    points, x = partial, EdgeConvolution(width // 2, neighbors, name="encoder_1")(partial)
    for i, (count, units) in enumerate(zip(samples, (width, 4 * width), strict=True), start=1):
        points, x = GraphPooling(count, neighbors, width // 2, name=f"pooling_{i}")([points, x])
        x = EdgeConvolution(units, neighbors, name=f"encoder_{i + 1}")(x)
    return ops.concatenate([ops.max(x, axis=1), ops.mean(x, axis=1)], axis=-1)


def _coarse(code: keras.KerasTensor, latent: int, count: int) -> keras.KerasTensor:
    for i in (1, 2):
        code = ops.leaky_relu(keras.layers.Dense(latent, name=f"coarse_{i}")(code), 0.2)
    flat = keras.layers.Dense(3 * count, name="coarse_3", dtype=coordinate_dtype())(code)
    return ops.transpose(ops.reshape(flat, (-1, 3, count)), (0, 2, 1))


def _chosen(cloud: keras.KerasTensor, partial: keras.KerasTensor, count: int) -> keras.KerasTensor:
    """The farthest points of a cloud and the input together."""
    both = ops.concatenate([cloud, partial], axis=1)
    return GatherPoints()([both, FarthestPoints(count, "standard")(both)])


def _edge_names(official: str, name: str) -> dict[str, str]:
    parts = ("edge", "edge_norm", None, "middle", "middle_norm", None, "last")
    return {f"{official}.conv.{i}": f"{name}/{part}" for i, part in enumerate(parts) if part}


def _attention_names(official: str, name: str) -> dict[str, str]:
    table = {}
    for module, part in (("pos_mlp", "position"), ("attn_mlp", "score")):
        table |= {f"{official}.{module}.0": f"{name}/{part}_1", f"{official}.{module}.1": f"{name}/{part}_1_norm"}
        table[f"{official}.{module}.3"] = f"{name}/{part}_2"
    return table
