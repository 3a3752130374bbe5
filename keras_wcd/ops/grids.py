"""Clouds and cubic grids: gridding, its reverse and cubic feature sampling of GRNet (Xie et al., ECCV 2020).

A grid of S vertices along a side covers the cube [-1, 1]: vertex (i, j, k) lies at (i, j, k) * 2 / S - 1, so that
the last vertex lies one step inside the cube. Flattened, i varies slowest and k fastest.
"""

import itertools

from keras import ops

from keras_wcd.ops.clouds import as_points
from keras_wcd.ops.neighbors import gather_points
from keras_wcd.types import Tensor

EMPTY = 1e-6
"""A cell whose eight vertices weigh less than this holds no point."""
CORNERS = tuple(itertools.product((0, 1), repeat=3))
"""Vertices of a cell, seen from its lowest one: x slowest, z fastest."""


def gridding(points: Tensor, size: int) -> Tensor:
    r"""A cloud spread over the vertices of a grid, each point over the eight vertices of its cell.

    $$g_v = \sum_p \prod_{a \in \{x, y, z\}} \bigl(1 - \lvert p_a - v_a \rvert\bigr),
    \qquad p \text{ and } v \text{ in steps of the grid}$$

    Differentiable in the points. A row whose coordinates sum to exactly zero is padding and weighs nothing.
    Vertices outside the grid are left out; the released operator writes their weight to other vertices.

    Args:
        points: Clouds `(B, N, 3)` in the cube [-1, 1].
        size: Vertices S along a side, even.

    Returns:
        Weights `(B, S, S, S)`, float32 or wider.

    Raises:
        ValueError: for other shapes, an empty cloud, an integer dtype or a size that is not even and positive.
    """
    points = as_points(points, "points")
    _check_size(size)
    scaled = points * (size / 2)
    lower, near = _cells(scaled, size, size // 2)
    fraction = scaled - ops.stop_gradient(ops.floor(scaled))
    total = points[..., 0] + points[..., 1] + points[..., 2]
    counts = near & (total != 0)
    weights, cells = [], []
    for corner in CORNERS:
        index, inside = _vertex(lower, corner, size)
        parts = [fraction[..., a] if up else 1 - fraction[..., a] for a, up in enumerate(corner)]
        weights.append(ops.where(inside & counts, parts[0] * parts[1] * parts[2], 0))
        cells.append(index)
    batch = ops.shape(points)[0]
    offset = ops.expand_dims(ops.arange(batch, dtype="int32") * size**3, 1)
    cells = [ops.reshape(cell + offset, (-1,)) for cell in cells]
    weights = [ops.reshape(weight, (-1,)) for weight in weights]
    grid = ops.segment_sum(ops.concatenate(weights), ops.concatenate(cells), batch * size**3)
    return ops.reshape(grid, (-1, size, size, size))


def gridding_reverse(grid: Tensor) -> Tensor:
    r"""One point per cell of a grid: the mean of the cell's eight vertices under their weights.

    $$p = \frac{\sum_v g_v \, v}{\sum_v g_v}$$

    Row (i, j, k) is the cell between the vertices (i - 1, j - 1, k - 1) and (i, j, k). It is (0, 0, 0) where an
    index is 0 or the weights of the cell sum to less than 1e-6.

    Args:
        grid: Weights `(B, S, S, S)`, not negative, S even.

    Returns:
        Clouds `(B, S ** 3, 3)` in the cube [-1, 1], differentiable in the weights.

    Raises:
        ValueError: for another shape.
    """
    grid = ops.convert_to_tensor(grid)
    size = grid.shape[-1]
    if len(grid.shape) != 4 or set(grid.shape[1:]) != {size}:
        raise ValueError(f"grid must be of shape (batch, S, S, S), got {tuple(grid.shape)}")
    _check_size(size)
    low = ops.arange(size - 1, dtype=grid.dtype) - size / 2
    axes, full = [], None
    for axis in (1, 2, 3):
        # Both planes of a cell are summed in the same order and the ratio is taken of their own sum: where one
        # weighs nothing, the point lies exactly on the other, and a later floor() is decided by no rounding.
        planes = grid
        for other in {1, 2, 3} - {axis}:
            planes = _pairs(planes, other)
        upper, total = _part(planes, axis, 1, size), _pairs(planes, axis)
        if full is None:
            full = total >= EMPTY
        shape = [1, 1, 1, 1]
        shape[axis] = size - 1
        mean = ops.reshape(low, shape) + upper / ops.where(full, total, 1)
        axes.append(ops.where(full, mean, 0) * (2 / size))
    points = ops.pad(ops.stack(axes, axis=-1), ((0, 0), (1, 0), (1, 0), (1, 0), (0, 0)))
    return ops.reshape(points, (-1, size**3, 3))


def cubic_feature_sampling(points: Tensor, features: Tensor) -> Tensor:
    """Features of the eight vertices around every point, x slowest and z fastest; zeros outside the grid.

    No gradient flows into the points.

    Args:
        points: Clouds `(B, N, 3)`; the cube [-1, 1] is covered by the grid.
        features: Features of the vertices `(B, S, S, S, C)`, S even.

    Returns:
        Features `(B, N, 8, C)`.

    Raises:
        ValueError: for other shapes, an empty cloud or an integer dtype.
    """
    points, features = as_points(points, "points"), ops.convert_to_tensor(features)
    if len(features.shape) != 5 or len(set(features.shape[1:4])) != 1:
        raise ValueError(f"features must be of shape (batch, S, S, S, C), got {tuple(features.shape)}")
    size, channels = features.shape[1], features.shape[4]
    _check_size(size)
    # Half the size is added before floor(), as the release does: its rounding decides for points on a face.
    lower, near = _cells(points * (size / 2) + size / 2, size)
    found = [_vertex(lower, corner, size) for corner in CORNERS]
    index = ops.stack([index for index, _ in found], axis=-1)
    inside = ops.stack([inside & near for _, inside in found], axis=-1)
    rows = gather_points(ops.reshape(features, (-1, size**3, channels)), index)
    return ops.where(ops.expand_dims(inside, -1), rows, ops.zeros((), rows.dtype))


def _check_size(size: int | None) -> None:
    if size is None or size < 2 or size % 2:
        raise ValueError(f"the grid must have an even number of vertices along a side, got {size}")


def _cells(scaled: Tensor, size: int, offset: int = 0) -> tuple[Tensor, Tensor]:
    """Offsets `(B, N, 3)` of the cells' lowest vertices, and which points lie near enough to be cast."""
    floor = ops.floor(ops.stop_gradient(scaled)) + offset
    near = ops.all((floor >= -1) & (floor <= size), axis=-1)
    return ops.cast(ops.clip(ops.where(floor == floor, floor, 0), -1, size), "int32"), near


def _vertex(lower: Tensor, corner: tuple[int, ...], size: int) -> tuple[Tensor, Tensor]:
    """Flat index of a cell's vertex, 0 where that is outside, and whether it is inside; both `(B, N)`."""
    x, y, z = (lower[..., axis] + up for axis, up in enumerate(corner))
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size) & (z >= 0) & (z < size)
    return ops.where(inside, (x * size + y) * size + z, 0), inside


def _part(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    return x[tuple(slice(start, stop) if a == axis else slice(None) for a in range(len(x.shape)))]


def _pairs(x: Tensor, axis: int) -> Tensor:
    """Sums of neighboring planes along an axis."""
    size = x.shape[axis]
    return _part(x, axis, 0, size - 1) + _part(x, axis, 1, size)
