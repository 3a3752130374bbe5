"""The search of distillation written again with SciPy's densities, finite differences and plain loops."""

import itertools

import numpy as np
from densities import TWINS
from scipy import optimize


def derivative(function, x):
    """Five-point differences: exact to h^4."""
    h = 1e-3 * x
    return (function(x - 2 * h) - 8 * function(x - h) + 8 * function(x + h) - function(x + 2 * h)) / (12 * h)


def mode(density):
    """Where the density is largest on d >= 0, by search."""
    starts = np.geomspace(1e-6, 1e3, 400)
    best = starts[np.argmax(density.pdf(starts))]
    if best == starts[0]:
        return 0.0
    found = optimize.minimize_scalar(
        lambda d: -density.pdf(d), bounds=(best / 1.1, best * 1.1), method="bounded", options={"xatol": 1e-10}
    )
    return found.x


def gradient(density, distances, shift, scale=1.0):
    m = mode(density) if shift == "mode" else 0.0
    return derivative(lambda d: density.pdf(d / scale + m) * d, distances)


def objective(teacher, student, weights, rescale, norm="abs"):
    if rescale == "max":
        teacher, student = teacher / np.max(np.abs(teacher)), student / np.max(np.abs(student))
    elif rescale == "fit":
        root = np.sqrt(weights)
        factor = np.linalg.lstsq((root * student)[:, None], root * teacher, rcond=None)[0][0]
        student = max(factor, 0) * student
    difference = np.abs(teacher - student)
    return float(np.sum(weights * (difference if norm == "abs" else difference**2)))


def search(name, grid, teacher, distances, weights, shift, rescale, scale=1.0, norm="abs"):
    """The lowest objective on a grid, and the parameters that reach it."""
    best = (np.inf, None)
    for values in itertools.product(*grid.values()):
        student = gradient(TWINS[name](*values), distances, shift, scale)
        cost = objective(teacher, student, weights, rescale, norm)
        best = min(best, (cost, dict(zip(grid, values, strict=True))), key=lambda pair: pair[0])
    return best
