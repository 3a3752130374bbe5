"""The search of distillation against a plain one with SciPy's densities, and families that know the answer."""

import dataclasses

import densities
import distill_oracle
import numpy as np
import pytest
from keras import ops

from keras_wcd import weighting as weightings
from keras_wcd.distill import DistanceDistribution, distill
from keras_wcd.distill.gradients import profile_gradient, weighting_gradients
from keras_wcd.distill.objective import objectives
from keras_wcd.losses import CD, DCD, HyperCD, InfoCD, WeightedCD
from keras_wcd.weighting import WEIGHTINGS

GRIDS = {name: densities.coarse_grid(name) for name in WEIGHTINGS}
KNOWN = {name: tuple(densities.known(name).values()) for name in WEIGHTINGS}
P = DistanceDistribution.uniform(0.03, 2.03, size=97)


@pytest.fixture(params=sorted(WEIGHTINGS))
def family(request):
    return request.param


@pytest.mark.parametrize("rescale", ["max", "fit", None])
@pytest.mark.parametrize("shift", ["mode", None])
def test_finds_the_winner_of_a_plain_search(family, shift, rescale):
    teacher = 2 * P.support / np.sqrt((1 + P.support**2) ** 2 - 1)
    cost, parameters = distill_oracle.search(family, GRIDS[family], teacher, P.support, P.weights, shift, rescale)
    found = distill(
        families=[family],
        grid={family: GRIDS[family]},
        distances=P,
        shift=shift,
        rescale=rescale,
        refine=False,
    ).best
    assert found.objective == pytest.approx(cost, rel=1e-6)
    assert found.parameters == parameters


@pytest.mark.parametrize("norm", ["abs", "squared"])
def test_scales_distances_and_takes_either_norm(family, norm):
    half = DistanceDistribution.half_normal(0.02, size=61)
    alpha = 500.0
    teacher = distill_oracle.derivative(lambda d: np.arccosh(1 + alpha * d**2), half.support)
    expected = distill_oracle.search(
        family, GRIDS[family], teacher, half.support, half.weights, "mode", "max", half.median, norm
    )
    found = distill(
        HyperCD(alpha), families=[family], grid={family: GRIDS[family]}, distances=half, distance_scale="median",
        norm=norm, refine=False,
    ).best  # fmt: skip
    assert (found.scale, found.parameters) == (half.median, expected[1])
    assert found.objective == pytest.approx(expected[0], rel=1e-5)


def test_orders_all_families_as_a_plain_search_does():
    teacher = 2 * P.support / np.sqrt((1 + P.support**2) ** 2 - 1)
    expected = sorted(
        (distill_oracle.search(name, grid, teacher, P.support, P.weights, "mode", "max")[0], name)
        for name, grid in GRIDS.items()
    )
    result = distill(grid=GRIDS, distances=P, refine=False)
    assert [found.family for found in result.ranking] == [name for _, name in expected]
    assert result.best is result.ranking[0]


@pytest.mark.parametrize("alpha", [1.0, 100.0, 1e4])
def test_differentiates_hyper_cd_as_its_closed_form_does(alpha):
    d = np.geomspace(1e-3, 10, 200)
    closed = 2 * alpha * d / np.sqrt((1 + alpha * d**2) ** 2 - 1)
    np.testing.assert_allclose(profile_gradient(HyperCD(alpha).profile, d), closed, rtol=1e-6)


