"""Weighting functions of the weighted Chamfer distance: densities on distances, as frozen objects.

The families and their parameters are those of Lin et al., "Loss Distillation via Gradient Matching for Point Cloud
Completion with Weighted Chamfer Distance" (IROS 2024). Each is the density of SciPy's distribution named in its
docstring. Parameters may be tensors, so that a search can evaluate many at once or a gradient can reach them.

A parameter is stated once, with `parameter`: its default, its unit and the values that distillation searches.
"""

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import Any, cast

import keras
import numpy as np
from keras import ops

from keras_wcd.names import find, refuse_unknown
from keras_wcd.types import Tensor

TINY = 1e-12
"""Powers of a distance are taken above this, where they and their derivatives are finite."""
LOG_ROOT = math.log(2 * math.pi) / 2
"""Logarithm of the root of 2 pi."""
LARGE = 80.0
"""exp(LARGE) is finite in float32; a density whose exponent lies beyond is 0 in any case."""
UNITS = ("distance", "1/distance", None)
"""What a parameter is measured in; None for a shape, which is a mere number."""


def parameter(
    default: float, low: float = 1e-3, high: float = 1e3, steps: int = 49, *, unit: str | None = "distance"
) -> Any:
    """A field of a weighting, with the values where a distillation looks for it by default.

    Args:
        default: Its default.
        low: The smallest value that is searched.
        high: The largest.
        steps: Number of values, evenly spaced in the logarithm.
        unit: One of `UNITS`.
    """
    if unit not in UNITS:
        raise ValueError(f"unit must be one of {UNITS}, got {unit!r}")
    return dataclasses.field(default=default, metadata={"grid": np.geomspace(low, high, steps), "unit": unit})


