"""The discriminator of CRN (Wang et al., CVPR 2020), for adversarial training."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wcd.models.arguments import positive, refuse_unknown_arguments, widths_of
from keras_wcd.models.layers.grouping import FarthestPoints, GatherPoints, Neighbors
from keras_wcd.models.layers.mlp import coordinate_dtype
from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class PatchDiscriminator(keras.Model):
    r"""One score per patch of a cloud `(B, N, 3)` -> `(B, num_centers, 1)`: 1 for real, 0 for made.

    Patches are balls of several radii around farthest points, each a small PointNet of relative positions
    (PointNet++'s multi-scale grouping). With G the generator's cloud and Y the real one, the release minimizes

    $$\tfrac12 \operatorname{mean}\left[(D(Y) - 1)^2\right] + \tfrac12 \operatorname{mean}\left[D(G)^2\right]$$

    over D, whose weights it then clips to $\pm 0.01$, and adds $\operatorname{mean}[(D(G) - 1)^2]$ to 200 times
    the Chamfer losses of the generator. Its weights are loaded from the same names as the generator's.

    Args:
        num_points: How many first points of a cloud it sees.
        num_centers: Number of patches.
        radii: Radius of the balls, per scale.
        neighbors: Points taken from each ball, per scale.
        widths: Widths of the PointNet, per scale.
        **kwargs: `name` and `trainable`.
    """

    def __init__(
        self,
        num_points: int = 2048,
        num_centers: int = 256,
        radii: Sequence[float] = (0.1, 0.2, 0.4),
        neighbors: Sequence[int] = (16, 32, 128),
        widths: Sequence[Sequence[int]] = ((16, 16, 32), (32, 32, 64), (32, 48, 64)),
        **kwargs: Any,
    ):
        num_points, num_centers = positive(num_points, "num_points"), positive(num_centers, "num_centers")
        radii, widths = tuple(float(radius) for radius in radii), tuple(widths)
        if not radii or not all(radius > 0 for radius in radii):
            raise ValueError(f"radii must be positive, got {radii}")
        neighbors = widths_of(neighbors, len(radii), "neighbors")
        if len(widths) != len(radii):
            raise ValueError(f"widths must have one row per radius ({len(radii)}), got {len(widths)}")
        widths = tuple(widths_of(row, len(row), "widths") for row in widths)

        cloud = keras.Input((None, 3), name="cloud")
        points = cloud[:, :num_points]
        chosen = FarthestPoints(num_centers, rule="standard", name="sample")(points)
        centers = GatherPoints(name="centers")([points, chosen])
        scales = [
            _patches(points, centers, radius, count, row, f"scale{i}")
            for i, (radius, count, row) in enumerate(zip(radii, neighbors, widths, strict=True), start=1)
        ]
        scores = keras.layers.Dense(1, name="score", dtype=coordinate_dtype())(ops.concatenate(scales, axis=-1))

        refuse_unknown_arguments(self, PatchDiscriminator, kwargs)
        super().__init__(cloud, scores, **kwargs)
        self.num_points = num_points
        self.num_centers = num_centers
        self.radii = radii
        self.neighbors = neighbors
        self.widths = widths

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        names = ("num_points", "num_centers", "radii", "neighbors", "name", "trainable")
        return {**{name: getattr(self, name) for name in names}, "widths": [list(row) for row in self.widths]}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> "PatchDiscriminator":
        """The discriminator of a config."""
        return cls(**config)

    def official_weights(self) -> dict[str, str]:
        """Scopes of `models/cascaded_refinement_net.py` in the authors' repository."""
        table = {
            f"discriminator/patch/layer1/conv{i}_{j}/Conv": f"scale{i + 1}_{j + 1}"
            for i, row in enumerate(self.widths)
            for j in range(len(row))
        }
        return {**table, "discriminator/patch/patch/conv_0": "score"}

    def adapt_official(self, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The discriminator's arrays."""
        return {name: array for name, array in weights.items() if not name.startswith("generator/")}


def _patches(points: Tensor, centers: Tensor, radius: float, count: int, widths: Sequence[int], name: str) -> Tensor:
    """Features `(B, S, C)` of the balls around the centers."""
    index = Neighbors(count, radius, name=f"{name}_ball")([centers, points])
    x = GatherPoints(name=f"{name}_points")([points, index]) - ops.expand_dims(centers, 2)
    for i, width in enumerate(widths, start=1):
        x = ops.leaky_relu(keras.layers.Dense(width, name=f"{name}_{i}")(x), negative_slope=0.2)
    return ops.max(x, axis=2)
