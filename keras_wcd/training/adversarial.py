"""Adversarial training: a discriminator of patches beside the Chamfer losses, as CRN was trained."""

from typing import Any

import keras
from keras import ops

from keras_wcd.ops import gather_points
from keras_wcd.training.collecting import current
from keras_wcd.types import Tensor


@keras.saving.register_keras_serializable("keras_wcd")
class AdversarialTraining(keras.Model):
    r"""A generator G and a discriminator D that train against each other (Wang et al., CRN, CVPR 2020).

    $$L_G = w \, L(Y, G(P)) + \operatorname{mean}\left[(D(G(P)) - 1)^2\right], \qquad
      L_D = \tfrac12 \operatorname{mean}\left[(D(Y) - 1)^2\right] + \tfrac12 \operatorname{mean}\left[D(G(P))^2\right]$$

    Least-squares terms (Mao et al., ICCV 2017), L the generator's own loss over its stages as `compile` gives it, any
    of `keras_wcd.losses`. At every step G moves first, then D on the same clouds, whose weights are then clipped to
    $\pm$ `clip`. Scores are of the generator's last stage. The means are over scores, then over clouds; a
    `sample_weight` `(B,)` multiplies all terms of a cloud. Padding of Y (rows of NaN) is shown to D as repetitions of
    the cloud's own points, and a truth that is all padding is not shown. Prediction is the generator's own.

    In training and in validation the figures are `loss` $= L_G$, `completion` $= L$, `adversarial` $= L_G - w L$,
    `discriminator` $= L_D$, and the generator's metrics.

    Args:
        generator: A `CompletionModel`.
        discriminator: A model from clouds `(B, M, 3)` to scores `(B, ...)`, such as `PatchDiscriminator`.
        weight: The weight w.
        clip: Bound of the discriminator's weights, or None.
        **kwargs: `name`.

    Raises:
        ValueError: for a weight below 0 or a bound that is not positive.
        RuntimeError: if Keras's backend is not TensorFlow.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        weight: float = 200.0,
        clip: float | None = 0.01,
        **kwargs: Any,
    ):
        if keras.config.backend() != "tensorflow":
            raise RuntimeError("adversarial training runs on TensorFlow: set KERAS_BACKEND=tensorflow")
        if not 0 <= weight < float("inf"):
            raise ValueError(f"weight must be a finite number >= 0, got {weight}")
        if clip is not None and not clip > 0:
            raise ValueError(f"clip must be positive or None, got {clip}")
        super().__init__(**kwargs)
        self.generator, self.discriminator = generator, discriminator
        self.weight, self.clip = float(weight), clip
        self._judgment = _SquaredError()
        # There is nothing to build besides; Keras saves the weights of built models only.
        self.built = generator.built and discriminator.built
        names = ("loss", "completion", "adversarial", "discriminator")
        self._trackers = [keras.metrics.Mean(name=name) for name in names]

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        *,
        discriminator_optimizer: Any = None,
        metrics: list | None = None,
        weighted_metrics: list | None = None,
        auto_scale_loss: bool = True,
        **kwargs: Any,
    ) -> None:
        """As the generator's `compile`, with a second optimizer; both default to the release's Adam."""
        optimizer = keras.optimizers.Adam(1e-4) if optimizer is None else optimizer
        if discriminator_optimizer is None:
            discriminator_optimizer = keras.optimizers.Adam(5e-5, beta_1=0.5)
        measured = {"loss": loss, "metrics": metrics, "weighted_metrics": weighted_metrics}
        self.generator.compile(optimizer, **measured, auto_scale_loss=auto_scale_loss, **kwargs)
        # Keras scales the loss of a model in mixed precision; the discriminator is compiled nowhere else.
        self.discriminator.compile(discriminator_optimizer, auto_scale_loss=auto_scale_loss)
        self.discriminator_optimizer = self.discriminator.optimizer
        super().compile(self.generator.optimizer, auto_scale_loss=False, **kwargs)
        with self.distribute_strategy.scope():
            for model in (self.generator, self.discriminator):
                model.optimizer.build(model.trainable_variables)

    def call(self, partial: Tensor, training: bool | None = None) -> tuple[Tensor, ...]:
        """The generator's stages."""
        return self.generator(partial, training=training)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument; the networks as Keras serializes them."""
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        saved = {key: keras.saving.serialize_keras_object(network) for key, network in networks.items()}
        return {**saved, "weight": self.weight, "clip": self.clip, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> "AdversarialTraining":
        """The networks of a config, not compiled."""
        config = dict(config)
        for key in ("generator", "discriminator"):
            config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects)
        return cls(**config)

    def get_compile_config(self) -> None:
        """None: optimizers and losses are not saved; compile again to train on."""

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The losses of the class's formula, and the generator's metrics."""
        # The generator has a metric named "loss", too, which nothing updates here.
        return [*self._trackers, *(metric for metric in self.generator.metrics if metric.name != "loss")]

    def train_step(self, data: tuple) -> dict[str, Tensor]:
        import tensorflow as tf

        partial, complete, weights = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            stages = self.generator(partial, training=True)
            own, fooled = self._generator_terms(partial, complete, stages, weights, training=True)
            loss = self.generator.optimizer.scale_loss(self.weight * own + fooled)
        _step(self.generator, tape, loss)
        with tf.GradientTape() as tape:
            judged = self._discriminator_loss(complete, ops.stop_gradient(stages[-1]), weights, training=True)
            loss = self.discriminator.optimizer.scale_loss(judged)
        _step(self.discriminator, tape, loss)
        # Where gradients are collected, the optimizers step later.
        if current() is None:
            self.after_step()
        return self._figures(partial, complete, stages, weights, (own, fooled, judged))

    def after_step(self) -> None:
        """Clip the discriminator's weights."""
        if self.clip is not None:
            for variable in self.discriminator.trainable_variables:
                variable.assign(ops.clip(variable, -self.clip, self.clip))

    def test_step(self, data: tuple) -> dict[str, Tensor]:
        partial, complete, weights = keras.utils.unpack_x_y_sample_weight(data)
        stages = self.generator(partial, training=False)
        own, fooled = self._generator_terms(partial, complete, stages, weights, training=False)
        judged = self._discriminator_loss(complete, stages[-1], weights, training=False)
        return self._figures(partial, complete, stages, weights, (own, fooled, judged))

    def predict_step(self, data: Any) -> Tensor:
        return self.generator.predict_step(data)

    def _generator_terms(
        self, partial: Tensor, complete: Tensor, stages: tuple, weights: Tensor | None, training: bool
    ) -> tuple[Tensor, Tensor]:
        """L and the mean of (D(G(P)) - 1)^2, a replica's share of both."""
        own = self.generator.compute_loss(partial, complete, stages, sample_weight=weights, training=training)
        return own, self._judgment(1.0, self.discriminator(stages[-1], training=training), weights)

    def _discriminator_loss(self, complete: Tensor, made: Tensor, weights: Tensor | None, training: bool) -> Tensor:
        """L_D, a replica's share of it."""
        real, present = _without_padding(complete)
        # Clouds that are not there do not count in the mean.
        shown = present * (ops.cast(ops.size(present), "float32") / ops.maximum(ops.sum(present), 1.0))
        shown = shown if weights is None else shown * ops.reshape(ops.cast(weights, "float32"), (-1,))
        return (
            self._judgment(1.0, self.discriminator(real, training=training), shown)
            + self._judgment(0.0, self.discriminator(made, training=training), weights)
        ) / 2

    def _figures(
        self, partial: Tensor, complete: Tensor, stages: tuple, weights: Tensor | None, terms: tuple[Tensor, ...]
    ) -> dict[str, Tensor]:
        """All figures so far, with those of this batch."""
        import tensorflow as tf

        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        own, fooled, judged = (term * replicas for term in terms)
        count = ops.shape(complete)[0]
        for tracker, value in zip(self._trackers, (self.weight * own + fooled, own, fooled, judged), strict=True):
            # Means over the clouds of a replica that has none are NaN.
            tracker.update_state(ops.where(count > 0, value, ops.zeros_like(value)), sample_weight=count)
        self.generator.compute_metrics(partial, complete, stages, weights)
        return self.get_metrics_result()


