"""Algorithm 1: search every family for the weighting whose gradients match the teacher's, and rank the families."""

import importlib.metadata
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from keras_wcd.distill.distances import DistanceDistribution
from keras_wcd.distill.gradients import require_tensorflow, weighting_gradients
from keras_wcd.distill.grids import Family, resolve
from keras_wcd.distill.objective import NORMS, RESCALES, SHIFTS, factors, objectives
from keras_wcd.distill.refine import polish
from keras_wcd.distill.result import Candidate, DistillationResult
from keras_wcd.distill.teachers import resolve_teacher, teacher_gradient
from keras_wcd.losses import HyperCD

TEACHER = HyperCD(alpha=1.0)
"""The paper's teacher."""
STARTS = 2
"""Best points of the grid that are polished."""


def distill(
    teacher: Any = TEACHER,
    *,
    families: Iterable | str | None = None,
    distances: DistanceDistribution | None = None,
    grid: Mapping[Any, Mapping[str, Iterable[float]]] | None = None,
    shift: str | None = "mode",
    rescale: str | None = "max",
    distance_scale: float | str = 1.0,
    norm: str = "abs",
    refine: bool = True,
) -> DistillationResult:
    r"""Finds the weighted Chamfer distances whose gradients match those of a teacher.

    For every family of weightings f, minimizes over its parameters (Lin et al., IROS 2024, Eq. 3)

    $$E = \sum_d p(d) \, |z_T(d) - z_W(d)|, \qquad
      z_T = \phi_T'(d), \quad z_W = \frac{d}{dd} \left[ f(d / s + m) \, d \right]$$

    with both derivatives by `tf.GradientTape` in float64.

    Args:
        teacher: A loss with a profile, its class or name, or a differentiable function $\phi_T(d)$.
        families: Names of `WEIGHTINGS`, classes or instances of `Weighting`; None takes all of `WEIGHTINGS`. An
            instance takes part with its parameters as they are.
        distances: p(d); None takes `DistanceDistribution.simulated()`.
        grid: For a family, the values to search for each of its parameters (and, under the name
            `"distance_scale"`, for a fitted s); what is missing is taken from the default grid. Values that are
            not positive and finite are passed over.
        shift: `"mode"` for m the mode of f, computed anew for each parameter set; None for m = 0.
        rescale: `"max"` divides each curve by its largest magnitude over the support, `"fit"` multiplies the
            student's by the least-squares factor (not below 0), None compares them raw.
        distance_scale: s: a number, `"median"` of p(d), or `"fit"` to search it with the parameters (only for
            families where it is not equivalent to a parameter of theirs, whose s is 1 then).
        norm: `"abs"`, or `"squared"` to sum squared differences.
        refine: Polish the best grid points by Nelder-Mead on the logarithms of the parameters, between the ends
            of the grid.

    Raises:
        ValueError: for an unknown family or option, a grid or teacher that cannot be used.
        RuntimeError: if Keras's backend is not TensorFlow.
    """
    require_tensorflow()
    for name, value, known in (("shift", shift, SHIFTS), ("rescale", rescale, RESCALES), ("norm", norm, NORMS)):
        if value not in known:
            raise ValueError(f"{name} must be one of {known}, got {value!r}")
    if distances is None:
        distances = DistanceDistribution.simulated()
    if not isinstance(distances, DistanceDistribution):
        distances = DistanceDistribution.from_samples(distances)
    searched = resolve(families, grid, distance_scale, distances, rescale)
    teacher = resolve_teacher(teacher)
    target = teacher_gradient(teacher, distances.support)
    match = Match(target, distances, shift, rescale, norm)
    return DistillationResult(
        teacher=teacher,
        teacher_gradient=target,
        distances=distances,
        ranking=tuple(sorted((match.best(family, refine) for family in searched), key=lambda c: c.objective)),
        shift=shift,
        rescale=rescale,
        distance_scale=distance_scale,
        norm=norm,
        refine=refine,
        grid={family.name: {key: list(map(float, v)) for key, v in family.values.items()} for family in searched},
        versions={name: importlib.metadata.version(name) for name in ("keras-wcd", "tensorflow", "keras", "scipy")},
    )


class Match:
    """What is held fixed while parameters are searched: the teacher's curve, p(d) and the options."""

    def __init__(
        self,
        teacher: np.ndarray,
        distances: DistanceDistribution,
        shift: str | None,
        rescale: str | None,
        norm: str,
    ):
        self.teacher = teacher
        self.distances = distances
        self.shift = shift
        self.rescale = rescale
        self.norm = norm

    def curves(self, family: Family, points: np.ndarray) -> np.ndarray:
        """$z_W$ of combinations of parameters and scale `(P, n)`, as `(P, D)`."""
        support = self.distances.support
        return weighting_gradients(family.source, points[:, :-1], points[:, -1], support, shift=self.shift)

    def objectives(self, family: Family, points: np.ndarray) -> np.ndarray:
        """E of combinations of parameters and scale `(P, n)`, as `(P,)`."""
        curves = self.curves(family, points)
        return objectives(self.teacher, curves, self.distances.weights, rescale=self.rescale, norm=self.norm)

    def best(self, family: Family, refine: bool) -> Candidate:
        """The best member of a family.

        Raises:
            ValueError: if no point of the grid has a curve that can be compared.
        """
        points = family.points
        costs = self.objectives(family, points)
        order = np.argsort(costs, kind="stable")
        if not np.isfinite(costs[order[0]]):
            raise ValueError(
                f"family {family.name}: its gradient is zero or not finite at every point of its grid "
                f"over distances {self.distances.name}; give it other values"
            )
        point = points[order[0]]
        if refine:
            starts = points[_apart(points, order, family)]
            point = polish(lambda x: self.objectives(family, x[None])[0], starts, list(family.values.values()))
        return self._candidate(family, point)

    def _candidate(self, family: Family, point: np.ndarray) -> Candidate:
        weighting = family.weighting(point)
        curve = self.curves(family, point[None])
        return Candidate(
            family=family.name,
            parameters=dict(zip(family.values, map(float, point[:-1]), strict=False)),
            objective=float(self.objectives(family, point[None])[0]),
            weighting=weighting,
            shift=float(weighting.mode) if self.shift == "mode" else 0.0,
            scale=float(point[-1]),
            factor=float(factors(self.teacher, curve, self.distances.weights, self.rescale)[0]),
            at_edge=_at_edge(family, point),
        )


def _apart(points: np.ndarray, order: np.ndarray, family: Family) -> list[int]:
    """Indices of the best point and of the best ones that are not its neighbors on the grid."""
    steps = np.array([np.ptp(np.log(grid)) / max(grid.size - 1, 1) or 1.0 for grid in family.values.values()])
    coordinates = np.log(points) / steps
    chosen = [order[0]]
    for index in order[1:]:
        if len(chosen) == STARTS:
            break
        if all(np.abs(coordinates[index] - coordinates[other]).max() > 1.5 for other in chosen):
            chosen.append(index)
    return chosen


def _at_edge(family: Family, point: np.ndarray) -> tuple[str, ...]:
    ends = {key: grid[[0, -1]] for key, grid in family.values.items() if grid.size > 1}
    placed = dict(zip(family.values, point, strict=True))
    return tuple(key for key, pair in ends.items() if np.abs(np.log(placed[key] / pair)).min() < 1e-3)