def test_differentiates_weightings_as_finite_differences_do(family):
    d = np.linspace(0.05, 4, 80)
    density = densities.TWINS[family](*KNOWN[family])
    weighting = WEIGHTINGS[family](*KNOWN[family])
    np.testing.assert_allclose(
        profile_gradient(weighting, d), distill_oracle.derivative(density.pdf, d), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("shift", ["mode", None])
def test_differentiates_many_parameter_sets_as_one_at_a_time(family, shift):
    sets = np.array([np.multiply(KNOWN[family], factor) for factor in (0.6, 1.0, 1.9)]).reshape(3, -1)
    scales = np.array([0.5, 1.0, 3.0])
    together = weighting_gradients(WEIGHTINGS[family], sets, scales, P.support, shift=shift)
    for parameters, scale, curve in zip(sets, scales, together, strict=True):
        weighting = WEIGHTINGS[family](*map(float, parameters))
        loss = WeightedCD(weighting, shift=weighting.mode if shift == "mode" else 0.0, scale=float(scale))
        np.testing.assert_allclose(curve, profile_gradient(loss.profile, P.support), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rescale", ["max", "fit", None])
@pytest.mark.parametrize("shift", ["mode", None])
def test_recovers_a_teacher_of_its_own_family(family, shift, rescale):
    weighting = WEIGHTINGS[family](*KNOWN[family])
    teacher = WeightedCD(weighting, shift=weighting.mode if shift == "mode" else 0.0)
    wide = DistanceDistribution.uniform(0.01, 3.0, size=200)
    found = distill(teacher, families=[family], distances=wide, shift=shift, rescale=rescale).best
    assert found.objective < 1e-4
    assert list(found.parameters.values()) == pytest.approx(KNOWN[family], rel=0.01)


@pytest.mark.parametrize("name", ["landau", "chi_squared"])
def test_recovers_the_scale_of_families_without_one(name):
    weighting = WEIGHTINGS[name](*KNOWN[name])
    teacher = WeightedCD(weighting, shift=weighting.mode, scale=0.037)
    near = DistanceDistribution.uniform(0.0005, 0.15, size=200)
    found = distill(teacher, families=[name], distances=near, distance_scale="fit").best
    assert found.objective < 1e-4
    assert found.scale == pytest.approx(0.037, rel=0.01)
    assert list(found.parameters.values()) == pytest.approx(KNOWN[name], rel=0.01)


def test_finds_the_family_of_the_teacher_first(family):
    weighting = WEIGHTINGS[family](*KNOWN[family])
    wide = DistanceDistribution.uniform(0.01, 3.0, size=100)
    result = distill(WeightedCD(weighting), families={family, "normal", "landau"}, distances=wide, shift=None)
    assert result.best.family == family


@pytest.mark.parametrize("shift", ["mode", None])
def test_polishing_never_loses_to_the_grid_and_stays_between_its_ends(shift):
    coarse = distill(grid=GRIDS, distances=P, shift=shift, refine=False)
    fine = distill(grid=GRIDS, distances=P, shift=shift)
    for found in fine.ranking:
        assert found.objective <= coarse.candidate(found.family).objective
        for key, value in found.parameters.items():
            grid = GRIDS[found.family][key]
            assert min(grid) * (1 - 1e-9) <= value <= max(grid) * (1 + 1e-9)


def test_names_parameters_that_end_at_an_edge():
    found = distill(families=["normal"], grid={"normal": {"sigma": [0.1, 0.2, 0.4]}}, distances=P).best
    assert found.parameters["sigma"] == pytest.approx(0.4)
    assert found.at_edge == ("sigma",)
    assert distill(families=["normal"], distances=P).best.at_edge == ()


@pytest.mark.parametrize(
    ("teacher", "slope"),
    [
        (CD("l1"), lambda d: np.ones_like(d)),
        (CD("l2"), lambda d: 2 * d),
        (InfoCD(tau=0.5), lambda d: np.full_like(d, 2.0)),
        (DCD(alpha=3.0), lambda d: 6 * d * np.exp(-3 * d**2)),
        (lambda d: d**3 + d, lambda d: 3 * d**2 + 1),
        ("hyper_cd", lambda d: 2 / np.sqrt(2 + d**2)),
        (HyperCD, lambda d: 2 / np.sqrt(2 + d**2)),
    ],
    ids=["cd_l1", "cd_l2", "info_cd", "dcd", "function", "name", "class"],
)
def test_takes_any_teacher_with_a_profile(teacher, slope):
    result = distill(teacher, families=["normal"], distances=P, refine=False)
    np.testing.assert_allclose(result.teacher_gradient, slope(P.support), rtol=1e-9)


def test_takes_classes_instances_and_custom_weightings():
    def inverse(distance):
        return 1 / (1 + distance)

    families = [weightings.Gamma, weightings.Normal(sigma=2.0), weightings.Custom(inverse), "Landau"]
    result = distill(families=families, distances=P, shift=None)
    assert {found.family for found in result.ranking} == {"gamma", "normal(sigma=2)", "inverse", "landau"}
    expected = distill_oracle.derivative(lambda d: d / (1 + d), P.support)
    cost = distill_oracle.objective(result.teacher_gradient, expected, P.weights, "max")
    assert result.candidate("inverse").objective == pytest.approx(cost, rel=1e-6)


def test_never_turns_a_student_around():
    teacher, student = np.array([1.0, 2.0]), np.array([[-1.0, -2.0]])
    weights = np.array([0.5, 0.5])
    assert objectives(teacher, student, weights, rescale="fit", norm="abs") == [1.5]
    assert objectives(teacher, student, weights, rescale="max", norm="abs") == [1.5]


def test_passes_over_what_is_not_valid_on_a_grid():
    found = distill(families=["normal"], grid={"normal": {"sigma": [-1, 0, np.nan, 2.0]}}, distances=P).best
    assert found.parameters == {"sigma": 2.0}


@dataclasses.dataclass(frozen=True)
class Lorentz(weightings.Weighting):
    """A density of one's own, with its own grid."""

    gamma: float = weightings.parameter(1.0, 0.05, 20.0, 31)

    def __call__(self, distance):
        return 2 / (np.pi * self.gamma * (1 + ops.square(distance / self.gamma)))

    @property
    def mode(self):
        return 0.0


def test_searches_a_weighting_of_ones_own_where_its_parameters_say():
    teacher = WeightedCD(Lorentz(0.7))
    result = distill(teacher, families=[Lorentz, "normal"], distances=P, distance_scale="fit")
    assert result.best.family == "lorentz"
    assert result.best.parameters["gamma"] == pytest.approx(0.7, rel=0.01)
    np.testing.assert_allclose(result.grid["lorentz"]["gamma"], np.geomspace(0.05, 20.0, 31))
    # Its parameter is a unit of distance already: a scale beside it would only repeat it.
    assert result.grid["lorentz"]["distance_scale"] == [1.0]
