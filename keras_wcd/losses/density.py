"""The density-aware Chamfer distance."""

import keras
from keras import ops

from keras_wcd.losses.base import AbstractProfile, positive
from keras_wcd.ops.matching import Side, sharers
from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class DCD(AbstractProfile):
    r"""Density-aware Chamfer distance (Wu et al., NeurIPS 2021), in [0, 1] where both clouds are of one size.

    $$\frac12 \sum_\text{sides} \operatorname{mean}_i \left[ 1 -
      e^{-\alpha d_i^2} \frac{r}{n(i)^{\lambda} + 10^{-6}} \right]$$

    with n(i) the number of points on this side that share i's neighbor (no gradient flows through it) and r the
    size of this side over that of the other. Of neighbors that are equally near that of the lowest index counts.

    Args:
        alpha: Sharpness, in units of 1/distance squared.
        n_lambda: Exponent of the count: 1 to measure, 0.5 in the published trainings.
        non_reg: Take max(1, r) for r, so that a sparser side is not penalized.
        **kwargs: Arguments of `AbstractChamfer`.
    """

    ties = True

    def __init__(self, alpha: float = 1000.0, n_lambda: float = 1.0, *, non_reg: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.alpha = positive(alpha, "alpha")
        if not n_lambda >= 0:
            raise ValueError(f"n_lambda must not be negative, got {n_lambda}")
        self.n_lambda = n_lambda
        self.non_reg = non_reg

    def profile(self, distance: Tensor) -> Tensor:
        """The cost of a distance whose neighbor is shared by no other point."""
        return 1 - ops.exp(-self.alpha * ops.square(distance))

    def one_way(self, side: Side) -> Tensor:
        """Half the mean cost of one side, `(B,)`."""
        ratio = side.size / side.other_size
        if self.non_reg:
            ratio = ops.maximum(ratio, 1.0)
        weight = ratio / (ops.power(sharers(side), self.n_lambda) + 1e-6)
        return side.mean(1 - ops.exp(-self.alpha * side.squared) * weight) / 2

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "n_lambda": self.n_lambda,
            "non_reg": self.non_reg,
        }
