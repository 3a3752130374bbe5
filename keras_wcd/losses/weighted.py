"""The weighted Chamfer distance and its named families."""

import math

import keras
from keras import ops

from keras_wcd import weighting as weightings
from keras_wcd.losses.base import AbstractProfile, positive
from keras_wcd.names import refuse_unknown
from keras_wcd.types import Tensor
from keras_wcd.weighting import Weighting


@keras.saving.register_keras_serializable("keras_wcd")
class WeightedCD(AbstractProfile):
    r"""Weighted Chamfer distance (Lin et al., IROS 2024, Eq. 1).

    $$\phi(d) = f(d / \text{scale} + \text{shift}) \, d$$

    The gradient flows through the weight.

    Args:
        weighting: A `Weighting`, a name of `WEIGHTINGS` or any callable f(d).
        shift: Added to the distance before it is weighted; the mode of f makes the weights fall from d = 0.
        scale: Unit of distance of f. In a frame of unit diagonal the distances of a trained network lie near
            0.01, far below the knee of every default density: a smaller scale moves the knee to the data.
        **kwargs: Arguments of `AbstractChamfer`.
    """

    def __init__(self, weighting: Weighting | str = "landau", shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.weighting = weightings.get(weighting)
        if not math.isfinite(shift):
            raise ValueError(f"shift must be a finite number, got {shift}")
        self.shift = shift
        self.scale = positive(scale, "scale")

    def profile(self, distance: Tensor) -> Tensor:
        """The weighted distance."""
        return self.weighting(self._unit(distance)) * distance

    def _unit(self, distance: Tensor) -> Tensor:
        """The distance that f sees; an operation that changes nothing still costs a pass over the points."""
        distance = distance if self.scale == 1 else distance / self.scale
        return distance if self.shift == 0 else distance + self.shift

    def get_config(self) -> dict:
        weighting = keras.saving.serialize_keras_object(self.weighting)
        return {**super().get_config(), "weighting": weighting, "shift": self.shift, "scale": self.scale}


class AbstractFamily(WeightedCD):
    """A `WeightedCD` whose weighting is set by its parameters.

    A family is a class with a constructor of its own: its parameters, then `shift` and `scale` by name, all with
    defaults. It hands the weighting on by position, so that nobody can name another.
    """

    def __init__(self, weighting: Weighting, /, shift: float = 0.0, scale: float = 1.0, **kwargs):
        refuse_unknown(type(self), kwargs)
        super().__init__(weighting, shift, scale, **kwargs)

    def get_config(self) -> dict:
        config = super().get_config()
        del config["weighting"]
        return {**config, **self.weighting.get_config()}


@keras.saving.register_keras_serializable("keras_wcd")
class LandauCD(AbstractFamily):
    r"""Weighted Chamfer distance with the Landau density, the paper's recommendation.

    $$\phi(d) = \frac{1}{\sqrt{2\pi}} e^{-(d + e^{-d})/2} \, d \text{ for "paper"}, \qquad
      \phi(d) = e^{-(d + e^{-d})/2} (1 - e^{-d}) \text{ for "released"}$$

    at `scale` 1; in general $\phi(d)$ is `scale` times that of $d/\text{scale} + \text{shift}$, but for the factor
    d itself.

    Args:
        variant: `"paper"`, or `"released"` for what the authors' code trains.
        shift: As in `WeightedCD`.
        scale: As in `WeightedCD`.
        **kwargs: Arguments of `AbstractChamfer`.
    """

    def __init__(self, variant: str = "paper", *, shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(weightings.Landau(), shift, scale, **kwargs)
        if variant not in ("paper", "released"):
            raise ValueError(f'variant must be "paper" or "released", got {variant!r}')
        self.variant = variant

    def profile(self, distance: Tensor) -> Tensor:
        """The weighted distance."""
        if self.variant == "paper":
            return super().profile(distance)
        slope = -ops.expm1(-distance / self.scale) * (self.scale * math.sqrt(2 * math.pi))
        return self.weighting(self._unit(distance)) * slope

    def get_config(self) -> dict:
        return {**super().get_config(), "variant": self.variant}


@keras.saving.register_keras_serializable("keras_wcd")
class ExtremeValueCD(AbstractFamily):
    """Weighted Chamfer distance with `ExtremeValue`; the default is the constant of the authors' code."""

    def __init__(self, beta: float = 1.4, *, shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(weightings.ExtremeValue(beta), shift, scale, **kwargs)


@keras.saving.register_keras_serializable("keras_wcd")
class ChiSquaredCD(AbstractFamily):
    """Weighted Chamfer distance with `ChiSquared`; the default is the constant of the authors' code."""

    def __init__(self, k: float = 3, *, shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(weightings.ChiSquared(k), shift, scale, **kwargs)


@keras.saving.register_keras_serializable("keras_wcd")
class LogLogisticCD(AbstractFamily):
    """Weighted Chamfer distance with `LogLogistic`; the defaults are the constants of the authors' code."""

    def __init__(self, alpha: float = 5.0, beta: float = 2.0, *, shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(weightings.LogLogistic(alpha, beta), shift, scale, **kwargs)


@keras.saving.register_keras_serializable("keras_wcd")
class GammaCD(AbstractFamily):
    """Weighted Chamfer distance with `Gamma`; the defaults are the constants of the authors' code."""

    def __init__(self, alpha: float = 2.0, beta: float = 0.4, *, shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(weightings.Gamma(alpha, beta), shift, scale, **kwargs)


@keras.saving.register_keras_serializable("keras_wcd")
class WeibullCD(AbstractFamily):
    """Weighted Chamfer distance with `Weibull`; the defaults are what `distill(shift=None)` finds for HyperCD."""

    def __init__(self, k: float = 1.001, lam: float = 25.58, *, shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(weightings.Weibull(k, lam), shift, scale, **kwargs)


@keras.saving.register_keras_serializable("keras_wcd")
class LogisticCD(AbstractFamily):
    """Weighted Chamfer distance with `Logistic`; the default is what `distill(shift=None)` finds for HyperCD."""

    def __init__(self, sigma: float = 1.75, *, shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(weightings.Logistic(sigma), shift, scale, **kwargs)


@keras.saving.register_keras_serializable("keras_wcd")
class NormalCD(AbstractFamily):
    """Weighted Chamfer distance with `Normal`; the default is what `distill(shift=None)` finds for HyperCD."""

    def __init__(self, sigma: float = 2.477, *, shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(weightings.Normal(sigma), shift, scale, **kwargs)
