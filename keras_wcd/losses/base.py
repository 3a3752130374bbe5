"""What every loss between clouds shares: the search, padding, weights of the two sides, and serialization."""

import abc
import functools
import math
import re
from typing import Any

import keras
from keras import ops

from keras_wcd.names import refuse_unknown
from keras_wcd.ops.clouds import as_pair, as_weights, is_broken, is_padding
from keras_wcd.ops.matching import Side, match
from keras_wcd.types import Tensor


class AbstractChamfer(keras.losses.Loss, abc.ABC):
    r"""Loss between clouds that adds one term for each side.

    $$L_b = w_\text{pred} \, \text{one\_way}(X \to Y) + w_\text{true} \, \text{one\_way}(Y \to X)$$

    with X = `y_pred` `(B, N, 3)` and Y = `y_true` `(B, M, 3)`. Rows of `y_true` that hold NaN are padding and
    count nowhere, nor does a cloud that is padding alone: its loss is 0 without a gradient, and the mean over the
    batch passes it over, as Keras's does what is masked. NaN or infinity in `y_pred` and infinity in `y_true` make
    the loss NaN. Computed in float32 or wider; of clouds of float64 a common point is subtracted first, wherever
    they lie.

    Args:
        pred_weight: Weight of the side that starts from the predicted points; 0 leaves its search out.
        true_weight: Weight of the side that starts from the true points; 0 leaves its search out. Different
            weights give the flexible-weighted Chamfer distance (arXiv 2505.14218).
        reduction: Keras's reduction over the batch.
        name: Name of the loss.
        dtype: Dtype of the arithmetic.
        **kwargs: Refused, with the arguments that the loss has.

    Raises:
        ValueError: for a weight that is negative or not finite, or two that are 0.
        UnknownArgumentError: for an argument that the loss has not (a TypeError and a ValueError).
    """

    def __init__(
        self,
        *,
        pred_weight: float = 1.0,
        true_weight: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
        **kwargs: Any,
    ):
        # What a subclass does not take arrives here, where the error would name the wrong class.
        refuse_unknown(type(self), kwargs)
        super().__init__(name=name or snake_case(type(self).__name__), reduction=reduction, dtype=dtype)
        if not (pred_weight >= 0 and true_weight >= 0 and 0 < pred_weight + true_weight < math.inf):
            raise ValueError(
                "pred_weight and true_weight must be finite, not negative and not both zero, "
                f"got {pred_weight} and {true_weight}"
            )
        self.pred_weight = pred_weight
        self.true_weight = true_weight

    @abc.abstractmethod
    def one_way(self, side: Side) -> Tensor:
        """Term of one side, `(B,)`."""

    ties = False
    """Whether the term of a side depends on which of the neighbors that are equally near is found."""

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """The reduced loss; `sample_weight` is a number or `(B,)`."""
        # Before Keras casts: that would make floats of integers, and one place of points that are far from the origin.
        y_pred, y_true = as_pair(y_pred, y_true, "y_pred", "y_true")
        weight = as_weights(sample_weight, y_true[:, 0, 0])
        present = _present(y_true)
        count = ops.sum(ops.cast(present, weight.dtype))
        if self.reduction in ("sum_over_batch_size", "mean"):
            # As Keras does for masked samples: the mean is over those that count.
            weight *= ops.cast(ops.shape(y_true)[0], weight.dtype) / ops.maximum(count, 1)
        elif self.reduction == "mean_with_sample_weight":
            # XLA makes a choice of a product with a mask, which would lose the NaN of a failed prediction.
            weight = ops.where(ops.logical_or(present, is_broken(y_true, y_pred)), weight, 0.0)
        return super().__call__(y_true, y_pred, weight)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of every cloud, `(B,)`; 0 for one whose truth is padding alone."""
        y_pred, y_true = as_pair(y_pred, y_true, "y_pred", "y_true")
        # As if it were of one point, which keeps the gradient of the branch not taken finite.
        loss = ops.where(_present(y_true), self.compare(y_true, y_pred, empty=1.0), 0.0)
        # What a compiled exp makes of a NaN is not certain: a failed prediction is not left to the profile to pass on.
        return loss + ops.cast(ops.where(is_broken(y_true, y_pred), math.nan, 0.0), loss.dtype)

    def compare(self, y_true: Tensor, y_pred: Tensor, *, empty: float = math.nan) -> Tensor:
        """The loss of every cloud, `(B,)`; `empty` is the size of a truth that is padding alone."""
        wanted = {"pred": self.pred_weight > 0, "true": self.true_weight > 0}
        sides = match(y_true, y_pred, **wanted, lowest=self.ties, empty=empty)
        weights = (self.pred_weight, self.true_weight)
        terms = [w * self.one_way(side) for w, side in zip(weights, sides, strict=True) if side is not None]
        return functools.reduce(ops.add, terms)

    def get_config(self) -> dict:
        """Every argument, by name."""
        return {
            **super().get_config(),
            "pred_weight": self.pred_weight,
            "true_weight": self.true_weight,
            "dtype": self.dtype,
        }


class AbstractProfile(AbstractChamfer):
    r"""Chamfer loss whose one-way term is $\operatorname{mean}_i \phi(d_i)$, with $\phi$ its profile.

    Distillation reads a loss of this kind through its profile alone.
    """

    @abc.abstractmethod
    def profile(self, distance: Tensor) -> Tensor:
        """Cost of a distance, elementwise."""

    def one_way(self, side: Side) -> Tensor:
        """Mean cost over the points of the side, `(B,)`."""
        return side.mean(self.profile(side.distance))


def _present(y_true: Tensor) -> Tensor:
    """Which clouds `(B,)` hold a point that is no padding."""
    return ops.any(ops.logical_not(is_padding(y_true)), axis=-1)


def snake_case(name: str) -> str:
    """`HyperCD` -> `hyper_cd`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def positive(value: float, name: str) -> float:
    """`value`, if it is a positive finite number."""
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be a positive number, got {value}")
    return value
