"""The weighted Chamfer distance and its named families.

Distances and `scale` are in the units of the clouds, `shift` and the parameters of a family in units of `scale`. The
defaults are meant for the frame whose bounding box has diagonal 1, where the distances of a trained network lie near
0.01. Clouds in other units want a `scale` of their diagonal: without it, LandauCD of clouds in millimeters is 0 as
good as everywhere, and pulls no point.
"""

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

    The gradient flows through the weight. d is in the units of the clouds, f sees it in units of `scale`. Where f
    falls faster than 1/d the loss has a largest value, and a point further away than that is pushed off.

    Args:
        weighting: A `Weighting`, a name of `WEIGHTINGS`, a config or any callable f(d); see `keras_wcd.weighting.get`.
        shift: Added to d / scale before it is weighted; the mode of f makes the weights fall from d = 0.
        scale: Unit of distance of f, in the units of the clouds; their diagonal, where that is not 1. In a frame of
            diagonal 1 the distances of a trained network lie near 0.01, far below the knee of every default density:
            a smaller scale moves the knee to the data.
        **kwargs: Arguments of `AbstractChamfer`.

    Raises:
        ValueError: for a scale that is not positive, a shift that is not finite, an unknown weighting.
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

    at `scale` 1 and `shift` 0. With u = d / scale + shift in place of the d in the exponents, the first is
    $f(u) \, d$ and the second $e^{-(u + e^{-u})/2} \, \text{scale} \, (1 - e^{-d/\text{scale}})$.

    Distances are in the units of the clouds, meant for a frame of diagonal 1. "paper" is largest at
    d = 2.24 scale, "released" at 1.32 scale: points further away are pushed off, and beyond 16 scale nothing is left to
    pull with.

    Args:
        variant: `"paper"`, or `"released"` for what the authors' code trains.
        shift: As in `WeightedCD`.
        scale: As in `WeightedCD`: the diagonal of clouds whose diagonal is not 1.
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
    """Weighted Chamfer distance with `ExtremeValue`; the default is the constant of the authors' code.

    In the units of a frame of diagonal 1; largest at d = 1.35 beta scale, points beyond are pushed off.
    """

    def __init__(self, beta: float = 1.4, *, shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(weightings.ExtremeValue(beta), shift, scale, **kwargs)


@keras.saving.register_keras_serializable("keras_wcd")
class ChiSquaredCD(AbstractFamily):
    """Weighted Chamfer distance with `ChiSquared`; the default is the constant of the authors' code.

    In the units of a frame of diagonal 1; largest at d = k scale, points beyond are pushed off.
    """

    def __init__(self, k: float = 3, *, shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(weightings.ChiSquared(k), shift, scale, **kwargs)


@keras.saving.register_keras_serializable("keras_wcd")
class LogLogisticCD(AbstractFamily):
    """Weighted Chamfer distance with `LogLogistic`; the defaults are the constants of the authors' code.

    In the units of a frame of diagonal 1; by default largest at d = alpha scale, points beyond are pushed off.
    """

    def __init__(self, alpha: float = 5.0, beta: float = 2.0, *, shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(weightings.LogLogistic(alpha, beta), shift, scale, **kwargs)


@keras.saving.register_keras_serializable("keras_wcd")
class GammaCD(AbstractFamily):
    """Weighted Chamfer distance with `Gamma`; the defaults are the constants of the authors' code.

    In the units of a frame of diagonal 1; largest at d = alpha / beta scale, points beyond are pushed off.
    """

    def __init__(self, alpha: float = 2.0, beta: float = 0.4, *, shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(weightings.Gamma(alpha, beta), shift, scale, **kwargs)


@keras.saving.register_keras_serializable("keras_wcd")
class WeibullCD(AbstractFamily):
    """Weighted Chamfer distance with `Weibull`; the defaults are what `distill(shift=None)` finds for HyperCD.

    In the units of a frame of diagonal 1; largest at d = lam scale, points beyond are pushed off.
    """

    def __init__(self, k: float = 1.001, lam: float = 25.58, *, shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(weightings.Weibull(k, lam), shift, scale, **kwargs)


@keras.saving.register_keras_serializable("keras_wcd")
class LogisticCD(AbstractFamily):
    """Weighted Chamfer distance with `Logistic`; the default is what `distill(shift=None)` finds for HyperCD.

    In the units of a frame of diagonal 1; largest at d = 1.54 sigma scale, points beyond are pushed off.
    """

    def __init__(self, sigma: float = 1.75, *, shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(weightings.Logistic(sigma), shift, scale, **kwargs)


@keras.saving.register_keras_serializable("keras_wcd")
class NormalCD(AbstractFamily):
    """Weighted Chamfer distance with `Normal`; the default is what `distill(shift=None)` finds for HyperCD.

    In the units of a frame of diagonal 1; largest at d = sigma scale, points beyond are pushed off.
    """

    def __init__(self, sigma: float = 2.477, *, shift: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(weightings.Normal(sigma), shift, scale, **kwargs)
