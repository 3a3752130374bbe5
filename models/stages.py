"""How one loss supervises every stage of a network: targets of the stages, and partial matching."""

from collections.abc import Callable, Sequence

import keras
from keras import ops

from keras_wcd.names import key_of
from keras_wcd.ops import gather_points
from keras_wcd.types import Tensor

TARGETS = ("prefix", "whole", "random")
"""What a stage is compared with: the first points of the ground truth, as many as it has; all of it; random points of
it, as many as the stage has."""


class CallableLoss(keras.losses.Loss):
    """A function `(y_true, y_pred) -> (B, ...)` or scalar as a loss; a scalar is the loss of every cloud."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]):
        name = getattr(function, "__name__", "")
        super().__init__(name=name if name.isidentifier() else "loss")
        self.function = function

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The function's value, one per cloud at least: Keras does not divide a scalar among replicas."""
        value = ops.convert_to_tensor(self.function(y_true, y_pred))
        return value if len(value.shape) else value + ops.zeros_like(y_pred[:, 0, 0])


def stage_losses(loss: object, stages: int) -> tuple[keras.losses.Loss | None, ...]:
    """The loss of each stage: one for all, or a list with one (or None) per stage; see `named` for names."""
    if not isinstance(loss, list | tuple):
        return (as_loss(loss),) * stages
    if len(loss) != stages:
        raise ValueError(f"loss must be one loss or a list of {stages}, one per stage, got {len(loss)}")
    return tuple(as_loss(one) for one in loss)


def named(loss: object) -> object:
    """Names, classes and configs of losses as losses; a list of them per stage as a list; all else as it is.

    The names are those of `keras_wcd.losses.get` and of Keras.

    Raises:
        ValueError: for a name that neither knows, an argument that the loss has not.
    """
    # Imported when a name is given and no sooner: a network is built, loaded and exported without any loss.
    from keras_wcd import losses

    if isinstance(loss, list | tuple):
        return [named(one) for one in loss]
    if isinstance(loss, str) and not losses.knows(loss) and _knows_keras(loss):
        return loss
    asked = isinstance(loss, str | dict) or (isinstance(loss, type) and issubclass(loss, keras.losses.Loss))
    return losses.get(loss) if asked else loss


def _knows_keras(name: str) -> bool:
    try:
        return keras.losses.get(name) is not None
    except ValueError:
        return False


def as_loss(loss: object) -> keras.losses.Loss | None:
    """A Keras loss from a name of Keras's, a callable or a loss."""
    found = keras.losses.get(loss)
    return found if found is None or isinstance(found, keras.losses.Loss) else CallableLoss(found)


def one_sided(loss: keras.losses.Loss | None) -> keras.losses.Loss:
    """The same loss from the points of `y_true` to `y_pred` alone."""
    config = {} if loss is None or isinstance(loss, CallableLoss) else loss.get_config()
    if loss is None or not {"pred_weight", "true_weight"} <= set(config):
        raise ValueError(
            "partial_matching needs a loss with pred_weight and true_weight, as every class in "
            f"keras_wcd.losses has, got {getattr(loss, 'name', None)!r}; compile with such a loss or build the "
            "network with partial_matching=False"
        )
    return type(loss).from_config({**config, "pred_weight": 0.0, "true_weight": 1.0})


def checked_targets(targets: str | Sequence[str] | None, count: int) -> tuple[str, ...]:
    """One of `TARGETS` for every stage; one name is for all, None is "prefix".

    Raises:
        ValueError: for a name that is none of them, or another count.
    """
    given = (targets or "prefix",) * count if targets is None or isinstance(targets, str) else tuple(targets)
    if len(given) != count:
        raise ValueError(f"stage_targets must be one name or {count}, one per stage, got {targets!r}")
    return tuple(key_of(TARGETS, name, "target of a stage") for name in given)


def target(y: Tensor, stage: Tensor, kind: str, seed: keras.random.SeedGenerator | None = None) -> Tensor:
    """The ground truth of a stage.

    Args:
        y: Complete clouds `(B, M, 3)`; rows of NaN are padding.
        stage: A stage `(B, n, 3)`.
        kind: One of `TARGETS`.
        seed: Where random points are drawn from; without it they are the first ones, which repeat from call to call.

    Returns:
        Clouds `(B, M, 3)`, or `(B, min(n, M), 3)`.
    """
    if kind == "whole":
        return y
    return prefix(y, stage) if kind == "prefix" or seed is None else random_points(y, stage, seed)


def random_points(y: Tensor, stage: Tensor, seed: keras.random.SeedGenerator) -> Tensor:
    """As many rows of `y` `(B, M, 3)` as the stage has, drawn without repetition; padding comes last."""
    rank = keras.random.uniform(ops.shape(y)[:2], seed=seed, dtype="float32")
    rank = ops.where(ops.any(ops.isnan(y), axis=-1), 2.0, rank)
    order = ops.cast(ops.argsort(rank, axis=1), "int32")
    return gather_points(y, order[:, : ops.shape(stage)[1]])


def prefix(y: Tensor, stage: Tensor) -> Tensor:
    """As many first points of the ground truth as the stage has, or all of them where it has fewer."""
    return y[:, : ops.shape(stage)[1]]


def check_dense(clouds: Tensor, name: str) -> None:
    """Refuse ragged clouds, whose rows no loss could match.

    Raises:
        ValueError: for a ragged tensor.
    """
    if hasattr(clouds, "row_splits"):
        raise ValueError(
            f"{name} must be a dense tensor (B, M, 3), got a ragged one; pad clouds of different sizes with rows of "
            "NaN, which count nowhere: to_tensor(default_value=float('nan'))"
        )


def cloud_weights(sample_weight: Tensor, clouds: Tensor) -> Tensor:
    """Weights of clouds `(B,)`, `(B, 1)` or one for all as `(B, 1)`, which meets losses `(B,)` and `(B, N)` alike.

    Raises:
        ValueError: for weights of another shape.
    """
    check_dense(sample_weight, "sample_weight")
    sample_weight = ops.convert_to_tensor(sample_weight)
    shape, batch = tuple(sample_weight.shape), clouds.shape[0]
    if len(shape) == 0:
        return ops.broadcast_to(ops.reshape(sample_weight, (1, 1)), (ops.shape(clouds)[0], 1))
    if len(shape) > 2 or shape[1:] not in ((), (1,)) or (None not in (batch, shape[0]) and shape[0] != batch):
        raise ValueError(
            f"sample_weight must have shape (B,), one weight per cloud, here ({'B' if batch is None else batch},), "
            f"got {shape}"
        )
    return ops.reshape(sample_weight, (-1, 1))
