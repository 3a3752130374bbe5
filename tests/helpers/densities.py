"""The densities of the library a second time, by SciPy, and the parameters at which the tests try them."""

import dataclasses

import numpy as np
from scipy import stats

from keras_wcd.weighting import WEIGHTINGS

TWINS = {
    "landau": lambda: stats.moyal(),
    "extreme_value": lambda beta: stats.gumbel_r(scale=beta),
    "chi_squared": lambda k: stats.chi2(k),
    "log_logistic": lambda alpha, beta: stats.fisk(beta, scale=alpha),
    "gamma": lambda alpha, beta: stats.gamma(alpha, scale=1 / beta),
    "weibull": lambda k, lam: stats.weibull_min(k, scale=lam),
    "logistic": lambda sigma: stats.logistic(scale=sigma),
    "normal": lambda sigma: stats.norm(scale=sigma),
}
"""Of a family's parameters, SciPy's distribution. On d >= 0 its density is the family's, up to a factor."""


def known(name):
    """A member of a family that is not its default, wide enough to be told from others on distances up to 3."""
    values = {"distance": lambda default: 1.3, "1/distance": lambda default: 1.7, None: lambda default: 1.3 * default}
    return {field.name: values[field.metadata["unit"]](field.default) for field in _fields(name)}


def coarse_grid(name):
    """Few values of each parameter of a family, none of them that of `known`."""
    return {key: [factor * value for factor in (0.35, 0.8, 1.1, 2.3)] for key, value in known(name).items()}


def cases(name):
    """Sets of parameters of a family: its defaults, a short unit of distance, and other shapes."""
    found = []
    for unit, shape in ((1, 1), (0.02, 1), (1, 0.3), (0.02, 3)):
        factors = {"distance": unit, "1/distance": 1 / unit, None: shape}
        case = {f.name: _on_grid(f, f.default * factors[f.metadata["unit"]]) for f in _fields(name)}
        if case not in found:
            found.append(case)
    return found


def all_cases():
    """Pairs of a family and a set of its parameters."""
    return [(name, case) for name in WEIGHTINGS for case in cases(name)]


def _fields(name):
    return dataclasses.fields(WEIGHTINGS[name])


def _on_grid(field, value):
    return float(np.clip(value, field.metadata["grid"][0], field.metadata["grid"][-1]))
