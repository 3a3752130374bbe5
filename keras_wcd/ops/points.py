"""Sampling, grouping and interpolation of clouds, with the meaning that pointnet2_ops gave them.

The operations are those of PointNet++ (Qi et al., NeurIPS 2017); published networks are reproduced only if ties,
padding and missing neighbors are treated as its released operators treat them, and each docstring says how.
"""

import functools

import keras
import numpy as np
from keras import ops

from keras_wcd.ops import host, neighbors
from keras_wcd.ops.clouds import as_pair, as_points
from keras_wcd.ops.neighbors import gather_points, knn
from keras_wcd.ops.sampling import NEAR_ORIGIN, RULES, farthest_points_of_each
from keras_wcd.types import Tensor

LARGEST = 3.0e38
"""Beyond this a coordinate counts as infinite; a comparison, since LiteRT has no operator for finiteness."""
MOST_UNROLLED = 1024
"""Samples that a graph without loops may choose from a cloud: each takes three operators."""
FEW = 8
"""Tensors that an unrolled sampling joins at once."""
FARTHER = 1e30
"""Beyond any squared distance of points of a cloud in a network's frame."""
SMALLEST = 1e-10
"""Least distance that an interpolation divides by, as in pointnet2_ops."""


def farthest_point_sampling(
    points: Tensor, num_samples: int, *, rule: str = "standard", method: str = "auto"
) -> Tensor:
    r"""Indices of `num_samples` points, each the farthest from those chosen before it (Eldar et al., 1997).

    $$i_0 = 0, \qquad i_{k+1} = \arg\max_i \min_{j \le k} \lVert p_i - p_{i_j} \rVert^2$$

    Ties go to the lowest index; samples nest: fewer samples are a prefix of more. Rows that hold NaN are padding
    and are chosen only where a cloud holds nothing else.

    Args:
        points: Clouds `(B, N, 3)`.
        num_samples: Points to choose from each cloud, 1 to N.
        rule: `"standard"`, or `"pointnet2"`, which never chooses a point with squared norm <= 1e-3 (index 0
            excepted): the behavior of pointnet2_ops, on which most published networks were trained.
        method: `"host"` runs NumPy on the CPU (not inside `jit_compile=True`), `"loop"` is a loop of the
            backend that runs anywhere and can be exported, `"auto"` takes the host where it can.

    Returns:
        Indices `(B, num_samples)`, int32, without gradient.

    Raises:
        ValueError: for another shape, an empty cloud, an integer dtype, a number of samples outside 1 to N, an
            unknown rule or method.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {RULES}, got {rule!r}")
    # The rule "pointnet2" looks at the place of the points, the other at their distances alone.
    points = as_points(points, "points") if rule == "pointnet2" else as_pair(points, points, "points", "points")[0]
    _check_samples(num_samples, points.shape[1])
    if _on_host(method, ("auto", "host", "loop")):
        search = functools.partial(_sample_on_host, count=num_samples, rule=rule)
        return host.call(search, points, shapes=[(points.shape[0], num_samples)])[0]
    if host.accelerated():
        return _sample_unrolled(ops.stop_gradient(points), num_samples, rule)
    return _sample_in_loop(ops.stop_gradient(points), num_samples, rule)


def ball_query(centers: Tensor, points: Tensor, radius: float, num_samples: int, *, method: str = "auto") -> Tensor:
    r"""Indices of points in a ball around every center, as pointnet2_ops answers.

    $$\{\, j : \lVert c_i - p_j \rVert^2 < r^2 \,\}$$

    The first `num_samples` hits in the order of their indices, not of their distances. Fewer hits are filled up
    with the first one, no hit with 0. Rows of `points` that hold NaN are padding and are never hit.

    Args:
        centers: Centers of the balls `(B, S, 3)`.
        points: Points to find `(B, N, 3)`.
        radius: Radius r of the balls, in units of the points.
        num_samples: Indices K per ball; may exceed N.
        method: `"host"` runs NumPy on the CPU (not inside `jit_compile=True`), `"brute"` compares blocks of
            pairs on the backend, runs anywhere and can be exported, `"auto"` takes the host where it can.

    Returns:
        Indices `(B, S, K)`, int32, without gradient.

    Raises:
        ValueError: for other shapes, an empty cloud, an integer dtype, a radius or number of samples that is not
            positive, or an unknown method.
    """
    centers, points = as_pair(centers, points, "centers", "points")
    _check_samples(num_samples, None)
    if not radius > 0:
        raise ValueError(f"radius must be positive, got {radius}")
    if _on_host(method, ("auto", "host", "brute")):
        search = functools.partial(_hits_on_host, radius=radius, count=num_samples)
        return host.call(search, centers, points, shapes=[(*centers.shape[:2], num_samples)])[0]
    centers, points = ops.stop_gradient(centers), ops.stop_gradient(points)
    return neighbors.in_blocks(lambda c, p: _hits(c, p, radius, num_samples), centers, points)


def three_interpolate(
    queries: Tensor, points: Tensor, features: Tensor, *, k: int = 3, squared: bool = False
) -> Tensor:
    r"""Features at the queries: those of the `k` nearest points, weighted by inverse distance.

    $$f(q) = \frac{\sum_j w_j f_j}{\sum_j w_j}, \qquad w_j = \frac{1}{\max(\lVert q - p_j \rVert, 10^{-10})}$$

    Gradient flows into the features alone, as in the released operators: the weights are constants. Where a
    cloud has fewer than `k` points, the missing ones weigh nothing.

    Args:
        queries: Where features are wanted `(B, N, 3)`.
        points: Where features are known `(B, M, 3)`; rows that hold NaN are padding.
        features: Features of the points `(B, M, C)`.
        k: Neighbors per query.
        squared: Squared distances in the weights, as in the TensorFlow 1 release of PointNet++ (CRN and NSFA use
            it); the PyTorch release takes the distances themselves.

    Returns:
        Features `(B, N, C)` in the dtype of `features`.

    Raises:
        ValueError: for other shapes, an empty cloud, an integer dtype or `k` below 1.
    """
    queries, points = as_pair(queries, points, "queries", "points")
    features = _as_features(features, points)
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    k = k if points.shape[1] is None else min(k, points.shape[1])
    distance, index = knn(ops.stop_gradient(queries), ops.stop_gradient(points), k)
    distance = distance if squared else ops.sqrt(distance)
    weight = 1 / ops.maximum(distance, SMALLEST)
    if not host.accelerated():
        # A search that runs out of points repeats the nearest.
        missing = ops.concatenate([ops.zeros_like(index[..., :1]), ops.ones_like(index[..., 1:])], axis=-1)
        weight = ops.where((missing > 0) & (index == index[..., :1]), 0, weight)
    weight = ops.cast(weight / ops.sum(weight, axis=-1, keepdims=True), features.dtype)
    # One neighbor at a time: (B, N, C) in memory, not (B, N, k, C).
    terms = [weight[..., j : j + 1] * gather_points(features, index[..., j]) for j in range(k)]
    return functools.reduce(ops.add, terms)


def _on_host(method: str, methods: tuple[str, ...]) -> bool:
    if method not in methods:
        raise ValueError(f"method must be one of {methods}, got {method!r}")
    return method == "host" or (method == "auto" and host.available())


def _check_samples(num_samples: int, most: int | None) -> None:
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    if most is not None and num_samples > most:
        raise ValueError(f"num_samples must not exceed the number of points ({most}), got {num_samples}")


def _as_features(features: Tensor, points: Tensor) -> Tensor:
    features = ops.convert_to_tensor(features)
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(features.dtype)):
        raise ValueError(f"features must hold floating-point values, got dtype {features.dtype}; cast them to float32")
    sizes = zip(features.shape[:2], points.shape[:2], strict=False)
    if len(features.shape) != 3 or any(None not in pair and pair[0] != pair[1] for pair in sizes):
        raise ValueError(
            f"features must have one row per point, (B, M, C), got shape {tuple(features.shape)} "
            f"for points of shape {tuple(points.shape)}"
        )
    return features


def _sample_on_host(points: np.ndarray, count: int, rule: str) -> list[np.ndarray]:
    # Not in threads: the many short NumPy calls would only pass Python's lock between them.
    return [farthest_points_of_each(points, count, rule)]


def _sample_in_loop(points: Tensor, count: int, rule: str) -> Tensor:
    present = ops.all(ops.abs(points) <= LARGEST, axis=-1)  # (B, N)
    points = ops.where(ops.expand_dims(present, -1), points, 0)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    allowed = present
    if rule == "pointnet2":
        allowed = present & (x * x + y * y + z * z > NEAR_ORIGIN)
    distance = ops.where(allowed, ops.full_like(x, np.inf), -1)
    start = _argmax(ops.cast(present, x.dtype))
    slots = ops.arange(count, dtype="int32")
    chosen = ops.expand_dims(start, 1) + ops.zeros((1, count), "int32")
    state = (chosen, distance, points, x, y, z, slots)
    return ops.fori_loop(1, count, _choose_next, state)[0] if count > 1 else chosen


def _sample_unrolled(points: Tensor, count: int, rule: str) -> Tensor:
    """The same without a loop, for one cloud without padding: each step takes a row of the distances of all pairs."""
    if count > MOST_UNROLLED:
        raise ValueError(
            f"a graph for accelerators holds no loop, and {count} farthest points are too many to write out "
            f"(at most {MOST_UNROLLED}); export for the CPU"
        )
    size = points.shape[1]
    rows = ops.reshape(points, (size, 3))
    x, y, z = (rows[:, i : i + 1] for i in range(3))
    pairs = [ops.square(ops.reshape(axis, (1, size)) - axis) for axis in (x, y, z)]
    pairs = pairs[0] + pairs[1] + pairs[2]  # (N, N)
    distance = ops.full((1, size), FARTHER, points.dtype)
    if rule == "pointnet2":
        # 1 where a point may be chosen, else 0, without the booleans that some accelerators lack.
        allowed = ops.sign(ops.relu(x * x + y * y + z * z - NEAR_ORIGIN))
        distance = ops.reshape(allowed * FARTHER + (allowed - 1), (1, size))
    chosen = [ops.zeros((1,), "int32")]
    for _ in range(1, count):
        distance = ops.minimum(distance, ops.take(pairs, chosen[-1], axis=0))
        chosen.append(_argmax(distance))
    while len(chosen) > 1:
        # A kernel of an accelerator has few inputs.
        chosen = [ops.concatenate(chosen[i : i + FEW]) for i in range(0, len(chosen), FEW)]
    return ops.reshape(chosen[0], (1, count))


def _choose_next(k: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Slot `k` of the sample; all is passed by `state`, so that JAX compiles the loop once per shape.

    Coordinates come as rows of their own: slicing them from `points` in the loop costs LiteRT many times the rest.
    """
    chosen, distance, points, x, y, z, slots = state
    # Slots from k on still hold the choice before: the last slot is always the latest choice.
    latest = gather_points(points, chosen[:, -1:])  # (B, 1, 3)
    dx, dy, dz = x - latest[..., 0], y - latest[..., 1], z - latest[..., 2]
    distance = ops.minimum(distance, dx * dx + dy * dy + dz * dz)
    farthest = ops.expand_dims(_argmax(distance), 1)
    return ops.where(slots >= k, farthest, chosen), distance, points, x, y, z, slots


