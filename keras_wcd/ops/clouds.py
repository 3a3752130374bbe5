"""What enters from outside, checked and widened: clouds, pairs of them about a common point, and weights of clouds."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wcd.types import Tensor


def as_points(points: Tensor, name: str) -> Tensor:
    """`points` as a checked `(B, N, 3)` tensor of float32 or wider."""
    points = _checked(points, name)
    wide = keras.backend.standardize_dtype(points.dtype) == "float64"
    return ops.convert_to_tensor(points) if wide else ops.cast(points, "float32")


def as_pair(x: Tensor, y: Tensor, x_name: str = "x", y_name: str = "y") -> tuple[Tensor, Tensor]:
    """Two batches of equally many clouds, checked, in the wider of their dtypes.

    Where one is of float64, a point of every pair is subtracted from both clouds of it: what follows, in float32 for
    some, sees the differences and not the place.
    """
    x, y = _checked(x, x_name), _checked(y, y_name)
    if None not in (x.shape[0], y.shape[0]) and x.shape[0] != y.shape[0]:
        raise ValueError(
            f"{x_name} and {y_name} must hold equally many clouds, got shapes {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if "float64" in {keras.backend.standardize_dtype(points.dtype) for points in (x, y)}:
        x, y = _about_a_common_point(x, y)
    x, y = as_points(x, x_name), as_points(y, y_name)
    dtype = keras.backend.result_type(x.dtype, y.dtype)
    return ops.cast(x, dtype), ops.cast(y, dtype)


def as_weights(sample_weight: Any, values: Tensor) -> Tensor:
    """Weights `(B,)` of the values `(B,)`, from one number or one per cloud, `(B,)` or `(B, 1)`; None weighs all 1.

    Raises:
        ValueError: for another shape.
    """
    ones = ops.ones_like(values)
    if sample_weight is None:
        return ones
    weights = ops.cast(_as_tensor(sample_weight, "sample_weight"), values.dtype)
    shape, clouds = tuple(weights.shape), values.shape[0]
    if (
        len(shape) > 2
        or shape[1:] not in ((), (1,))
        or (shape and None not in (shape[0], clouds) and shape[0] != clouds)
    ):
        raise ValueError(
            f"sample_weight must be one number or one per cloud, of shape (B,) or (B, 1), got shape {shape} for "
            f"{'B' if clouds is None else clouds} clouds; points have no weights, rows of NaN in y_true are left out"
        )
    return ones * (ops.reshape(weights, (-1,)) if shape else weights)


def is_padding(points: Tensor) -> Tensor:
    """Which rows `(B, N)` hold NaN in any coordinate."""
    # By coordinate: a reduction over an axis of three is several times slower on CPU.
    x, y, z = (ops.isnan(points[..., axis]) for axis in range(3))
    return ops.logical_or(ops.logical_or(x, y), z)


def is_broken(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Which pairs `(B,)` hold what is no cloud: NaN or infinity in the prediction, infinity in the truth."""
    return ops.logical_or(
        ops.any(ops.logical_not(ops.isfinite(y_pred)), axis=(1, 2)), ops.any(ops.isinf(y_true), axis=(1, 2))
    )


def _checked(points: Any, name: str) -> Any:
    """Clouds `(B, N, 3)` of floats: a NumPy array as it is, for some backends have no float64, else a tensor."""
    points = _as_tensor(points, name)
    dtype = keras.backend.standardize_dtype(points.dtype)
    if not keras.backend.is_float_dtype(dtype):
        raise ValueError(f"{name} must hold floating-point coordinates, got dtype {dtype}; cast it to float32")
    shape = tuple(points.shape)
    if len(shape) != 3 or shape[-1] != 3:
        raise ValueError(
            f"{name} must be clouds of shape (batch, points, 3), got {shape}"
            + ("; transpose its last two axes" if len(shape) == 3 and shape[1] == 3 else "")
        )
    if 0 in shape[:2]:
        raise ValueError(f"{name} is empty: shape {shape}")
    return points


def _as_tensor(value: Any, name: str) -> Any:
    """A tensor or NumPy array of one shape, which ragged tensors and lists of unequal length have not."""
    hint = (
        "give one number per cloud" if name == "sample_weight" else "pad the shorter clouds of y_true with rows of NaN"
    )
    kind = type(value).__name__
    if kind in ("RaggedTensor", "SparseTensor"):
        fill = f", as {name}.to_tensor(math.nan) does" if kind == "RaggedTensor" and name != "sample_weight" else ""
        raise ValueError(f"{name} is a {kind}, which has no one shape; {hint}{fill}")
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value
    try:
        return ops.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no array of one shape; {hint} ({error})") from error


def _about_a_common_point(x: Any, y: Any) -> tuple[Any, Any]:
    """Both clouds less the center of one, which is a float32, so that it is the same for whatever dtype."""
    # On a backend without float64, only NumPy knows where the points are.
    center = _center(x if isinstance(x, np.ndarray) and not isinstance(y, np.ndarray) else y)
    return _less(x, center), _less(y, center)


def _center(points: Any) -> Any:
    """Mean of the finite rows `(B, 1, 3)`, 0 where there are none, without gradient."""
    if isinstance(points, np.ndarray):
        finite = np.isfinite(points).all(axis=-1, keepdims=True)
        total = np.where(finite, points, 0).sum(axis=1, keepdims=True, dtype=np.float64)
        return np.float32(total / np.maximum(finite.sum(axis=1, keepdims=True), 1))
    points = ops.stop_gradient(points)
    finite = ops.all(ops.isfinite(points), axis=-1, keepdims=True)
    total = ops.sum(ops.where(finite, points, 0), axis=1, keepdims=True)
    count = ops.sum(ops.cast(finite, points.dtype), axis=1, keepdims=True)
    return ops.cast(total / ops.maximum(count, 1), "float32")


def _less(points: Any, center: Any) -> Any:
    if isinstance(points, np.ndarray) and isinstance(center, np.ndarray):
        return points - center.astype(np.promote_types(points.dtype, np.float32))
    points = ops.convert_to_tensor(points)
    return points - ops.cast(center, points.dtype)
