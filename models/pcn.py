"""PCN: Point Completion Network (Yuan et al., 3DV 2018)."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_wcd.models.arguments import positive, widths_of
from keras_wcd.models.base import CompletionModel
from keras_wcd.models.layers.mlp import PCN_ENCODER, FoldingGrid, mlp, mlp_names, pcn_encoder
from keras_wcd.models.weights.initialization import draw_as_pytorch


@keras.saving.register_keras_serializable("keras_wcd")
class PCN(CompletionModel):
    """A coarse cloud from a global code, each of its points unfolded into a small patch.

    Weight-compatible with the PyTorch version in PoinTr's repository, which has batch normalization where the
    original has none. Stages: coarse `(B, num_coarse, 3)`, fine `(B, num_coarse * grid_size ** 2, 3)`. The
    defaults are the PCN configuration (16384 points); `num_coarse=512` is that of ShapeNet-55 (8192).

    Args:
        num_coarse: Points of the coarse stage.
        grid_size: Nodes along the side of a patch.
        latent: Length of the global code.
        encoder: Widths of the encoder's other three layers.
        hidden: Width of the coarse decoder's two hidden layers.
        folding: Width of the folding's two hidden layers.
        **kwargs: As of `CompletionModel`.
    """

    def __init__(
        self,
        num_coarse: int = 1024,
        grid_size: int = 4,
        latent: int = 1024,
        encoder: Sequence[int] = (128, 256, 512),
        hidden: int = 1024,
        folding: int = 512,
        **kwargs: Any,
    ):
        num_coarse, grid_size = positive(num_coarse, "num_coarse"), positive(grid_size, "grid_size")
        latent, hidden = positive(latent, "latent"), positive(hidden, "hidden")
        folding, encoder = positive(folding, "folding"), widths_of(encoder, 3, "encoder")

        partial = keras.Input((None, 3), name="partial")
        code = pcn_encoder(partial, encoder, latent)
        coarse = mlp(code, (hidden, hidden, 3 * num_coarse), "coarse", norm=False, coordinates=True)
        coarse = ops.reshape(coarse, (-1, num_coarse, 3))
        # Axes: cloud, coarse point, node of its patch, channels.
        center = ops.expand_dims(coarse, 2)
        grid = ops.expand_dims(FoldingGrid(grid_size, 0.05, name="grid")(partial), 1)
        offset = mlp([ops.expand_dims(code, 1), grid, center], (folding, folding, 3), "fine", coordinates=True)
        fine = ops.reshape(center + offset, (-1, num_coarse * grid_size**2, 3))

        super().__init__(partial, (coarse, fine), **kwargs)
        self.num_coarse = num_coarse
        self.grid_size = grid_size
        self.latent = latent
        self.encoder = encoder
        self.hidden = hidden
        self.folding = folding
        draw_as_pytorch(self)

    def official_weights(self) -> dict[str, str | None]:
        """Modules of `models/PCN.py` in PoinTr's repository."""
        return {**PCN_ENCODER, **mlp_names("mlp", "coarse", 3, norm=False), **mlp_names("final_conv", "fine", 3)}
