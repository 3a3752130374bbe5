"""What every loss between clouds shares: the search, padding, weights of the two sides, and serialization."""

import abc
import math
import re
from typing import Any

import keras
from keras import ops

from keras_wcd.names import refuse_unknown
from keras_wcd.ops.matching import Side, match
from keras_wcd.ops.neighbors import as_points, is_padding
from keras_wcd.types import Tensor


class AbstractChamfer(keras.losses.Loss, abc.ABC):
    r"""Loss between clouds that adds one term for each side.

    $$L_b = w_\text{pred} \, \text{one\_way}(X \to Y) + w_\text{true} \, \text{one\_way}(Y \to X)$$

    with X = `y_pred` `(B, N, 3)` and Y = `y_true` `(B, M, 3)`. Rows of `y_true` that hold NaN are padding and
    count nowhere; NaN in `y_pred` makes the loss NaN. Computed in float32 or wider.

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

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """The reduced loss; `sample_weight` is `(B,)`."""
        # Checked before Keras casts: a cast would make floats of a tensor of integers.
        return super().__call__(as_points(y_true, "y_true"), as_points(y_pred, "y_pred"), sample_weight)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of every cloud, `(B,)`."""
        pred, true = match(y_true, y_pred, pred=self.pred_weight > 0, true=self.true_weight > 0)
        terms = []
        if pred is not None:
            terms.append(self.pred_weight * self.one_way(pred))
        if true is not None:
            terms.append(self.true_weight * self.one_way(true))
        loss = sum(terms[1:], terms[0])
        # What a compiled exp makes of a NaN is not certain: a failed prediction is not left to the profile to pass on.
        failed = ops.any(is_padding(ops.convert_to_tensor(y_pred)), axis=-1)
        return loss + ops.cast(ops.where(failed, math.nan, 0.0), loss.dtype)

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


def snake_case(name: str) -> str:
    """`HyperCD` -> `hyper_cd`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def positive(value: float, name: str) -> float:
    """`value`, if it is a positive finite number."""
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be a positive number, got {value}")
    return value
