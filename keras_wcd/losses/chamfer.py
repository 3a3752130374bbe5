"""The Chamfer distance."""

import keras
from keras import ops

from keras_wcd.losses.base import AbstractProfile
from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class CD(AbstractProfile):
    r"""Chamfer distance (Fan et al., CVPR 2017).

    $$\phi(d) = d \text{ for "l1"}, \qquad \phi(d) = d^2 \text{ for "l2"}$$

    The sides are added, not halved; the metric `CDL1` halves them, as the field reports it.

    Args:
        norm: `"l1"` or `"l2"`.
        **kwargs: Arguments of `AbstractChamfer`.
    """

    def __init__(self, norm: str = "l1", **kwargs):
        super().__init__(**kwargs)
        if norm not in ("l1", "l2"):
            raise ValueError(f'norm must be "l1" or "l2", got {norm!r}')
        self.norm = norm

    def profile(self, distance: Tensor) -> Tensor:
        """d or its square."""
        return distance if self.norm == "l1" else ops.square(distance)

    def get_config(self) -> dict:
        return {**super().get_config(), "norm": self.norm}
