"""LandauCD as the paper states it and as the authors' code trains it, against the closed forms."""

import numpy as np
import pytest
from backends import gradient
from keras import ops

from keras_wcd.losses import LOSSES, LandauCD

pytestmark = pytest.mark.backend

D = np.geomspace(1e-3, 8, 60)


def released(d):
    return np.exp(-(d + np.exp(-d)) / 2) * (1 - np.exp(-d))


def released_slope(d):
    e = np.exp(-d)
    return np.exp(-(d + e) / 2) * (e - (1 - e) ** 2 / 2)


def paper(d):
    return np.exp(-(d + np.exp(-d)) / 2) / np.sqrt(2 * np.pi) * d


def paper_slope(d):
    return np.exp(-(d + np.exp(-d)) / 2) / np.sqrt(2 * np.pi) * (1 - d / 2 * (1 - np.exp(-d)))


VARIANTS = {"paper": (paper, paper_slope), "released": (released, released_slope)}


def profile(distance, variant, **arguments):
    found = LandauCD(variant, **arguments).profile(ops.convert_to_tensor(distance.astype("float32")))
    return ops.convert_to_numpy(found)


def slope(distance, variant, **arguments):
    loss = LandauCD(variant, **arguments)
    return gradient(lambda d: ops.sum(loss.profile(d)), distance.astype("float32"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_profile_is_the_closed_form(variant):
    np.testing.assert_allclose(profile(D, variant), VARIANTS[variant][0](D), rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_slope_is_that_of_the_closed_form(variant):
    np.testing.assert_allclose(slope(D, variant), VARIANTS[variant][1](D), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("scale", [0.02, 7.0])
def test_scale_is_the_unit_of_distance(variant, scale):
    np.testing.assert_allclose(profile(scale * D, variant, scale=scale), scale * VARIANTS[variant][0](D), rtol=1e-5)
    found = slope(scale * D, variant, scale=scale)
    np.testing.assert_allclose(found, VARIANTS[variant][1](D), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("variant", "slopes"),
    [("paper", (0.607, 0.605, 0.590, 0.345)), ("released", (0.601, 0.576, 0.482, 0.085))],
)
def test_slopes_are_the_known_ones(variant, slopes):
    # Without the factor 1/sqrt(2 pi), which the released code leaves out.
    factor = np.sqrt(2 * np.pi) if variant == "paper" else 1.0
    found = factor * slope(np.array([0.01, 0.05, 0.2, 1.0]), variant)
    np.testing.assert_allclose(found, slopes, atol=6e-4)


def test_variants_agree_where_distances_are_small_but_for_their_factor():
    small = np.array([1e-6, 1e-5, 1e-4])
    ratio = profile(small, "released") / profile(small, "paper")
    np.testing.assert_allclose(ratio, np.sqrt(2 * np.pi), rtol=1e-4)


def test_clouds_are_measured_by_the_released_form():
    # One predicted point 1.5 from one true point: each side adds the profile once.
    true, pred = np.zeros((1, 1, 3), "float32"), np.float32([[[1.5, 0, 0]]])
    assert float(LandauCD("released")(true, pred)) == pytest.approx(2 * released(1.5), rel=1e-5)
    found = gradient(lambda p: LandauCD("released")(true, p), pred)
    np.testing.assert_allclose(found[0, 0], [2 * released_slope(1.5), 0, 0], atol=1e-5)


@pytest.mark.parametrize(("variant", "top"), [("paper", 2.24), ("released", 1.32)])
def test_far_points_are_let_go(variant, top):
    d = np.linspace(0.5, 5, 4501)
    assert d[np.argmax(VARIANTS[variant][0](d))] == pytest.approx(top, abs=0.01)
    assert (slope(np.array([top - 0.05]), variant) > 0).all()
    assert (slope(np.array([top + 0.05]), variant) < 0).all()


@pytest.mark.parametrize(
    ("name", "top"),
    [
        ("extreme_value_cd", 1.35 * 1.4),
        ("chi_squared_cd", 3.0),
        ("log_logistic_cd", 5.0),
        ("gamma_cd", 2.0 / 0.4),
        ("weibull_cd", 25.58),
        ("logistic_cd", 1.54 * 1.75),
        ("normal_cd", 2.477),
    ],
)
def test_the_pull_of_every_family_ends_where_its_docstring_says(name, top):
    for scale in (1.0, 0.03):
        loss = LOSSES[name](scale=scale)
        found = gradient(lambda d, loss=loss: ops.sum(loss.profile(d)), np.float32([0.99, 1.01]) * scale * top)
        assert found[0] > 0 > found[1]


def test_a_scale_of_the_diagonal_measures_clouds_in_any_units_alike():
    rng = np.random.default_rng(0)
    true, pred = rng.uniform(-0.3, 0.3, (2, 1, 50, 3)).astype("float32")
    for variant in VARIANTS:
        meters = float(LandauCD(variant)(true, pred))
        assert float(LandauCD(variant, scale=1000.0)(1000 * true, 1000 * pred)) == pytest.approx(
            1000 * meters, rel=1e-4
        )
        assert float(LandauCD(variant)(1000 * true, 1000 * pred)) < 1e-3 * meters
