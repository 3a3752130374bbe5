"""Terms that recipes add to the loss of a stage."""

from typing import Any

import keras
from keras import ops

from keras_wcd.ops import ball_query, gather_points
from keras_wcd.types import Tensor


def repulsion(cloud: Tensor, *, radius: float = 0.07, width: float = 0.03, count: int = 20, nearest: int = 4) -> Tensor:
    r"""How close the points of a cloud lie to each other (Yu et al., PU-Net, CVPR 2018), as NSFA adds it.

    $$\operatorname{mean}_{i, \, j \in N(i)} \left( r - d_{ij} \, e^{-d_{ij}^2 / h^2} \right)$$

    N(i) are the nearest of the points in the ball of radius r about point i, itself left out. Of a ball the `count`
    first points are looked at; one with fewer is filled up with its first, as the released grouping does.

    Args:
        cloud: `(B, N, 3)`.
        radius: The radius r.
        width: The width h.
        count: Points looked at in a ball, the point itself among them.
        nearest: Points of N(i).

    Returns:
        `(B,)`.
    """
    index = ball_query(cloud, cloud, radius, count)  # (B, N, count)
    offset = gather_points(cloud, index) - ops.expand_dims(cloud, 2)
    square = ops.sum(ops.square(offset), axis=-1)
    # The first of the sorted is the point itself.
    square = -ops.top_k(-square, min(nearest + 1, count))[0][..., 1:]
    # The root has no slope at 0.
    square = ops.maximum(square, 1e-12)
    return ops.mean(radius - ops.sqrt(square) * ops.exp(-square / width**2), axis=(1, 2))


@keras.saving.register_keras_serializable("keras_wcd")
class WithRepulsion(keras.losses.Loss):
    """A loss and, of the answer alone, `weight` times its `repulsion`.

    Args:
        loss: The loss, whose `call` returns `(B,)`.
        weight: Of the repulsion, in units of the loss.
        **kwargs: `reduction` and `name`, by default the loss's own.
    """

    def __init__(self, loss: keras.losses.Loss, weight: float, **kwargs: Any):
        super().__init__(**{"name": loss.name, "reduction": loss.reduction, **kwargs})
        self.loss, self.weight = loss, float(weight)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self.loss.call(y_true, y_pred) + self.weight * repulsion(y_pred)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        loss = keras.saving.serialize_keras_object(self.loss)
        return {**super().get_config(), "loss": loss, "weight": self.weight}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WithRepulsion":
        """The loss of a config."""
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})
