"""FoldingNet (Yang et al., CVPR 2018), as the completion benchmarks run it."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_wcd.models.arguments import positive, widths_of
from keras_wcd.models.base import CompletionModel
from keras_wcd.models.layers.mlp import PCN_ENCODER, FoldingGrid, mlp, mlp_names, pcn_encoder
from keras_wcd.models.weights.initialization import draw_as_pytorch


@keras.saving.register_keras_serializable("keras_wcd")
class FoldingNet(CompletionModel):
    """A square grid folded twice into the whole shape under a global code.

    Weight-compatible with the version in PoinTr's repository, whose encoder is PCN's and not the paper's graph
    encoder. One stage `(B, S * S, 3)`, where S is the square root of `num_points` rounded to the nearest: the
    PCN configuration gives 16384 points, that of ShapeNet-55 (`num_points=8192`) 91 * 91 = 8281.

    Args:
        num_points: Points of the completed cloud, up to the rounding of S.
        latent: Length of the global code.
        encoder: Widths of the encoder's other three layers.
        folding: Width of each folding's two hidden layers.
        **kwargs: As of `CompletionModel`.
    """

    def __init__(
        self,
        num_points: int = 16384,
        latent: int = 1024,
        encoder: Sequence[int] = (128, 256, 512),
        folding: int = 512,
        **kwargs: Any,
    ):
        num_points, latent = positive(num_points, "num_points"), positive(latent, "latent")
        folding, encoder = positive(folding, "folding"), widths_of(encoder, 3, "encoder")

        partial = keras.Input((None, 3), name="partial")
        code = pcn_encoder(partial, encoder, latent)
        steps = int(num_points**0.5 + 0.5)
        # A zero that a converter cannot see through: LiteRT's would add up the products of the grid's lines and
        # store them for the whole grid, 34 MB at 16384 points.
        zero = ops.minimum(ops.abs(partial[:, :1, :1]), 0)
        grid = FoldingGrid(steps, 0.5, name="grid")(partial) + ops.cast(zero, keras.config.dtype_policy().compute_dtype)
        # Axes: cloud, second grid coordinate, first grid coordinate, channels.
        grid = ops.reshape(grid, (-1, steps, steps, 2))
        first, second = grid[:, :1, :, :1], grid[:, :, :1, 1:]
        code = ops.expand_dims(code, 1)
        widths = (folding, folding, 3)
        folded = mlp([first, second, code], widths, "fold_a", coordinates=True)
        fine = mlp([folded, code], widths, "fold_b", coordinates=True)
        fine = ops.reshape(fine, (-1, steps**2, 3))

        super().__init__(partial, (fine,), **kwargs)
        self.num_points = num_points
        self.latent = latent
        self.encoder = encoder
        self.folding = folding
        draw_as_pytorch(self)

    def official_weights(self) -> dict[str, str | None]:
        """Modules of `models/FoldingNet.py` in PoinTr's repository."""
        return {**PCN_ENCODER, **mlp_names("folding1", "fold_a", 3), **mlp_names("folding2", "fold_b", 3)}
