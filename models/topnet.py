"""TopNet: Structural Point Cloud Decoder (Tchapmi et al., CVPR 2019)."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_wcd.models.arguments import positive, widths_of
from keras_wcd.models.base import CompletionModel
from keras_wcd.models.layers.mlp import PCN_ENCODER, mlp, mlp_names, pcn_encoder
from keras_wcd.models.weights.initialization import draw_as_pytorch
from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class TopNet(CompletionModel):
    """A tree grown from a global code: every node puts forth children under the code, the leaves are points.

    Weight-compatible with the version in PoinTr's repository, whose encoder is PCN's, which joins the code
    before the node and lays out a level child by child; the paper's own code does otherwise. One stage
    `(B, P, 3)`, with P the product of `tree`: the PCN configuration has 16384 points; that of ShapeNet-55 is
    `tree=(2, 2, 2, 4, 4, 4, 4, 4)`, 8192 points.

    Args:
        tree: Children of the root, then of each node of every further level; the last level is the cloud.
        node: Features of a node.
        latent: Length of the global code.
        encoder: Widths of the encoder's other three layers.
        root: Widths of the two hidden layers that make the root's children.
        **kwargs: As of `CompletionModel`.
    """

    def __init__(
        self,
        tree: Sequence[int] = (2, 2, 4, 4, 4, 4, 4, 4),
        node: int = 8,
        latent: int = 1024,
        encoder: Sequence[int] = (128, 256, 512),
        root: Sequence[int] = (256, 64),
        **kwargs: Any,
    ):
        node, latent = positive(node, "node"), positive(latent, "latent")
        encoder, root = widths_of(encoder, 3, "encoder"), widths_of(root, 2, "root")
        tree = widths_of(tree, len(tree), "tree")
        if len(tree) < 2:
            raise ValueError(f"tree must have at least two levels, got {tree}")

        partial = keras.Input((None, 3), name="partial")
        code = pcn_encoder(partial, encoder, latent)
        nodes = mlp(code, (*root, node * tree[0]), "root")
        nodes = _children(ops.tanh(nodes), tree[0])
        hidden = [(latent + node) // part for part in (2, 4, 8)]
        for level, children in enumerate(tree[1:], start=1):
            last = level == len(tree) - 1
            widths = (*hidden, children * (3 if last else node))
            name = "leaf" if last else f"level{level}"
            nodes = _children(ops.tanh(mlp([code, nodes], widths, name, coordinates=last)), children)

        super().__init__(partial, (nodes,), **kwargs)
        self.tree = tree
        self.node = node
        self.latent = latent
        self.encoder = encoder
        self.root = root
        draw_as_pytorch(self)

    def official_weights(self) -> dict[str, str | None]:
        """Modules of `models/TopNet.py` in PoinTr's repository."""
        names: dict[str, str | None] = {
            **PCN_ENCODER,
            **mlp_names("root_layer", "root", 3),
            **mlp_names("leaf_layer", "leaf", 4),
        }
        for level in range(1, len(self.tree) - 1):
            names |= mlp_names(f"feature_layers.{level - 1}", f"level{level}", 4)
        return names


def _children(features: Tensor, count: int) -> Tensor:
    """`(B, N, C * count)` -> `(B, count * N, C)`: the first children of all nodes, then the second ones."""
    nodes, channels = features.shape[1], features.shape[2] // count
    features = ops.reshape(features, (-1, nodes, channels, count))
    return ops.reshape(ops.transpose(features, (0, 3, 1, 2)), (-1, count * nodes, channels))
