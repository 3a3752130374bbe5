"""Nearest neighbors: the one place where distances between clouds are computed."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from pykdtree.kdtree import KDTree

from keras_wcd.ops import host
from keras_wcd.types import Tensor

METHODS = ("auto", "kd_tree", "brute")
BLOCK = 2**22
"""Entries of the largest block of pairwise distances that the brute form holds at once."""
QUERIES = 512
"""Queries of a block where the sizes are not known while tracing."""
LEAF = 32
"""Points in a leaf of the tree: the fastest of 8 to 64 for 2048 and 16384 points, by a few per cent."""
FAR = 1e18
"""Where padding is moved to: its square is finite in float32 and beyond any scan."""


def nearest(x: Tensor, y: Tensor, *, method: str = "auto") -> tuple[Tensor, Tensor]:
    r"""Squared distance of every point to its nearest neighbor in the other cloud, and the neighbor's index.

    $$s_i = \min_j \lVert x_i - y_j \rVert^2$$

    The search carries no gradient; $s$ is computed again from the neighbors by difference, so its gradient
    costs O(N). Rows of `y` that hold NaN are padding and are never found.

    Args:
        x: Query points `(B, N, 3)`.
        y: Points to find `(B, M, 3)`.
        method: `"kd_tree"` searches on the host's cores (TensorFlow outside XLA), `"brute"` compares blocks of
            pairs in O(block) memory and runs anywhere, `"auto"` takes the tree where it can run.

    Returns:
        Squared distances `(B, N)` in float32 or wider, indices `(B, N)` in int32.

    Raises:
        ValueError: for other shapes, an empty cloud, an integer dtype or an unknown method.
    """
    x, y = as_pair(x, y)
    index = _search(x, y, None, method)[0]
    return squared_distance(x, y, index), index


def nearest_both(x: Tensor, y: Tensor, *, method: str = "auto") -> tuple[Tensor, Tensor]:
    """Indices of `nearest(x, y)` `(B, N)` and of `nearest(y, x)` `(B, M)`, searched side by side."""
    x, y = as_pair(x, y)
    there, back = _search(x, y, None, method, both=True)
    return there, back


def knn(x: Tensor, y: Tensor, k: int, *, method: str = "auto") -> tuple[Tensor, Tensor]:
    """The `k` nearest neighbors of every point, nearest first.

    Args:
        x: Query points `(B, N, 3)`.
        y: Points to find `(B, M, 3)`; rows holding NaN are padding. Where fewer than `k` rows are left, the
            nearest is repeated.
        k: Neighbors per query, at most M.
        method: As in `nearest`.

    Returns:
        Squared distances `(B, N, k)`, differentiable, and indices `(B, N, k)` in int32.
    """
    x, y = as_pair(x, y)
    if y.shape[1] is not None and not 1 <= k <= y.shape[1]:
        raise ValueError(f"k must lie between 1 and the number of points in y ({y.shape[1]}), got {k}")
    index = _search(x, y, k, method)[0]
    return squared_distance(ops.expand_dims(x, 2), y, index), index


def squared_distance(x: Tensor, y: Tensor, index: Tensor) -> Tensor:
    """Squared distance from `x` to the rows of `y` that `index` names, by difference, differentiable."""
    return ops.sum(ops.square(x - gather_points(y, index)), axis=-1)


def gather_points(points: Tensor, index: Tensor) -> Tensor:
    """Rows of a cloud by index: points or features `(B, N, C)`, index `(B, ...)` in int32 -> `(B, ..., C)`."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(points, index, batch_dims=1)
    flat = ops.reshape(index, (index.shape[0], -1, 1))
    return ops.reshape(ops.take_along_axis(points, flat, axis=1), (*index.shape, points.shape[-1]))


def is_padding(points: Tensor) -> Tensor:
    """Which rows `(B, N)` hold NaN in any coordinate."""
    # By coordinate: a reduction over an axis of three is several times slower on CPU.
    x, y, z = (ops.isnan(points[..., axis]) for axis in range(3))
    return ops.logical_or(ops.logical_or(x, y), z)


def as_points(points: Tensor, name: str) -> Tensor:
    """`points` as a checked `(B, N, 3)` tensor of float32 or wider."""
    points = ops.convert_to_tensor(points)
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
    return points if dtype == "float64" else ops.cast(points, "float32")


def as_pair(x: Tensor, y: Tensor, x_name: str = "x", y_name: str = "y") -> tuple[Tensor, Tensor]:
    """Two batches of equally many clouds, checked, in the wider of their dtypes."""
    x, y = as_points(x, x_name), as_points(y, y_name)
    if None not in (x.shape[0], y.shape[0]) and x.shape[0] != y.shape[0]:
        raise ValueError(
            f"{x_name} and {y_name} must hold equally many clouds, got shapes {tuple(x.shape)} and {tuple(y.shape)}"
        )
    dtype = keras.backend.result_type(x.dtype, y.dtype)
    return ops.cast(x, dtype), ops.cast(y, dtype)


