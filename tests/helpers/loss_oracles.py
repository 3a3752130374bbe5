"""Every loss a second time: float64, SciPy's k-d trees and densities, plain loops."""

from functools import partial

import numpy as np
from densities import TWINS, known

from keras_wcd.losses import LOSSES


def cd(d, index, size, other, norm="l1"):
    return np.mean(d if norm == "l1" else d * d)


def hyper_cd(d, index, size, other, alpha=1.0):
    return np.mean(np.arccosh(1 + alpha * d**2))


def info_cd(d, index, size, other, tau=2.0, lam=1e-7):
    # The form of the release: minus the log of a ratio of exponentials.
    return np.mean(-np.log(np.exp(-d / tau) / np.sum(np.exp(-d / tau)) ** lam))


def dcd(d, index, size, other, alpha=1000.0, n_lambda=1.0, non_reg=False):
    total = 0.0
    ratio = max(1.0, size / other) if non_reg else size / other
    for distance, neighbor in zip(d, index, strict=True):
        count = sum(1 for other_neighbor in index if other_neighbor == neighbor)
        total += 1 - np.exp(-alpha * distance**2) * ratio / (count**n_lambda + 1e-6)
    return total / size / 2


def weighted(d, index, size, other, family, shift=0.0, scale=1.0, **parameters):
    return np.mean(TWINS[family](**parameters).pdf(d / scale + shift) * d)


def weighted_cd(d, index, size, other, weighting="landau", shift=0.0, scale=1.0):
    given = {"name": weighting} if isinstance(weighting, str) else dict(weighting)
    return weighted(d, index, size, other, given.pop("name"), shift, scale, **given)


def landau_cd(d, index, size, other, variant="paper", shift=0.0, scale=1.0):
    if variant == "paper":
        return weighted(d, index, size, other, "landau", shift, scale)
    u = d / scale + shift
    return np.mean(scale * np.exp(-(u + np.exp(-u)) / 2) * (1 - np.exp(-d / scale)))


ONE_WAY = {
    "cd": cd,
    "hyper_cd": hyper_cd,
    "info_cd": info_cd,
    "dcd": dcd,
    "weighted_cd": weighted_cd,
    "landau_cd": landau_cd,
    # The constants of the authors' code; a family without a row has defaults of our own.
    "extreme_value_cd": partial(weighted, family="extreme_value", beta=1.4),
    "chi_squared_cd": partial(weighted, family="chi_squared", k=3),
    "log_logistic_cd": partial(weighted, family="log_logistic", alpha=5.0, beta=2.0),
    "gamma_cd": partial(weighted, family="gamma", alpha=2.0, beta=0.4),
}
"""The term of one side, of distances, indices of neighbors and the two sizes."""

OTHER_ARGUMENTS = {
    "cd": [{"norm": "l2"}],
    "hyper_cd": [{"alpha": 1000.0}, {"alpha": 0.01}],
    "info_cd": [{"tau": 0.1, "lam": 0.5}, {"lam": 0.0}],
    "dcd": [{"alpha": 3.0, "n_lambda": 0.5}, {"alpha": 0.7, "non_reg": True}],
    "weighted_cd": [
        {"weighting": {"name": "gamma", "alpha": 2.6, "beta": 1.7}},
        {"weighting": {"name": "weibull", "k": 1.5, "lam": 0.2}, "shift": 0.1, "scale": 0.5},
    ],
    "landau_cd": [
        {"variant": "released"},
        {"variant": "released", "shift": 0.3, "scale": 0.2},
        {"shift": -0.4, "scale": 2.0},
    ],
}
"""Sets of arguments that are not the defaults, together every argument that is a loss's own."""


def one_way(name, **arguments):
    """The term of one side of any loss at any arguments of its own."""
    if name in ONE_WAY:
        return partial(ONE_WAY[name], **arguments)
    defaults = LOSSES[name]().weighting.get_config()
    return partial(weighted, family=name.removesuffix("_cd"), **{**defaults, **arguments})


def other_arguments(name):
    """Sets of arguments of a loss that are not its defaults; those of a named family come from its parameters."""
    if name in OTHER_ARGUMENTS:
        return OTHER_ARGUMENTS[name]
    parameters = known(name.removesuffix("_cd"))
    return [parameters, {**parameters, "shift": 0.2, "scale": 0.3}]


def nearest(x, y, rows=256):
    """Distances of rows of x to the nearest of y, and its index; of those equally near, within 2^-20, the lowest."""
    found = []
    for start in range(0, len(x), rows):
        squares = ((x[start : start + rows, None] - y[None]) ** 2).sum(axis=-1)
        least = squares.min(axis=1)
        found.append((np.sqrt(least), (squares <= least[:, None] * (1 + 2**-20)).argmax(axis=1)))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def value(one_way, true, pred, pred_weight=1.0, true_weight=1.0):
    """The loss of one pair of clouds."""
    true, pred = np.asarray(true, np.float64), np.asarray(pred, np.float64)
    there, back = nearest(pred, true), nearest(true, pred)
    return pred_weight * one_way(*there, len(pred), len(true)) + true_weight * one_way(*back, len(true), len(pred))
