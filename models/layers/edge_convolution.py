"""Edge convolution and pooling on graphs of neighbors, in space or in features."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_wcd.models.layers.edges import EdgeDense
from keras_wcd.models.layers.mlp import batch_norm, coordinate_dtype
from keras_wcd.models.layers.uncast import UncastLayer, at_least_float32
from keras_wcd.ops import farthest_point_sampling, gather_points, knn
from keras_wcd.types import Tensor


def feature_neighbors(features: Tensor, count: int) -> Tensor:
    """Indices `(B, N, count)` of the rows nearest to every row of `(B, N, C)`, itself among them.

    Points are compared by difference, features by the expanded form: a rounded distance decides nothing but
    which of two nearly equally far neighbors is taken.
    """
    features = ops.stop_gradient(features)
    if features.shape[-1] == 3:
        return knn(features, features, count)[1]
    features = at_least_float32(features)
    square = ops.sum(ops.square(features), axis=-1)
    product = ops.matmul(features, ops.swapaxes(features, 1, 2))
    distance = ops.expand_dims(square, 2) + ops.expand_dims(square, 1) - 2 * product
    return ops.cast(ops.top_k(-distance, count)[1], "int32")


class Graph(UncastLayer):
    """A layer made of layers, whose coordinates stay in float32."""

    def part(self, name: str, units: int, *, norm: bool = False, dtype: str | None = None, kind: type | None = None):
        """Make the layer `name`, a dense one, and the normalization after it."""
        dtype = dtype or self.dtype_policy
        setattr(self, name, (kind or keras.layers.Dense)(units, name=name, dtype=dtype))
        if norm:
            setattr(self, f"{name}_norm", batch_norm(f"{name}_norm"))


@keras.saving.register_keras_serializable("keras_wcd")
class EdgeConvolution(Graph):
    r"""Edge convolution of DGCNN (Wang et al., TOG 2019) with three layers, on neighbors in feature space.

    $$y_i = \max_k \, \mathrm{mlp}([x_k - x_i, x_i])$$

    Args:
        units: Output channels; the two layers before are half as wide.
        neighbors: Neighbors K per point, itself among them.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, units: int, neighbors: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units, self.neighbors = units, neighbors
        self.part("edge", units // 2, norm=True, kind=EdgeDense)
        self.part("middle", units // 2, norm=True)
        self.part("last", units)

    def build(self, input_shape: tuple) -> None:
        """Build the three layers."""
        batch, count, channels = input_shape
        pairs = (batch, count, self.neighbors)
        self.edge.build([pairs, input_shape, input_shape])
        for layer in (self.edge_norm, self.middle, self.middle_norm, self.last):
            layer.build((*pairs, self.units // 2))

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """Features or points `(B, N, C)` -> `(B, N, units)`."""
        index = feature_neighbors(x, self.neighbors)
        y = self.edge([index, x, x])
        y = self.middle(ops.leaky_relu(self.edge_norm(y, training=training), 0.2))
        y = self.last(ops.leaky_relu(self.middle_norm(y, training=training), 0.2))
        return ops.max(y, axis=2)

    def compute_output_spec(self, x: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """`(B, N, units)`."""
        return keras.KerasTensor((*x.shape[:2], self.units), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "units": self.units, "neighbors": self.neighbors}


class NeighborAttention(Graph):
    """Scores of neighbors by two layers of a relation, and positions by two layers of an offset.

    Args:
        position: Width of the hidden layer of the positions.
        hidden: Width of the hidden layer of the scores.
        units: Channels of the features.
        scores: Scores per neighbor.
        slope: Of the LeakyReLU in both; 0 is ReLU.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, position: int, hidden: int, units: int, scores: int, slope: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.sizes, self.slope = (position, hidden, units, scores), slope
        self.part("position_1", position, norm=True)
        self.part("position_2", units)
        self.part("score_1", hidden, norm=True)
        self.part("score_2", scores)

    def build(self, input_shape: Sequence[tuple]) -> None:
        """Build the four layers."""
        position, hidden, units, _ = self.sizes
        pairs = tuple(input_shape[0])
        for layer, channels in (
            (self.position_1, 3),
            (self.position_1_norm, position),
            (self.position_2, position),
            (self.score_1, units),
            (self.score_1_norm, hidden),
            (self.score_2, hidden),
        ):
            layer.build((*pairs, channels))

    def call(self, inputs: Sequence[Tensor], training: bool | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Attention.

        Args:
            inputs: `[index (B, S, K), centers (B, S, 3), queries (B, S, C), points (B, N, 3), features (B, N, C)]`.
            training: Whether the batch's statistics normalize it.

        Returns:
            Weights `(B, S, K, scores)` that sum to 1 over K, neighbors `(B, S, K, 3)`, and their features with
            their positions added `(B, S, K, C)`.
        """
        index, centers, queries, points, features = inputs
        neighbors, values = gather_points(points, index), gather_points(features, index)
        offset = ops.expand_dims(centers, 2) - neighbors
        position = self.position_1_norm(self.position_1(offset), training=training)
        position = self.position_2(ops.leaky_relu(position, self.slope))
        score = self.score_1(ops.expand_dims(queries, 2) - values + position)
        score = self.score_2(ops.leaky_relu(self.score_1_norm(score, training=training), self.slope))
        return ops.softmax(score, axis=2), neighbors, values + position


@keras.saving.register_keras_serializable("keras_wcd")
class GraphPooling(Graph):
    """Farthest points moved to a weighted mean of their neighbors, with a mean of their features.

    The adaptive graph pooling of FBNet (Yan et al., ECCV 2022).

    Args:
        count: Points to keep.
        neighbors: Neighbors per point.
        hidden: Width of the hidden layers.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, count: int, neighbors: int, hidden: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.count, self.neighbors, self.hidden = count, neighbors, hidden

    def build(self, input_shape: Sequence[tuple]) -> None:
        """Make the attention."""
        batch, _, units = input_shape[1]
        self.attention = NeighborAttention(
            self.hidden, self.hidden, units, 3 + units, 0.2, name="attention", dtype=self.dtype_policy
        )
        self.attention.build([(batch, self.count, self.neighbors)])

    def call(self, inputs: Sequence[Tensor], training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Points `(B, N, 3)`, features `(B, N, C)` -> `(B, count, 3)`, `(B, count, C)`."""
        points, features = inputs
        chosen = farthest_point_sampling(points, self.count)
        centers, queries = gather_points(points, chosen), gather_points(features, chosen)
        index = knn(centers, points, self.neighbors)[1]
        weight, neighbors, values = self.attention([index, centers, queries, points, features], training=training)
        weight_of_point = ops.cast(weight[..., :3], neighbors.dtype)
        return ops.sum(weight_of_point * neighbors, axis=2), ops.sum(weight[..., 3:] * values, axis=2)

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor], training: bool | None = None) -> tuple:
        """`(B, count, 3)` and `(B, count, C)`."""
        points, features = inputs
        return (
            keras.KerasTensor((points.shape[0], self.count, 3), points.dtype),
            keras.KerasTensor((points.shape[0], self.count, features.shape[-1]), self.compute_dtype),
        )

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "count": self.count, "neighbors": self.neighbors, "hidden": self.hidden}


@keras.saving.register_keras_serializable("keras_wcd")
class FeedbackBlock(Graph):
    """The feedback-aware completion block of FBNet: a cloud refined and unfolded under features of a finer one.

    Args:
        factor: Points put out for every point.
        width: Channels C of the features.
        neighbors: Neighbors per point; half as many where a point is unfolded.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, factor: int, width: int, neighbors: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.factor, self.width, self.neighbors = factor, width, neighbors
        policy = self.dtype_policy
        self.extraction = EdgeConvolution(width, neighbors, name="extraction", dtype=policy)
        self.part("mlp_1", 2 * width)
        self.part("mlp_2", width)
        self.attention = NeighborAttention(width // 2, 2 * width, width, width, 0.0, name="attention", dtype=policy)
        self.shuffle = EdgeConvolution(width * min(factor, 4), max(1, neighbors // 2), name="shuffle", dtype=policy)
        self.part("split", width * factor)
        self.part("offset_1", width)
        self.part("offset_2", width // 2)
        self.part("offset_3", 3, dtype=coordinate_dtype())

    def build(self, input_shape: Sequence[tuple]) -> None:
        """Build every layer."""
        batch, count, _ = input_shape[0]
        points, width = (batch, count), self.width
        self.extraction.build((*points, 3))
        self.attention.build([(*points, self.neighbors)])
        self.shuffle.build((*points, width))
        for layer, channels in (
            (self.mlp_1, 2 * width),
            (self.mlp_2, 2 * width),
            (self.split, width * min(self.factor, 4)),
            (self.offset_1, width),
            (self.offset_2, width),
            (self.offset_3, width // 2),
        ):
            layer.build((*points, channels))

    def call(self, inputs: Sequence[Tensor], training: bool | None = None) -> tuple[Tensor, Tensor]:
        """A step.

        Args:
            inputs: `[points (B, N, 3)]`, and from the second step on `next_points (B, M, 3)` and
                `next_features (B, M, C)`, which this block put out in the step before.
            training: Whether the batch's statistics normalize it.

        Returns:
            Points `(B, factor * N, 3)` and their features `(B, factor * N, C)`.
        """
        points = inputs[0]
        x = self.extraction(points, training=training)
        whole = ops.broadcast_to(ops.max(x, axis=1, keepdims=True), ops.shape(x))
        x = self.mlp_2(ops.leaky_relu(self.mlp_1(ops.concatenate([x, whole], axis=-1)), 0.2))
        x = self._attend(points, x, *inputs[1:], training=training)
        x = self.split(self.shuffle(x, training=training))
        x = ops.reshape(x, (-1, points.shape[1] * self.factor, self.width))
        offset = ops.leaky_relu(self.offset_1(x), 0.2)
        offset = self.offset_3(ops.leaky_relu(self.offset_2(offset), 0.2))
        return ops.repeat(points, self.factor, axis=1) + offset, x

    def _attend(self, points: Tensor, x: Tensor, *following: Tensor, training: bool | None) -> Tensor:
        """Features of the points and their neighbors among them and the next points."""
        if following:
            known = ops.concatenate([points, following[0]], axis=1)
            features = ops.concatenate([x, ops.cast(following[1], x.dtype)], axis=1)
            count = self.neighbors
        else:
            # The official first step joins the points with themselves: each of half as many neighbors twice.
            known, features, count = points, x, max(1, self.neighbors // 2)
        # A point kept from the step before lies on one of the next points, with other features. Where only one of
        # the two is among the neighbors, the release leaves it to chance; here it is the point of this step.
        index = knn(points, known, count, method="brute")[1]
        weight, _, values = self.attention([index, points, x, known, features], training=training)
        return ops.sum(weight * values, axis=2)

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor], training: bool | None = None) -> tuple:
        """Points and features, `factor` times as many."""
        batch, count, _ = inputs[0].shape
        count = count * self.factor
        return (
            keras.KerasTensor((batch, count, 3), inputs[0].dtype),
            keras.KerasTensor((batch, count, self.width), self.compute_dtype),
        )

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        own = {"factor": self.factor, "width": self.width, "neighbors": self.neighbors}
        return {**super().get_config(), **own}
