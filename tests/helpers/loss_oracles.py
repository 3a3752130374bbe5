"""Every loss a second time: float64, SciPy's k-d trees and densities, plain loops."""

import numpy as np
from scipy import stats
from scipy.spatial import cKDTree

DENSITIES = {
    "landau": lambda d: stats.moyal.pdf(d),
    "extreme_value": lambda d, beta: stats.gumbel_r.pdf(d, scale=beta),
    "chi_squared": lambda d, k: stats.chi2.pdf(d, k),
    "log_logistic": lambda d, alpha, beta: stats.fisk.pdf(d, beta, scale=alpha),
    "gamma": lambda d, alpha, beta: stats.gamma.pdf(d, alpha, scale=1 / beta),
    "weibull": lambda d, k, lam: stats.weibull_min.pdf(d, k, scale=lam),
    "logistic": lambda d, sigma: stats.logistic.pdf(d, scale=sigma),
    "normal": lambda d, sigma: stats.norm.pdf(d, scale=sigma),
}


def weighted(density, **parameters):
    def one_way(d, index, size, other):
        return np.mean(DENSITIES[density](d, **parameters) * d)

    return one_way


def cd(d, index, size, other):
    return np.mean(d)


def hyper_cd(d, index, size, other):
    return np.mean(np.arccosh(1 + d**2))


def info_cd(d, index, size, other):
    # The form of the release: minus the log of a ratio of exponentials.
    return np.mean(-np.log(np.exp(-0.5 * d) / np.sum(np.exp(-0.5 * d)) ** 1e-7))


def dcd(d, index, size, other, alpha=1000.0, n_lambda=1.0):
    total = 0.0
    for distance, neighbor in zip(d, index, strict=True):
        count = sum(1 for other_neighbor in index if other_neighbor == neighbor)
        total += 1 - np.exp(-alpha * distance**2) * (size / other) / (count**n_lambda + 1e-6)
    return total / size / 2


ONE_WAY = {
    "cd": cd,
    "hyper_cd": hyper_cd,
    "info_cd": info_cd,
    "dcd": dcd,
    "weighted_cd": weighted("landau"),
    "landau_cd": weighted("landau"),
    "extreme_value_cd": weighted("extreme_value", beta=1.4),
    "chi_squared_cd": weighted("chi_squared", k=3),
    "log_logistic_cd": weighted("log_logistic", alpha=5.0, beta=2.0),
    "gamma_cd": weighted("gamma", alpha=2.0, beta=0.4),
}


def value(one_way, true, pred, pred_weight=1.0, true_weight=1.0):
    """The loss of one pair of clouds."""
    true, pred = np.asarray(true, np.float64), np.asarray(pred, np.float64)
    there, back = cKDTree(true).query(pred), cKDTree(pred).query(true)
    return pred_weight * one_way(*there, len(pred), len(true)) + true_weight * one_way(*back, len(true), len(pred))