def _hits_on_host(centers: np.ndarray, points: np.ndarray, radius: float, count: int) -> list[np.ndarray]:
    step = max(1, 2**18 // points.shape[1])
    starts = range(0, centers.shape[1], step)
    jobs = [(c[s : s + step], p, radius, count) for c, p in zip(centers, points, strict=True) for s in starts]
    # No jobs are what a replica gets of a batch of fewer clouds than there are replicas.
    found = host.parallel(_hits_of_block, jobs) if jobs else [np.zeros((0, count), np.int32)]
    return [np.concatenate(found).reshape(*centers.shape[:2], count)]


def _hits_of_block(centers: np.ndarray, points: np.ndarray, radius: float, count: int) -> np.ndarray:
    radius = centers.dtype.type(radius)
    distance = 0
    for axis in range(3):
        difference = centers[:, axis, None] - points[:, axis]
        distance += np.multiply(difference, difference, out=difference)
    inside = np.flatnonzero(distance < radius * radius)
    row, column = np.divmod(inside.astype(np.int32), np.int32(len(points)))
    begin = np.searchsorted(row, np.arange(len(centers) + 1))
    place = np.arange(len(row)) - begin[row]
    found = np.zeros((len(centers), count), np.int32)
    hit = begin[:-1] < begin[1:]
    found[hit] = column[begin[:-1][hit], None]
    kept = place < count
    found[row[kept], place[kept]] = column[kept]
    return found


def _hits(centers: Tensor, points: Tensor, radius: float, count: int) -> Tensor:
    radius = ops.cast(radius, centers.dtype)
    inside = _squares(centers, points) < radius * radius  # (B, S, N)
    # The k largest of N, N - 1, ... 1 over the hits: floats are exact to 2^24 and what top_k is fastest at.
    order = ops.cast(ops.shape(points)[1] - ops.arange(ops.shape(points)[1], dtype="int32"), "float32")
    order = ops.where(inside, order, 0.0)
    if points.shape[1] is None or points.shape[1] < count:
        order = ops.concatenate([order, ops.zeros_like(order[..., :1]) + ops.zeros((count,))], axis=-1)
    value, index = ops.top_k(order, count)
    index = ops.where(value > 0, ops.cast(index, "int32"), 0)
    return ops.where(value > 0, index, index[..., :1])


def _squares(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances of all pairs `(B, N, M)` by difference, one axis at a time."""
    terms = [ops.square(ops.expand_dims(x[..., i], 2) - ops.expand_dims(y[..., i], 1)) for i in range(3)]
    return terms[0] + terms[1] + terms[2]


def _argmax(values: Tensor) -> Tensor:
    # keras.ops.argmax on floats becomes an operator that LiteRT does not have; tf.argmax does not.
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.argmax(values, axis=-1, output_type=tf.int32)
    return ops.cast(ops.argmax(values, axis=-1), "int32")
