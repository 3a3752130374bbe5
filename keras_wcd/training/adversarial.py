"""Adversarial training: a discriminator of patches beside the Chamfer losses, as CRN was trained."""

from typing import Any

import keras
from keras import ops

from keras_wcd.types import Tensor


class AdversarialTraining(keras.Model):
    r"""A generator G and a discriminator D that train against each other (Wang et al., CRN, CVPR 2020).

    $$L_G = w \, L(Y, G(P)) + \operatorname{mean}\left[(D(G(P)) - 1)^2\right], \qquad
      L_D = \tfrac12 \operatorname{mean}\left[(D(Y) - 1)^2\right] + \tfrac12 \operatorname{mean}\left[D(G(P))^2\right]$$

    Least-squares terms (Mao et al., ICCV 2017), L the generator's own loss over its stages as `compile` gives it, any
    of `keras_wcd.losses`. At every step G moves first, then D on the same clouds, whose weights are then clipped to
    $\pm$ `clip`. Scores are of the generator's last stage. Validation and prediction are the generator's own.

    Args:
        generator: A `CompletionModel`.
        discriminator: A model from clouds `(B, M, 3)` to scores of any shape, such as `PatchDiscriminator`.
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
        if weight < 0:
            raise ValueError(f"weight must not be negative, got {weight}")
        if clip is not None and clip <= 0:
            raise ValueError(f"clip must be positive or None, got {clip}")
        super().__init__(**kwargs)
        self.generator, self.discriminator = generator, discriminator
        self.weight, self.clip = float(weight), clip
        self._trackers = [keras.metrics.Mean(name=name) for name in ("loss", "adversarial", "discriminator")]

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        *,
        discriminator_optimizer: Any = None,
        metrics: list | None = None,
        **kwargs: Any,
    ) -> None:
        """As the generator's `compile`, with a second optimizer; both default to the release's Adam."""
        optimizer = keras.optimizers.Adam(1e-4) if optimizer is None else optimizer
        if discriminator_optimizer is None:
            discriminator_optimizer = keras.optimizers.Adam(5e-5, beta_1=0.5)
        self.generator.compile(optimizer, loss=loss, metrics=metrics, **kwargs)
        super().compile(self.generator.optimizer, **kwargs)
        self.discriminator_optimizer = keras.optimizers.get(discriminator_optimizer)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def call(self, partial: Tensor, training: bool | None = None) -> tuple[Tensor, ...]:
        """The generator's stages."""
        return self.generator(partial, training=training)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The three losses; the generator's metrics while it validates."""
        return [*self._trackers, *self.generator.metrics]

    def train_step(self, data: tuple) -> dict[str, Tensor]:
        import tensorflow as tf

        partial, complete = data[:2]
        with tf.GradientTape() as tape:
            stages = self.generator(partial, training=True)
            own = self.generator.compute_loss(partial, complete, stages)
            fooled = _squared(self.discriminator(stages[-1], training=True), 1.0)
            total = self.weight * own + fooled
        _step(self.generator.optimizer, tape, total, self.generator)
        with tf.GradientTape() as tape:
            scores = (self.discriminator(cloud, training=True) for cloud in (complete, ops.stop_gradient(stages[-1])))
            judged = sum(_squared(score, target) / 2 for score, target in zip(scores, (1.0, 0.0), strict=True))
        _step(self.discriminator_optimizer, tape, judged, self.discriminator)
        if self.clip is not None:
            for variable in self.discriminator.trainable_variables:
                variable.assign(ops.clip(variable, -self.clip, self.clip))
        for tracker, value in zip(self._trackers, (own, fooled, judged), strict=True):
            tracker.update_state(value)
        # The generator's own figures hold a loss that it has not counted.
        return {**self.generator.compute_metrics(partial, complete, stages), **self._results()}

    def test_step(self, data: tuple) -> dict[str, Tensor]:
        partial, complete = data[:2]
        stages = self.generator(partial, training=False)
        self._trackers[0].update_state(self.generator.compute_loss(partial, complete, stages, training=False))
        metrics = self.generator.compute_metrics(partial, complete, stages)
        return {**metrics, "loss": self._trackers[0].result()}

    def predict_step(self, data: Any) -> Tensor:
        return self.generator.predict_step(data)

    def _results(self) -> dict[str, Tensor]:
        return {tracker.name: tracker.result() for tracker in self._trackers}


def _squared(scores: Tensor, target: float) -> Tensor:
    return ops.mean(ops.square(scores - target))


def _step(optimizer: keras.optimizers.Optimizer, tape: Any, loss: Tensor, model: keras.Model) -> None:
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)
