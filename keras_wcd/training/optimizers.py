"""Adam and AdamW as recipes ask for them: what does not decay, and no step by numbers that are not finite."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wcd.training.collecting import current
from keras_wcd.training.recipes import Recipe
from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class GuardedAdam(keras.optimizers.Adam):
    """Adam, with `weight_decay` AdamW, that leaves everything as it was, where a gradient or the loss is not finite.

    `gradient_norm` is the norm of the last gradient as a whole, before it is clipped; `skipped` is 1 where the last
    step was left out, else 0. Within `collecting` it gives its gradients away, and steps by their sum in `step`.
    """

    _summed = False

    def build(self, variables: list) -> None:
        if self.built:
            return
        super().build(variables)
        for name in ("gradient_norm", "skipped"):
            variable = self.add_variable((), initializer="zeros", dtype="float32", name=name)
            setattr(self, name, variable)

    def scale_loss(self, loss: Tensor) -> Tensor:
        """The loss, or a part's share of it; it is looked at in the step that follows."""
        collected = current()
        if collected is not None:
            return collected.weighed(loss)
        # On JAX the loss is of another trace than the step.
        self._loss = loss if keras.config.backend() == "tensorflow" else None
        return super().scale_loss(loss)

    def apply(self, grads: list, trainable_variables: Any = None) -> None:
        """One step, or none."""
        if not self.built:
            self.build(trainable_variables)
        collected = current()
        if collected is not None:
            collected.take(self, grads, trainable_variables)
            return
        norm = _norm(grads)
        loss, self._loss = getattr(self, "_loss", None), None
        finite = ops.isfinite(norm)
        if loss is not None:
            finite = ops.logical_and(finite, ops.all(ops.isfinite(loss)))
        self.gradient_norm.assign(norm)
        self.skipped.assign(ops.cast(ops.logical_not(finite), "float32"))
        step = super().apply
        if keras.config.backend() == "jax":
            self._chosen(finite, lambda: step(grads, trainable_variables))
        else:
            ops.cond(finite, lambda: _nothing(step(grads, trainable_variables)), lambda: None)

    def _chosen(self, finite: Tensor, step: Callable[[], None]) -> None:
        """Make the step, and take it back where it is none: on JAX no branch may assign a variable."""
        measured = (self.gradient_norm, self.skipped)
        variables = [v for v in (*self._trainable_variables, *self.variables) if all(v is not m for m in measured)]
        before = [variable.value for variable in variables]
        step()
        for variable, value in zip(variables, before, strict=True):
            variable.assign(ops.where(finite, variable.value, value))

    def step(self, gradients: list, variables: list) -> None:
        """A step of every replica by gradients that are summed and were found to be finite."""
        self._summed = True
        try:
            super().apply(gradients, variables)
        finally:
            self._summed = False

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> list:
        """Keras sums over replicas here, after it has clipped the gradient of each."""
        return list(grads_and_vars) if self._summed else super()._all_reduce_sum_gradients(grads_and_vars)


def optimizer_of(recipe: Recipe, variables: list) -> GuardedAdam:
    r"""The optimizer of a recipe, for these variables, at the learning rate of epoch 0.

    `weight_decay` is decoupled: $x \leftarrow x - \eta \lambda x$ before Adam's step.
    """
    decay = recipe.weight_decay if recipe.optimizer == "AdamW" else 0.0
    optimizer = GuardedAdam(
        recipe.learning_rate(0),
        beta_1=recipe.beta_1,
        beta_2=recipe.beta_2,
        epsilon=recipe.epsilon,
        weight_decay=decay or None,
        global_clipnorm=recipe.clip_norm,
        use_ema=recipe.ema > 0,
        ema_momentum=recipe.ema or 0.99,
        ema_overwrite_frequency=None,
        name=recipe.optimizer.lower(),
    )
    if decay and not recipe.decay_vectors:
        optimizer.exclude_from_weight_decay([v for v in variables if len(v.shape) < 2 or v.name == "bias"])
    return optimizer


def inner(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer itself, where Keras has put one for mixed precision around it."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def number(variable: keras.Variable) -> float:
    """The value of a scalar variable, also where every replica has a copy of it."""
    return float(ops.convert_to_numpy(variable))


def restart(optimizer: keras.optimizers.Optimizer) -> None:
    """Put all averages and the count of steps to zero, as in an optimizer that is made anew."""
    optimizer = inner(optimizer)
    for variable in optimizer.variables:
        if variable is not optimizer._learning_rate:
            variable.assign(np.zeros(variable.shape, variable.dtype))


def _norm(gradients: list) -> Tensor:
    squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in gradients if g is not None]
    return ops.sqrt(sum(squares[1:], squares[0]))


def _nothing(_: Any) -> None:
    """A branch of `ops.cond` that answers like the other."""
