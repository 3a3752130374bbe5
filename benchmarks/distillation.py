"""How the ranking of distillation moves with its choices, and what the search costs: python benchmarks/distillation.py

Prints, for each setting, the families in the order of their objective, then the parameters found at the defaults with
both shifts, then the time of a search and the ratio of a plain Python loop over the same grid to the vectorized search.
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from keras_wcd.distill import DistanceDistribution, distill
from keras_wcd.distill.gradients import profile_gradient
from keras_wcd.distill.grids import resolve
from keras_wcd.distill.objective import objectives
from keras_wcd.losses import CD, HyperCD, WeightedCD

SETTINGS = {
    "default": {},
    "p(d): simulated, seed 1": {"distances": DistanceDistribution.simulated(1)},
    "p(d): half_normal(0.01)": {"distances": DistanceDistribution.half_normal(0.01)},
    "p(d): uniform(0, 1)": {"distances": DistanceDistribution.uniform(0, 1)},
    "p(d): half_normal(1)": {"distances": DistanceDistribution.half_normal(1)},
    "shift None": {"shift": None},
    "rescale fit": {"rescale": "fit"},
    "rescale None": {"rescale": None},
    "norm squared": {"norm": "squared"},
    "distance scale median": {"distance_scale": "median"},
    "distance scale fit": {"distance_scale": "fit"},
    "distance scale fit, shift None": {"distance_scale": "fit", "shift": None},
    "HyperCD(100)": {"teacher": HyperCD(100.0)},
    "HyperCD(1e4)": {"teacher": HyperCD(1e4)},
    "HyperCD(1e4), scale fit": {"teacher": HyperCD(1e4), "distance_scale": "fit"},
    "CD l2, shift None, scale fit": {"teacher": CD("l2"), "shift": None, "distance_scale": "fit"},
}
SHORT = {"extreme_value": "EV", "chi_squared": "chi2", "log_logistic": "LL"}


def seconds(function, rounds=5):
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def loop(distances, per_family):
    """The objective at points of the default grids, one after the other."""
    target = profile_gradient(HyperCD().profile, distances.support)
    for family in resolve(None, None, 1.0, distances, "max"):
        for point in family.points[:: max(1, len(family.points) // per_family)]:
            weighting = family.weighting(point)
            loss = WeightedCD(weighting, shift=float(weighting.mode))
            curve = profile_gradient(loss.profile, distances.support)[None]
            objectives(target, curve, distances.weights, rescale="max", norm="abs")
            yield family.name


def main():
    print("| setting | families, best first, with E |\n|---|---|")
    for name, setting in SETTINGS.items():
        found = distill(**setting).ranking
        stars = ["*" if f.at_edge else "" for f in found]
        order = [f"{SHORT.get(f.family, f.family)}{s} {f.objective:.1e}" for f, s in zip(found, stars, strict=True)]
        print(f"| {name} | {', '.join(order)} |")
    for shift in ("mode", None):
        print("\n" + distill(shift=shift).table())
    distances = DistanceDistribution.simulated()
    points = sum(len(family.points) for family in resolve(None, None, 1.0, distances, "max"))
    grid = seconds(lambda: distill(distances=distances, refine=False))
    print(f"\nall families, refined: {seconds(lambda: distill(distances=distances)):.2f} s")
    print(f"all families, grid of {points} points: {grid:.3f} s")
    tried = []
    one = seconds(lambda: tried.append(sum(1 for _ in loop(distances, 20))), rounds=3) / tried[0]
    print(f"plain loop over the grid: {one * points:.1f} s ({tried[0]} points timed), ratio {one * points / grid:.0f}")


if __name__ == "__main__":
    main()
