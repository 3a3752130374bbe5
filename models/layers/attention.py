"""Attention of every row to every row."""

from keras import ops

from keras_wcd.types import Tensor


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    r"""Attention of several heads (Vaswani et al., NeurIPS 2017), each on its share of D channels.

    $$\operatorname{softmax}(Q K^\top / \sqrt{D}) V$$

    Args:
        query: `(B, N, C)`.
        key: `(B, M, C)`.
        value: `(B, M, C)`.
        heads: Heads; they divide C.

    Returns:
        `(B, N, C)`.
    """
    channels = query.shape[-1]
    parts = (ops.reshape(x, (-1, x.shape[1], heads, channels // heads)) for x in (query, key, value))
    query, key, value = (ops.transpose(x, (0, 2, 1, 3)) for x in parts)  # (B, heads, N, D)
    score = ops.matmul(query * (channels // heads) ** -0.5, ops.transpose(key, (0, 1, 3, 2)))
    seen = ops.matmul(ops.softmax(score, axis=-1), value)
    return ops.reshape(ops.transpose(seen, (0, 2, 1, 3)), (-1, seen.shape[2], channels))