@dataclasses.dataclass(frozen=True)
class Weighting(abc.ABC):
    """A function f(d) >= 0 of a distance d >= 0, with the distance where it is largest.

    Raises:
        ValueError: for a parameter that is not positive and finite.
    """

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if isinstance(value, (bool, str, type(None))) or (number and not (value > 0 and math.isfinite(value))):
                raise ValueError(f"{type(self).__name__}: {field.name} must be a positive number, got {value!r}")

    @abc.abstractmethod
    def __call__(self, distance: Tensor) -> Tensor:
        """f(d), elementwise."""

    @property
    @abc.abstractmethod
    def mode(self) -> float:
        """The distance m >= 0 where f is largest."""

    def get_config(self) -> dict:
        """The parameters, by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_config(cls, config: dict) -> "Weighting":
        """The inverse of `get_config`."""
        return cls(**config)


@keras.saving.register_keras_serializable("keras_wcd")
@dataclasses.dataclass(frozen=True)
class Landau(Weighting):
    r"""Moyal's approximation of the Landau density (`scipy.stats.moyal`), mode 0.

    $$f(d) = \frac{1}{\sqrt{2\pi}} \exp\left(-\frac{d + e^{-d}}{2}\right)$$
    """

    def __call__(self, distance: Tensor) -> Tensor:
        return ops.exp(-0.5 * (distance + ops.exp(-distance)) - LOG_ROOT)

    @property
    def mode(self) -> float:
        return 0.0


@keras.saving.register_keras_serializable("keras_wcd")
@dataclasses.dataclass(frozen=True)
class ExtremeValue(Weighting):
    r"""Gumbel's extreme value density (`scipy.stats.gumbel_r`), mode 0.

    $$f(d) = \frac{1}{\beta} \exp\left(-\frac{d}{\beta} - e^{-d/\beta}\right)$$

    Attributes:
        beta: Scale, in units of distance.
    """

    beta: float = parameter(1.4)

    def __call__(self, distance: Tensor) -> Tensor:
        z = distance / self.beta
        return ops.exp(-z - ops.exp(-z)) / self.beta

    @property
    def mode(self) -> float:
        return 0.0


@keras.saving.register_keras_serializable("keras_wcd")
@dataclasses.dataclass(frozen=True)
class ChiSquared(Weighting):
    r"""Chi-squared density (`scipy.stats.chi2`), mode max(k - 2, 0).

    $$f(d) = \frac{d^{k/2 - 1} e^{-d/2}}{2^{k/2} \, \Gamma(k/2)}$$

    Attributes:
        k: Degrees of freedom.
    """

    k: float = parameter(3, 0.25, 1000, 97, unit=None)

    def __call__(self, distance: Tensor) -> Tensor:
        half = self.k / 2
        return ops.exp((half - 1) * _log(distance) - distance / 2 - half * math.log(2) - _log_gamma(half))

    @property
    def mode(self) -> float:
        return _at_least_zero(self.k - 2)


@keras.saving.register_keras_serializable("keras_wcd")
@dataclasses.dataclass(frozen=True)
class LogLogistic(Weighting):
    r"""Log-logistic density (`scipy.stats.fisk`), mode alpha ((beta - 1)/(beta + 1))^(1/beta), 0 for beta <= 1.

    $$f(d) = \frac{(\beta/\alpha) (d/\alpha)^{\beta-1}}{(1 + (d/\alpha)^\beta)^2}$$

    Attributes:
        alpha: Scale, in units of distance.
        beta: Shape.
    """

    alpha: float = parameter(5.0)
    beta: float = parameter(2.0, 0.5, 50, 25, unit=None)

    def __call__(self, distance: Tensor) -> Tensor:
        t = _log(distance) - _log(self.alpha)
        return self.beta / self.alpha * ops.exp((self.beta - 1) * t - 2 * ops.softplus(self.beta * t))

    @property
    def mode(self) -> float:
        return self.alpha * (_at_least_zero(self.beta - 1) / (self.beta + 1)) ** (1 / self.beta)


@keras.saving.register_keras_serializable("keras_wcd")
@dataclasses.dataclass(frozen=True)
class Gamma(Weighting):
    r"""Gamma density (`scipy.stats.gamma`), mode max(alpha - 1, 0)/beta.

    $$f(d) = \frac{\beta^\alpha}{\Gamma(\alpha)} d^{\alpha-1} e^{-\beta d}$$

    Attributes:
        alpha: Shape.
        beta: Rate, per unit of distance.
    """

    alpha: float = parameter(2.0, 0.25, 100, 25, unit=None)
    beta: float = parameter(0.4, unit="1/distance")

    def __call__(self, distance: Tensor) -> Tensor:
        log_constant = self.alpha * _log(self.beta) - _log_gamma(self.alpha)
        return ops.exp(log_constant + (self.alpha - 1) * _log(distance) - self.beta * distance)

    @property
    def mode(self) -> float:
        return _at_least_zero(self.alpha - 1) / self.beta


@keras.saving.register_keras_serializable("keras_wcd")
@dataclasses.dataclass(frozen=True)
class Weibull(Weighting):
    r"""Weibull density (`scipy.stats.weibull_min`), mode lam ((k - 1)/k)^(1/k), 0 for k <= 1.

    $$f(d) = \frac{k}{\lambda} \left(\frac{d}{\lambda}\right)^{k-1} e^{-(d/\lambda)^k}$$

    Attributes:
        k: Shape.
        lam: Scale, in units of distance.
    """

    k: float = parameter(2.0, 0.25, 50, 25, unit=None)
    lam: float = parameter(1.0)

    def __call__(self, distance: Tensor) -> Tensor:
        t = _log(distance) - _log(self.lam)
        return self.k / self.lam * ops.exp((self.k - 1) * t - ops.exp(ops.minimum(self.k * t, LARGE)))

    @property
    def mode(self) -> float:
        return self.lam * (_at_least_zero(self.k - 1) / self.k) ** (1 / self.k)


@keras.saving.register_keras_serializable("keras_wcd")
@dataclasses.dataclass(frozen=True)
class Logistic(Weighting):
    r"""Logistic density with its mode at zero (`scipy.stats.logistic`).

    $$f(d) = \frac{e^{-d/\sigma}}{\sigma (1 + e^{-d/\sigma})^2}$$

    Attributes:
        sigma: Scale, in units of distance.
    """

    sigma: float = parameter(1.0)

    def __call__(self, distance: Tensor) -> Tensor:
        e = ops.exp(-distance / self.sigma)
        return e / (self.sigma * ops.square(1 + e))

    @property
    def mode(self) -> float:
        return 0.0


@keras.saving.register_keras_serializable("keras_wcd")
@dataclasses.dataclass(frozen=True)
class Normal(Weighting):
    r"""Normal density with its mode at zero (`scipy.stats.norm`).

    $$f(d) = \frac{1}{\sigma\sqrt{2\pi}} \exp\left(-\frac{d^2}{2\sigma^2}\right)$$

    Attributes:
        sigma: Standard deviation, in units of distance.
    """

    sigma: float = parameter(1.0)

    def __call__(self, distance: Tensor) -> Tensor:
        return ops.exp(-ops.square(distance / self.sigma) / 2) / (self.sigma * math.sqrt(2 * math.pi))

    @property
    def mode(self) -> float:
        return 0.0


@keras.saving.register_keras_serializable("keras_wcd")
@dataclasses.dataclass(frozen=True)
class Custom(Weighting):
    """Any callable f(d); it is saved by Keras's rules, so register a named function to save it.

    Attributes:
        function: Elementwise function of a tensor of distances.
        mode: The distance where the function is largest.
    """

    function: Callable[[Tensor], Tensor]
    # A frozen field is read as the property is.
    mode: float = 0.0  # pyright: ignore[reportIncompatibleMethodOverride]

    def __post_init__(self):
        if not callable(self.function):
            raise ValueError(f"Custom: function must be callable, got {self.function!r}")

    def __call__(self, distance: Tensor) -> Tensor:
        return self.function(distance)

    def get_config(self) -> dict:
        """The serialized function and the mode."""
        return {"function": keras.saving.serialize_keras_object(self.function), "mode": self.mode}

    @classmethod
    def from_config(cls, config: dict) -> "Custom":
        """The inverse of `get_config`."""
        return cls(keras.saving.deserialize_keras_object(config["function"]), config["mode"])


WEIGHTINGS = {
    "landau": Landau,
    "extreme_value": ExtremeValue,
    "chi_squared": ChiSquared,
    "log_logistic": LogLogistic,
    "gamma": Gamma,
    "weibull": Weibull,
    "logistic": Logistic,
    "normal": Normal,
}


def get(weighting: "Weighting | type[Weighting] | str | dict | Callable") -> Weighting:
    """A weighting from itself, its class, a name, a config or a callable.

    Args:
        weighting: A `Weighting` or its class; a name of `WEIGHTINGS` in any spelling, such as `"log_logistic"`,
            `"LogLogistic"` or `"keras_wcd>LogLogistic"`; a dict written by `keras.saving.serialize_keras_object`, or
            one of a name and parameters such as `{"name": "weibull", "k": 1.5}`; or a callable f(d).

    Raises:
        ValueError: if nothing of that name exists, with the nearest name and all of them; for a parameter that the
            weighting has not, with those it has.
    """
    if isinstance(weighting, Weighting):
        return weighting
    if isinstance(weighting, str):
        return find(WEIGHTINGS, weighting, "weighting")()
    if isinstance(weighting, dict) and "name" in weighting:
        parameters = dict(weighting)
        kind = find(WEIGHTINGS, parameters.pop("name"), "weighting")
        refuse_unknown(kind, parameters)
        return kind(**parameters)
    if isinstance(weighting, dict) and "class_name" in weighting:
        return _deserialized(weighting)
    if callable(weighting):
        return weighting() if isinstance(weighting, type) else Custom(weighting)
    raise ValueError(f"weighting must be a Weighting, its name, a config or a callable, got {weighting!r}")


def _log(x: Tensor | float) -> Any:
    return math.log(x) if isinstance(x, (int, float)) else ops.log(ops.maximum(x, TINY))


def _log_gamma(x: Tensor | float) -> Any:
    if isinstance(x, (int, float)):
        return math.lgamma(x)
    match keras.config.backend():
        case "tensorflow":
            import tensorflow as tf

            return tf.math.lgamma(x)
        case "jax":
            import jax

            return jax.scipy.special.gammaln(cast("jax.Array", x))
        case _:
            import torch

            return torch.lgamma(x)


def _at_least_zero(x: Tensor | float) -> Any:
    return max(x, 0) if isinstance(x, (int, float)) else ops.maximum(x, 0)


def _deserialized(config: dict) -> Weighting:
    try:
        found = keras.saving.deserialize_keras_object(config)
    except Exception as error:
        # What lies in a config, such as one of a damaged file, may fail anywhere in Keras.
        raise ValueError(f"weighting config of {str(config['class_name'])[:80]!r} cannot be read: {error}") from error
    if not isinstance(found, Weighting):
        kind = type(found).__name__
        raise ValueError(
            f"weighting config of {str(config['class_name'])[:80]!r} is of a {kind}, which is no weighting"
        )
    return found