class _SquaredError(keras.losses.Loss):
    """Mean of (score - target)^2 over the scores of every cloud; a Keras loss, and as such divided among replicas."""

    def __init__(self):
        super().__init__(name="judgment")

    def __call__(self, target: float, scores: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Scores `(B, ...)` -> the mean over clouds, weighted by `(B,)`."""
        if sample_weight is not None:
            sample_weight = ops.reshape(sample_weight, (-1,))
        return super().__call__(ops.full_like(scores, target), scores, sample_weight)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return ops.mean(ops.square(y_pred - y_true), axis=tuple(range(1, len(y_pred.shape))))


def _without_padding(clouds: Tensor) -> tuple[Tensor, Tensor]:
    """Clouds `(B, M, 3)` whose rows of NaN are repetitions of their other rows in turn, and which have any `(B,)`."""
    valid = ops.logical_not(ops.any(ops.isnan(clouds), axis=-1))
    size = ops.shape(clouds)[1]
    place = ops.expand_dims(ops.arange(size, dtype="int32"), 0)
    # Rows that are no padding first, in their order.
    order = ops.cast(ops.argsort(ops.where(valid, place, place + size), axis=1), "int32")
    count = ops.sum(ops.cast(valid, "int32"), axis=1, keepdims=True)
    repeated = ops.take_along_axis(order, place % ops.maximum(count, 1), axis=1)
    filled = gather_points(clouds, ops.where(valid, place, repeated))
    present = count > 0
    return ops.where(ops.expand_dims(present, -1), filled, 0.0), ops.cast(present[:, 0], "float32")


def _step(model: keras.Model, tape: Any, loss: Tensor) -> None:
    gradients = tape.gradient(loss, model.trainable_variables)
    model.optimizer.apply(gradients, model.trainable_variables)
