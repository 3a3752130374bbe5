"""Nearest neighbors: the one place where distances between clouds are computed."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_wcd.ops import host, kd_tree
from keras_wcd.ops.clouds import as_pair, is_padding
from keras_wcd.types import Tensor

METHODS = ("auto", "kd_tree", "brute")
BLOCK = 2**22
"""Entries of the largest block of pairwise distances that the brute form holds at once."""


def nearest(x: Tensor, y: Tensor, *, method: str = "auto", lowest: bool = False) -> tuple[Tensor, Tensor]:
    r"""Squared distance of every point to its nearest neighbor in the other cloud, and the neighbor's index.

    $$s_i = \min_j \lVert x_i - y_j \rVert^2$$

    The search carries no gradient; $s$ is computed again from the neighbors by difference, so its gradient
    costs O(N). Rows of `y` that hold NaN are padding and are never found.

    Args:
        x: Query points `(B, N, 3)`.
        y: Points to find `(B, M, 3)`.
        method: `"kd_tree"` searches on the host's cores (TensorFlow outside XLA), `"brute"` compares blocks of
            pairs in O(block) memory and runs anywhere, `"auto"` takes the tree where it can run.
        lowest: Of points that are equally near, within a millionth of the squared distance, take that of the lowest
            index, whatever the method; otherwise a tree takes any of them. Costs the tree 5 to 30 % more.

    Returns:
        Squared distances `(B, N)` in float32 or wider, indices `(B, N)` in int32.

    Raises:
        ValueError: for other shapes, an empty cloud, an integer dtype or an unknown method.
    """
    x, y = as_pair(x, y)
    index = _search(x, y, None, method, lowest=lowest)[0]
    return squared_distance(x, y, index), index


def nearest_both(x: Tensor, y: Tensor, *, method: str = "auto", lowest: bool = False) -> tuple[Tensor, Tensor]:
    """Indices of `nearest(x, y)` `(B, N)` and of `nearest(y, x)` `(B, M)`, searched side by side."""
    x, y = as_pair(x, y)
    there, back = _search(x, y, None, method, both=True, lowest=lowest)
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

        if host.accelerated():
            found = tf.gather(tf.reshape(points, points.shape[1:]), tf.reshape(index, (-1,)))
            return tf.reshape(found, (*index.shape, points.shape[-1]))
        return tf.gather(points, index, batch_dims=1)
    flat = ops.reshape(index, (index.shape[0], -1, 1))
    return ops.reshape(ops.take_along_axis(points, flat, axis=1), (*index.shape, points.shape[-1]))


def _search(
    x: Tensor, y: Tensor, k: int | None, method: str, both: bool = False, lowest: bool = False
) -> tuple[Tensor, ...]:
    """Indices from x to y, and from y to x if `both`; of one neighbor, or of k on a last axis."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}")
    pairs = [(x, y), (y, x)] if both else [(x, y)]
    if method == "kd_tree" or (method == "auto" and host.available()):
        shapes = [(*q.shape[:2],) if k is None else (*q.shape[:2], k) for q, _ in pairs]
        return tuple(host.call(lambda a, b: kd_tree.search(a, b, k, both, lowest), x, y, shapes=shapes))
    return tuple(_brute_search(ops.stop_gradient(q), ops.stop_gradient(p), k, lowest) for q, p in pairs)


def _brute_search(x: Tensor, y: Tensor, k: int | None, lowest: bool) -> Tensor:
    """The difference form on blocks of queries, at most `BLOCK` distances at a time."""
    if not host.accelerated():
        # At infinity: no point is as far, and no mask of the size of all pairs is needed.
        y = ops.where(ops.expand_dims(is_padding(y), -1), math.inf, y)
    return in_blocks(lambda queries, points: _closest(queries, points, k, lowest), x, y)


def in_blocks(search: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """`search(x, y)` of shape `(B, N, ...)`, on blocks of `x` that pair with `y` in at most `BLOCK` entries each."""
    (batch, n), m = ops.shape(x)[:2], ops.shape(y)[1]
    if all(isinstance(size, int) for size in (batch, n, m)):
        block = max(1, BLOCK // (batch * m))
        if n <= block:
            return search(x, y)
        if host.accelerated():
            return ops.concatenate([search(x[:, i : i + block], y) for i in range(0, n, block)], axis=1)
    elif host.exporting() and isinstance(n, int) and isinstance(m, int):
        # LiteRT loops over parts of fixed size alone.
        return ops.map(lambda pair: in_blocks(search, *(cloud[None] for cloud in pair))[0], (x, y))
    else:
        # Sizes that are known only when the graph runs are tensors here, and the block with them.
        block = ops.minimum(ops.maximum(BLOCK // (batch * m), 1), n)
    count = (n + block - 1) // block
    padding = ops.zeros_like(x[:, :1]) + ops.zeros((1, block, 1), x.dtype)
    padded = ops.concatenate([x, padding], axis=1)[:, : count * block]
    blocks = ops.transpose(ops.reshape(padded, (-1, count, block, 3)), (1, 0, 2, 3))
    found = ops.moveaxis(ops.map(lambda queries: search(queries, y), blocks), 0, 1)
    return ops.reshape(found, (-1, count * block, *found.shape[3:]))[:, :n]


def _closest(x: Tensor, y: Tensor, k: int | None, lowest: bool) -> Tensor:
    distance = _squared_along(0, x, y)
    for axis in (1, 2):
        distance += _squared_along(axis, x, y)
    if k is None:
        return _first_of_ties(distance) if lowest else _argmin(distance)
    negative, index = ops.top_k(-distance, k)
    index = ops.cast(index, "int32")
    if host.accelerated():
        return index
    return ops.where(negative > -math.inf, index, index[..., :1])


def _squared_along(axis: int, x: Tensor, y: Tensor) -> Any:
    return ops.square(ops.expand_dims(x[..., axis], 2) - ops.expand_dims(y[..., axis], 1))


def _first_of_ties(distance: Tensor) -> Tensor:
    bound = ops.min(distance, axis=-1, keepdims=True) * (1 + kd_tree.TIE)
    return _argmin(ops.cast(distance > bound, "float32"))


def _argmin(values: Tensor) -> Tensor:
    # keras.ops.argmin on floats becomes an operator that LiteRT does not have; tf.argmin does not.
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        if host.accelerated():
            return tf.argmax(-values, axis=-1, output_type=tf.int32)
        return tf.argmin(values, axis=-1, output_type=tf.int32)
    return ops.cast(ops.argmin(values, axis=-1), "int32")