def _search(x: Tensor, y: Tensor, k: int | None, method: str, both: bool = False) -> tuple[Tensor, ...]:
    """Indices from x to y, and from y to x if `both`; of one neighbor, or of k on a last axis."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}")
    pairs = [(x, y), (y, x)] if both else [(x, y)]
    if method == "kd_tree" or (method == "auto" and host.available()):
        shapes = [(*q.shape[:2],) if k is None else (*q.shape[:2], k) for q, _ in pairs]
        return tuple(host.call(lambda a, b: _tree_search(a, b, k, both), x, y, shapes=shapes))
    return tuple(_brute_search(ops.stop_gradient(q), ops.stop_gradient(p), k) for q, p in pairs)


def _tree_search(x: np.ndarray, y: np.ndarray, k: int | None, both: bool) -> list[np.ndarray]:
    jobs = [(a, b, k) for a, b in zip(x, y, strict=True)]
    if both:
        jobs += [(b, a, k) for a, b in zip(x, y, strict=True)]
    found = host.parallel(_tree_query, jobs)
    return [np.stack(found[start : start + len(x)]) for start in range(0, len(jobs), len(x))]


def _tree_query(x: np.ndarray, y: np.ndarray, k: int | None) -> np.ndarray:
    """Indices into `y`; rows of `y` that are not finite are passed over, rows of `x` find any."""
    rows = None if np.isfinite(y).all() else np.flatnonzero(np.isfinite(y).all(axis=-1))
    if rows is not None:
        if not rows.size:
            return np.zeros((len(x),) if k is None else (len(x), k), np.int32)
        y = y[rows]
    if not np.isfinite(x).all():
        x = np.where(np.isfinite(x), x, 0)
    _, index = KDTree(np.ascontiguousarray(y), leafsize=LEAF).query(np.ascontiguousarray(x), k or 1)
    index = index.reshape((len(x),) if k is None else (len(x), k))
    if index.max() >= len(y):
        # Too few points, or a distance beyond the dtype: the tree answers with the largest unsigned integer,
        # which must be seen before the cast makes it negative.
        nearest_index = index if k is None else index[:, :1]
        index = np.where(index < len(y), index, np.minimum(nearest_index, len(y) - 1))
    return (index if rows is None else rows[index]).astype(np.int32)


def _brute_search(x: Tensor, y: Tensor, k: int | None) -> Tensor:
    """The difference form on blocks of queries, at most `BLOCK` distances at a time."""
    y = ops.where(ops.expand_dims(is_padding(y), -1), FAR, y)
    return in_blocks(lambda queries: _closest(queries, y, k), x, y)


def in_blocks(search: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """`search(x)` of shape `(B, N, ...)`, on blocks of `x` that pair with `y` in at most `BLOCK` entries each."""
    batch, n, m = x.shape[0], x.shape[1], y.shape[1]
    known = None not in (batch, m)
    block = max(1, BLOCK // (batch * m)) if known else QUERIES
    if n is not None and n <= block:
        return search(x)
    count = (ops.shape(x)[1] + block - 1) // block
    padding = ops.zeros_like(x[:, :1]) + ops.zeros((1, block, 1), x.dtype)
    padded = ops.concatenate([x, padding], axis=1)[:, : count * block]
    blocks = ops.transpose(ops.reshape(padded, (-1, count, block, 3)), (1, 0, 2, 3))
    found = ops.moveaxis(ops.map(search, blocks), 0, 1)
    return ops.reshape(found, (-1, count * block, *found.shape[3:]))[:, : ops.shape(x)[1]]


def _closest(x: Tensor, y: Tensor, k: int | None) -> Tensor:
    distance = _squared_along(0, x, y)
    for axis in (1, 2):
        distance += _squared_along(axis, x, y)
    if k is None:
        return _argmin(distance)
    negative, index = ops.top_k(-distance, k)
    index = ops.cast(index, "int32")
    return ops.where(negative > -FAR, index, index[..., :1])


def _squared_along(axis: int, x: Tensor, y: Tensor) -> Any:
    return ops.square(ops.expand_dims(x[..., axis], 2) - ops.expand_dims(y[..., axis], 1))


def _argmin(values: Tensor) -> Tensor:
    # keras.ops.argmin on floats becomes an operator that LiteRT does not have; tf.argmin does not.
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.argmin(values, axis=-1, output_type=tf.int32)
    return ops.cast(ops.argmin(values, axis=-1), "int32")
