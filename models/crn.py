"""CRN: Cascaded Refinement Network for Point Cloud Completion (Wang et al., CVPR 2020)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wcd.models.arguments import positive, widths_of
from keras_wcd.models.base import CompletionModel
from keras_wcd.models.layers import draws
from keras_wcd.models.layers.grouping import FarthestPoints, GatherPoints
from keras_wcd.models.layers.mlp import JointDense, coordinate_dtype, mlp
from keras_wcd.types import Tensor

EXTENT = 0.2
"""Half the side of the grid that tells children of one point apart."""
MEAN = "mean_feature"
PAIRING = "generator/decoder/down_conv1/Conv"


@keras.saving.register_keras_serializable("keras_wcd")
class MeanFeature(keras.layers.Layer):
    """The mean feature of the shape's category that the caller of the network gave, or zeros.

    Args:
        size: Its length.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs: Tensor) -> Tensor:
        """Clouds `(B, N, 3)`, for their number alone -> `(B, size)`."""
        given = draws.given(MEAN, ("B", self.size), self.compute_dtype, name=MEAN)
        return ops.zeros((ops.shape(inputs)[0], self.size), dtype=self.compute_dtype) if given is None else given

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`(B, size)`."""
        return (input_shape[0], self.size)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("keras_wcd")
class ChildGrid(keras.layers.Layer):
    """The nodes of a grid as square as their number allows, for every input alike.

    Args:
        nodes: Their number R.
        extent: The grid spans -extent to extent.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, nodes: int, extent: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.nodes, self.extent = nodes, extent

    def call(self, inputs: Tensor) -> Tensor:
        """Nodes `(1, 1, R, 2)`, the first coordinate varying fastest; the input is not used."""
        columns = max(n for n in range(1, math.isqrt(self.nodes) + 2) if self.nodes % n == 0)
        first = np.linspace(-self.extent, self.extent, columns)
        second = np.linspace(-self.extent, self.extent, self.nodes // columns)
        nodes = np.stack([np.tile(first, len(second)), np.repeat(second, columns)], axis=-1)
        return ops.convert_to_tensor(nodes[None, None].astype(np.float32), dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`(1, 1, R, 2)`."""
        return (1, 1, self.nodes, 2)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "nodes": self.nodes, "extent": self.extent}


@keras.saving.register_keras_serializable("keras_wcd")
class CRN(CompletionModel):
    """A coarse cloud joined with the input and its mirror image, doubled again and again by one refinement.

    Weight-compatible with the generator of the authors' TensorFlow 1 release, by the names of its variables;
    `PatchDiscriminator` is the other half. Stages: coarse `(B, num_coarse, 3)`, then `(num_coarse + num_extract)
    * 2 ** i` points for i = 1 to log2(step_ratio). By default the loss falls on the first and the last stage
    alone, as in the release. The mirror is the plane z = 0.

    The network takes the mean feature of the shape's category, which an autoencoder found on complete shapes:
    `model(partial, mean_feature=...)`, or `{"partial": ..., "mean_feature": ...}` as x of `fit`; zeros otherwise.

    Args:
        step_ratio: Final points per point of the starting cloud, a power of two (16 for PCN's 16384 points).
        num_coarse: Points of the coarse stage.
        num_extract: Points taken from the input and its mirror image, half of them from each.
        mean_size: Length of the mean feature.
        latent: Length of the global code, and width of the coarse decoder's hidden layers.
        encoder: Widths of the encoder's other three layers.
        lifting: Widths of the two layers that make a point's features; the mean feature is cut to the first.
        folding: Width of the two hidden layers that move a point.
        **kwargs: As of `CompletionModel`.
    """

    draw_keys = (MEAN,)

    def __init__(
        self,
        step_ratio: int = 16,
        num_coarse: int = 512,
        num_extract: int = 512,
        mean_size: int = 1024,
        latent: int = 1024,
        encoder: Sequence[int] = (128, 256, 512),
        lifting: Sequence[int] = (128, 64),
        folding: int = 512,
        **kwargs: Any,
    ):
        num_coarse, num_extract = positive(num_coarse, "num_coarse"), positive(num_extract, "num_extract")
        mean_size, latent = positive(mean_size, "mean_size"), positive(latent, "latent")
        folding, step_ratio = positive(folding, "folding"), positive(step_ratio, "step_ratio")
        encoder, lifting = widths_of(encoder, 3, "encoder"), widths_of(lifting, 2, "lifting")
        if step_ratio < 2 or step_ratio & (step_ratio - 1):
            raise ValueError(f"step_ratio must be a power of two >= 2, got {step_ratio}")
        if num_extract % 2:
            raise ValueError(f"num_extract must be even, one half for each side of the mirror, got {num_extract}")

        partial = keras.Input((None, 3), name="partial")
        local = mlp(partial, encoder[:2], "encoder_a", norm=False)
        code = ops.max(local, axis=1, keepdims=True)
        local = mlp([local, code], (encoder[2], latent), "encoder_b", norm=False)
        code = ops.max(local, axis=1, keepdims=True)
        coarse = mlp(code, (latent, latent, 3 * num_coarse), "coarse", norm=False, coordinates=True)
        coarse = ops.reshape(ops.tanh(coarse), (-1, num_coarse, 3))
        mean = MeanFeature(mean_size, name="mean_feature")(partial)
        mean = ops.reshape(keras.layers.Dense(lifting[0], activation="relu", name="mean")(mean), (-1, 1, lifting[0]))

        chosen = FarthestPoints(num_extract // 2, rule="standard", name="sample")(partial)
        seen = GatherPoints(name="seen")([partial, chosen])
        mirrored = ops.concatenate([seen[..., :2], -seen[..., 2:]], axis=-1)
        points = ops.concatenate([seen, mirrored, coarse], axis=1)
        refine = _Refinement(lifting, folding)
        stages = [coarse]
        for level in range(1, step_ratio.bit_length()):
            grid = ChildGrid(2**level, EXTENT, name=f"grid_{level}")(partial)
            points = refine(points, grid, code, mean)
            stages.append(points)

        if kwargs.get("stage_weights") is None:
            kwargs["stage_weights"] = (1, *[0] * (len(stages) - 2), 1)
        super().__init__(partial, stages, **kwargs)
        self.step_ratio = step_ratio
        self.num_coarse = num_coarse
        self.num_extract = num_extract
        self.mean_size = mean_size
        self.latent = latent
        self.encoder = encoder
        self.lifting = lifting
        self.folding = folding

    def __call__(self, inputs: Tensor | Mapping[str, Tensor], *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        """As `call`."""
        if isinstance(inputs, Mapping):
            # Keras checks what it gets against the graph's single input.
            inputs, kwargs[MEAN] = inputs["partial"], inputs[MEAN]
        return super().__call__(inputs, *args, **kwargs)

    def call(
        self,
        inputs: Tensor | Mapping[str, Tensor],
        training: bool | None = None,
        mask: Tensor | None = None,
        noise: Mapping[str, Tensor] | None = None,
        mean_feature: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """All stages `(B, n, 3)` of partial clouds `(B, N, 3)`; the mean feature is `(B, mean_size)`.

        The inputs may hold both, `{"partial": ..., "mean_feature": ...}`.
        """
        if isinstance(inputs, Mapping):
            inputs, mean_feature = inputs["partial"], inputs[MEAN]
        given = {} if mean_feature is None else {MEAN: mean_feature}
        return super().call(inputs, training, mask, {**(noise or {}), **given})

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True) -> Tensor:
        """As of `CompletionModel`, with the partial cloud of x."""
        x = x["partial"] if isinstance(x, Mapping) else x
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def official_weights(self) -> dict[str, str | None]:
        """Scopes of `models/cascaded_refinement_net.py` in the authors' repository."""
        table = {f"generator/encoder_{i}/conv_{j}": f"encoder_{'ab'[i]}_{j + 1}" for i in range(2) for j in range(2)}
        table |= {f"generator/decoder/coarse/fc_{i}": f"coarse_{i + 1}" for i in range(3)}
        table |= {f"generator/decoder/up_branch/conv_{i}": f"lift_{i + 1}" for i in range(2)}
        table |= {f"generator/decoder/fine/conv_{i}": f"fine_{i + 1}" for i in range(3)}
        pairs = {"down_conv1": "pair", "down_conv2": "split", "down_conv3": "child"}
        table |= {f"generator/decoder/{theirs}/Conv": ours for theirs, ours in pairs.items()}
        return {**table, "generator/decoder/mean_fc": "mean"}

    def adapt_official(self, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The generator's arrays; the convolution over a pair of points as a dense layer of both."""
        weights = {name: array for name, array in weights.items() if not name.startswith("discriminator/")}
        pairing = weights.get(f"{PAIRING}/weights")
        if pairing is not None and pairing.ndim == 4:
            weights[f"{PAIRING}/weights"] = pairing.reshape(-1, pairing.shape[-1])
        return weights


class _Refinement:
    """The step that doubles a cloud, with the same layers at every level."""

    def __init__(self, lifting: Sequence[int], folding: int):
        width = lifting[1]
        self.lift = [JointDense(lifting[0], name="lift_1"), keras.layers.Dense(width, name="lift_2")]
        self.pair = JointDense(width, name="pair")
        self.split = keras.layers.Dense(2 * width, activation="relu", name="split")
        self.child = keras.layers.Dense(width, name="child")
        self.fold = [keras.layers.Dense(folding, activation="relu", name=f"fine_{i}") for i in (1, 2)]
        self.move = keras.layers.Dense(3, name="fine_3", dtype=coordinate_dtype())

    def __call__(self, points: Tensor, grid: Tensor, code: Tensor, mean: Tensor) -> Tensor:
        """Points `(B, n, 3)`, nodes `(1, 1, R, 2)`, code and mean `(B, 1, C)` -> `(B, 2 n, 3)`."""
        count, nodes = 2 * points.shape[1], grid.shape[2]
        points = ops.reshape(ops.stack([points, points], axis=2), (-1, count, 3))
        # Axes: cloud, run of children, node of the grid, channels.
        runs = ops.reshape(points, (-1, count // nodes, nodes, 3))
        x = self.lift[0]([grid, runs, ops.expand_dims(code, 1), ops.expand_dims(mean, 1)])
        x = ops.relu(self.lift[1](ops.relu(x)))
        x = ops.reshape(x, (-1, count, x.shape[-1]))
        x = x + self._exchange(x)
        for layer in self.fold:
            x = layer(x)
        return points + self.move(x)

    def _exchange(self, x: Tensor) -> Tensor:
        """Features `(B, n, C)` by way of pairs (j, j + n/2), whose children become rows 2j and 2j + 1."""
        half = x.shape[1] // 2
        pairs = self.split(ops.relu(self.pair([x[:, :half], x[:, half:]])))
        return ops.relu(self.child(ops.reshape(pairs, (-1, 2 * half, x.shape[-1]))))
