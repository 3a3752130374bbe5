"""What every loss between clouds shares: the search, padding, weights of the two sides, and serialization."""

import abc
import dataclasses
import math
import re

import keras
from keras import ops

from keras_wcd.ops.neighbors import as_pair, as_points, is_padding, nearest, nearest_both, squared_distance
from keras_wcd.types import Tensor


@dataclasses.dataclass(frozen=True)
class Side:
    """The points of one cloud, matched to their nearest neighbours in the other.

    Attributes:
        squared: Squared distances `(B, N)`.
        index: Rows of the neighbours `(B, N)`.
        valid: Which points count `(B, N)`, or None for all.
        size: How many points count, `(B, 1)` or a number.
        other_size: How many points of the other cloud count, `(B, 1)` or a number.
        other_rows: Rows of the other cloud, padding included.
    """

    squared: Tensor
    index: Tensor
    valid: Tensor | None
    size: Tensor
    other_size: Tensor
    other_rows: Tensor

    @property
    def distance(self) -> Tensor:
        """Distances `(B, N)`, with zero gradient where points coincide."""
        # The inner where keeps the infinite slope of the root at 0 out of the gradient of the branch not taken.
        apart = self.squared > 0
        root = ops.sqrt(ops.where(apart, self.squared, 1.0))
        # A NaN is not apart, but must stay one.
        return ops.where(apart, root, self.squared)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the points that count: values `(B, N)` -> `(B,)`."""
        if self.valid is None:
            return ops.mean(values, axis=-1)
        return ops.sum(ops.where(self.valid, values, 0.0), axis=-1) / self.size[:, 0]


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
    """

    def __init__(
        self,
        *,
        pred_weight: float = 1.0,
        true_weight: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
    ):
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
        y_pred, y_true = as_pair(y_pred, y_true, "y_pred", "y_true")
        valid = ops.logical_not(is_padding(y_true))
        count = ops.sum(ops.cast(valid, y_pred.dtype), axis=-1, keepdims=True)
        there, back = self._search(y_true, y_pred)
        y_true = ops.where(ops.expand_dims(valid, -1), y_true, 0.0)
        rows_true, rows_pred = ops.shape(y_true)[1], ops.shape(y_pred)[1]
        size = ops.cast(rows_pred, y_pred.dtype)
        loss = 0.0
        if there is not None:
            squared = squared_distance(y_pred, y_true, there)
            loss += self.pred_weight * self.one_way(Side(squared, there, None, size, count, rows_true))
        if back is not None:
            squared = squared_distance(y_true, y_pred, back)
            loss += self.true_weight * self.one_way(Side(squared, back, valid, count, size, rows_pred))
        if there is None:
            # The true points pass a predicted NaN by: it must not go unseen.
            failed = ops.any(ops.isnan(y_pred), axis=(1, 2))
            loss = ops.where(failed, math.nan, loss)
        return loss

    def get_config(self) -> dict:
        """Every argument, by name."""
        return {
            **super().get_config(),
            "pred_weight": self.pred_weight,
            "true_weight": self.true_weight,
            "dtype": self.dtype,
        }

    def _search(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor | None, Tensor | None]:
        if self.pred_weight and self.true_weight:
            return nearest_both(y_pred, y_true)
        if self.pred_weight:
            return nearest(y_pred, y_true)[1], None
        return None, nearest(y_true, y_pred)[1]


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
