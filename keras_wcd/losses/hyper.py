"""The Chamfer distance in hyperbolic space."""

import math

import keras
from keras import ops

from keras_wcd.losses.base import AbstractProfile, positive
from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class HyperCD(AbstractProfile):
    r"""Hyperbolic Chamfer distance (Lin et al., ICCV 2023).

    $$\phi(d) = \operatorname{arccosh}(1 + \alpha d^2) = 2 \operatorname{asinh}(d \sqrt{\alpha / 2})$$

    The second form has slope $\sqrt{2\alpha}$ at $d = 0$, where the first has none.

    Args:
        alpha: Curvature, in units of 1/distance squared; the slope bends at $d = \sqrt{2/\alpha}$.
        **kwargs: Arguments of `AbstractChamfer`.
    """

    def __init__(self, alpha: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha = positive(alpha, "alpha")

    def profile(self, distance: Tensor) -> Tensor:
        """Hyperbolic length of a distance."""
        return 2 * ops.arcsinh(distance * math.sqrt(self.alpha / 2))

    def get_config(self) -> dict:
        return {**super().get_config(), "alpha": self.alpha}
