"""Both sides of a comparison of clouds: every point with its nearest neighbor in the other, padding set aside."""

import dataclasses
import math
from typing import overload

from keras import ops

from keras_wcd.ops.clouds import as_pair, is_broken, is_padding
from keras_wcd.ops.neighbors import nearest, nearest_both, squared_distance
from keras_wcd.types import Tensor


@dataclasses.dataclass(frozen=True)
class Side:
    """The points of one cloud, matched to their nearest neighbors in the other.

    Attributes:
        squared: Squared distances `(B, N)`.
        index: Rows of the neighbors `(B, N)`.
        valid: Which points count `(B, N)`, or None for all.
        size: How many points count, `(B, 1)` or a number.
        other_size: The same of the other cloud.
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

    def max(self, values: Tensor) -> Tensor:
        """Largest of the values, none negative, over the points that count: `(B, N)` -> `(B,)`."""
        if self.valid is not None:
            values = ops.where(self.valid, values, 0.0)
        # XLA's maximum passes a NaN over.
        failed = ops.isnan(values)
        largest = ops.max(ops.where(failed, 0.0, values), axis=-1)
        known = ops.logical_not(ops.any(failed, axis=-1))
        if self.valid is not None:
            known = ops.logical_and(known, ops.any(self.valid, axis=-1))
        return ops.where(known, largest, math.nan)


@overload
def match(y_true: Tensor, y_pred: Tensor, *, lowest: bool = False, empty: float = ...) -> tuple[Side, Side]: ...


@overload
def match(
    y_true: Tensor, y_pred: Tensor, *, pred: bool, true: bool, lowest: bool = False, empty: float = ...
) -> tuple[Side | None, Side | None]: ...


def match(
    y_true: Tensor,
    y_pred: Tensor,
    *,
    pred: bool = True,
    true: bool = True,
    lowest: bool = False,
    empty: float = math.nan,
) -> tuple[Side | None, Side | None]:
    """The sides that start from the predicted and from the true points; one not asked for is None.

    Args:
        y_true: `(B, M, 3)`; rows that hold NaN are padding, infinity makes all distances NaN.
        y_pred: `(B, N, 3)`; NaN and infinity make all distances NaN.
        pred: Whether to match the predicted points.
        true: Whether to match the true points.
        lowest: As in `nearest`, for what depends on which neighbor is found.
        empty: The size of a truth without points: NaN makes what is measured NaN.
    """
    y_pred, y_true = as_pair(y_pred, y_true, "y_pred", "y_true")
    valid = ops.logical_not(is_padding(y_true))
    size_true = ops.sum(ops.cast(valid, y_pred.dtype), axis=-1, keepdims=True)
    size_true = ops.where(size_true > 0, size_true, empty)
    rows_pred, rows_true = ops.shape(y_pred)[1], ops.shape(y_true)[1]
    size_pred = ops.cast(rows_pred, y_pred.dtype)
    if pred and true:
        there, back = nearest_both(y_pred, y_true, lowest=lowest)
    elif pred:
        there, back = nearest(y_pred, y_true, lowest=lowest)[1], None
    else:
        there, back = None, nearest(y_true, y_pred, lowest=lowest)[1]
    # What is measured from the other side, or has a bound, passes a broken point by: it must not go unseen.
    broken = ops.expand_dims(is_broken(y_true, y_pred), -1)
    y_true = ops.where(ops.expand_dims(valid, -1), y_true, 0.0)
    pred_side = true_side = None
    if there is not None:
        squared = ops.where(broken, math.nan, squared_distance(y_pred, y_true, there))
        pred_side = Side(squared, there, None, size_pred, size_true, rows_true)
    if back is not None:
        squared = ops.where(broken, math.nan, squared_distance(y_true, y_pred, back))
        true_side = Side(squared, back, valid, size_true, size_pred, rows_pred)
    return pred_side, true_side


def sharers(side: Side) -> Tensor:
    """How many points have the same neighbor as each point, itself included: `(B, N)`, no gradient."""
    batch = ops.shape(side.index)[0]
    start = ops.expand_dims(ops.arange(batch, dtype="int32"), 1) * ops.cast(side.other_rows, "int32")
    row = ops.reshape(side.index + start, (-1,))
    ones = ops.ones_like(side.squared) if side.valid is None else ops.cast(side.valid, side.squared.dtype)
    count = ops.segment_sum(ops.reshape(ones, (-1,)), row, num_segments=batch * side.other_rows)
    return ops.stop_gradient(ops.maximum(ops.reshape(ops.take(count, row), ops.shape(side.index)), 1.0))
