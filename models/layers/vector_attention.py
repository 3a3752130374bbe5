"""Vector attention: attention among neighboring points with one weight per channel, and blocks made of it."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_wcd.models.layers.mlp import JointDense, batch_norm
from keras_wcd.models.layers.splitting import Splitting
from keras_wcd.ops import gather_points
from keras_wcd.types import Tensor

WIDENING = 4
"""The hidden layer of the scores is this many times as wide as the features."""


@keras.saving.register_keras_serializable("keras_wcd")
class VectorAttention(keras.layers.Layer):
    r"""Vector attention over the K neighbors of each point (Point Transformer, Zhao et al., ICCV 2021).

    $$y_i = \sum_j w_{ij} \odot (v_j + e_{ij}), \qquad w_{ij} = \operatorname{softmax}_j A(q_i - k_j + e_{ij}),
    \qquad e_{ij} = P(p_i - p_j)$$

    P and A are two dense layers each with batch normalization and ReLU between them. With a `factor`, the last
    layer of A gives every point that many children with weights of their own (SeedFormer, ECCV 2022).

    Since the weights of a softmax sum to one, a value of the point itself in the sum, $v_i$ in place of $v_j$
    or beside it, comes out of it as it is: the caller adds it to the result.

    Args:
        dim: Channels C of queries, keys, values and result.
        factor: Children U of each point; None where a point has one result and A ends in a dense layer.
        normalize: Whether the scores pass the softmax; without it they are the weights.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, dim: int, factor: int | None = None, normalize: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.dim, self.factor, self.normalize = dim, factor, normalize
        self.position_1 = keras.layers.Dense(dim, name="position_1")
        self.position_norm = batch_norm("position_norm")
        self.position_2 = keras.layers.Dense(dim, name="position_2")
        self.score_1 = keras.layers.Dense(WIDENING * dim, name="score_1")
        self.score_norm = batch_norm("score_norm")
        self.score_2 = (
            keras.layers.Dense(dim, name="score_2") if factor is None else Splitting(dim, factor, name="score_2")
        )

    def build(self, input_shape: Sequence[tuple]) -> None:
        """Build the layers of P and A."""
        pairs = tuple(input_shape[0][:-1])
        self.position_1.build((*pairs, input_shape[0][-1]))
        for layer in (self.position_norm, self.position_2, self.score_1):
            layer.build((*pairs, self.dim))
        for layer in (self.score_norm, self.score_2):
            layer.build((*pairs, WIDENING * self.dim))

    def call(self, inputs: Sequence[Tensor], training: bool | None = None) -> Tensor:
        """Attention.

        Args:
            inputs: `[offset (B, N, K, 3), index (B, N, K), query (B, N, C), key (B, N, C)]` and, unless the
                value is the point's own, `value (B, N, C)`.
            training: Whether the batch's statistics normalize it.

        Returns:
            `(B, N, C)`, or `(B, N, U, C)` with a factor.
        """
        offset, index, query, *sources = inputs
        position = ops.relu(self.position_norm(self.position_1(offset), training=training))
        position = self.position_2(position)  # (B, N, K, C)
        gathered = gather_points(ops.concatenate(sources, axis=-1), index)
        key, value = gathered[..., : self.dim], gathered[..., self.dim :]
        score = self.score_1(ops.expand_dims(query, 2) - key + position)
        score = self.score_2(ops.relu(self.score_norm(score, training=training)))  # (B, N, K, U * C)
        value = value + position if len(sources) == 2 else position
        return self._summed(score, value)

    def _summed(self, score: Tensor, value: Tensor) -> Tensor:
        """The values `(B, N, K, C)` weighted by the scores `(B, N, K, U * C)`."""
        total = 1.0
        if self.normalize:
            score = ops.exp(score - ops.stop_gradient(ops.max(score, axis=2, keepdims=True)))
            total = ops.sum(score, axis=2)
            total = total if self.factor is None else self._children(total)
        if self.factor is not None:
            score, value = self._children(score), ops.expand_dims(value, 3)
        return ops.sum(score * value, axis=2) / total

    def _children(self, x: Tensor) -> Tensor:
        """`(..., U * C)` -> `(..., U, C)`."""
        return ops.reshape(x, (-1, *ops.shape(x)[1:-1], self.factor, self.dim))

    def compute_output_shape(self, input_shape: Sequence[tuple]) -> tuple:
        """`(B, N, C)`, or `(B, N, U, C)` with a factor."""
        children = () if self.factor is None else (self.factor,)
        return (*input_shape[2][:-1], *children, self.dim)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "dim": self.dim, "factor": self.factor, "normalize": self.normalize}


def attention_names(official: str, name: str) -> dict[str, str]:
    """Where the PyTorch modules `pos_mlp` and `attn_mlp` keep the weights of such an attention: theirs -> ours."""
    parts = {"0": "1", "1": "norm", "3": "2"}
    return {
        f"{official}.{module}.{theirs}": f"{name}/{ours}_{part}"
        for module, ours in (("pos_mlp", "position"), ("attn_mlp", "score"))
        for theirs, part in parts.items()
    }


def dense_names(official: str, name: str, parts: Sequence[str]) -> dict[str, str]:
    """PyTorch modules `conv_<part>` in `official` -> `name_<part>`."""
    return {f"{official}.conv_{part}": f"{name}_{part}" for part in parts}


def residual_mlp(x: Tensor | list[Tensor], hidden: int, width: int, name: str) -> Tensor:
    """Two dense layers, ReLU between them, beside a third one: `name_1` and `name_2`, `name_shortcut`."""
    dense = JointDense if isinstance(x, list) else keras.layers.Dense
    deep = ops.relu(dense(hidden, name=f"{name}_1")(x))
    return keras.layers.Dense(width, name=f"{name}_2")(deep) + dense(width, name=f"{name}_shortcut")(x)


def residual_mlp_names(official: str, name: str) -> dict[str, str]:
    """Where PyTorch keeps the weights of a `residual_mlp`: theirs -> ours."""
    return dense_names(official, name, ("1", "2", "shortcut"))
