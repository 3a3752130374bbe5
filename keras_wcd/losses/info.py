"""The contrastive Chamfer distance."""

import keras
from keras import ops

from keras_wcd.losses.base import AbstractProfile, positive
from keras_wcd.ops.matching import Side
from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class InfoCD(AbstractProfile):
    r"""Contrastive Chamfer distance (Lin et al., NeurIPS 2023).

    $$\operatorname{mean}_i \left[ \frac{d_i}{\tau} + \lambda \log \sum_j e^{-d_j / \tau} \right]$$

    Args:
        tau: Temperature, in units of distance.
        lam: Weight of the regularizer that spreads the distances.
        **kwargs: Arguments of `AbstractChamfer`.
    """

    def __init__(self, tau: float = 2.0, lam: float = 1e-7, **kwargs):
        super().__init__(**kwargs)
        self.tau = positive(tau, "tau")
        if not lam >= 0:
            raise ValueError(f"lam must not be negative, got {lam}")
        self.lam = lam

    def profile(self, distance: Tensor) -> Tensor:
        """d/tau: the part of the loss that looks at one distance alone."""
        return distance / self.tau

    def one_way(self, side: Side) -> Tensor:
        """Mean cost and regularizer of one side, `(B,)`."""
        cost = self.profile(side.distance)
        # exp(-1e30) is 0: padding adds nothing to the sum.
        exponent = -cost if side.valid is None else ops.where(side.valid, -cost, -1e30)
        return side.mean(cost) + self.lam * ops.logsumexp(exponent, axis=-1)

    def get_config(self) -> dict:
        return {**super().get_config(), "tau": self.tau, "lam": self.lam}
