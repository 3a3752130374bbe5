"""Promises that every row of WEIGHTINGS keeps, against SciPy's distributions."""

import dataclasses

import keras
import numpy as np
import pytest
from backends import gradient
from densities import TWINS, all_cases, cases, known
from scipy import optimize

from keras_wcd import weighting
from keras_wcd.names import UnknownArgumentError
from keras_wcd.weighting import WEIGHTINGS, Custom

pytestmark = pytest.mark.backend

SMALL = np.geomspace(1e-11, 1e-2, 80)
"""Distances of points that lie as good as together, where a weighting must not be rounded off to a floor."""


def values(function, distance, dtype="float32"):
    return keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(distance.astype(dtype))))


@pytest.mark.parametrize(("name", "parameters"), all_cases())
def test_is_the_density_of_its_scipy_twin(name, parameters):
    distance = np.geomspace(1e-4, 20, 200)
    found = values(WEIGHTINGS[name](**parameters), distance)
    np.testing.assert_allclose(found, TWINS[name](**parameters).pdf(distance), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(("name", "parameters"), all_cases())
def test_is_that_density_at_the_smallest_distances_too(name, parameters):
    found = values(WEIGHTINGS[name](**parameters), SMALL)
    # The exponential, a factor of up to a thousand below the density, is none in float32 below 1e-38.
    np.testing.assert_allclose(found, TWINS[name](**parameters).pdf(SMALL), rtol=2e-4, atol=1e-34)


@pytest.mark.skipif(keras.config.backend() == "jax", reason="JAX has no float64 outside its 64-bit mode")
@pytest.mark.parametrize(("name", "parameters"), all_cases())
def test_is_that_density_in_float64(name, parameters):
    distance = np.concatenate([SMALL, np.geomspace(1e-2, 20, 100)])
    found = values(WEIGHTINGS[name](**parameters), distance, "float64")
    np.testing.assert_allclose(found, TWINS[name](**parameters).pdf(distance), rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize(("name", "parameters"), all_cases())
def test_slope_is_that_of_the_density(name, parameters):
    distance = np.geomspace(1e-6, 5, 60)
    pdf, step = TWINS[name](**parameters).pdf, 1e-4 * distance
    expected = (pdf(distance + step) - pdf(distance - step)) / (2 * step)
    found = gradient(lambda d: keras.ops.sum(WEIGHTINGS[name](**parameters)(d)), distance.astype("float32"))
    # A slope through zero is known to the size of the terms that cancel there.
    scale = np.abs(expected) + pdf(distance) / np.maximum(distance, 1e-2)
    np.testing.assert_array_less(np.abs(found - expected), 1e-3 * scale + 1e-9)


@pytest.mark.parametrize(("name", "parameters"), all_cases())
def test_mode_is_where_the_density_is_largest(name, parameters):
    mode, pdf = WEIGHTINGS[name](**parameters).mode, TWINS[name](**parameters).pdf
    if mode > 0:
        found = optimize.minimize_scalar(lambda d: -pdf(d), bounds=(mode / 5, mode * 5), options={"xatol": 1e-9}).x
        np.testing.assert_allclose(mode, found, rtol=1e-5)
    else:
        assert (np.diff(pdf(np.geomspace(1e-6, 20, 100))) <= 0).all()


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_is_finite_from_zero_to_far_away(name):
    found = values(WEIGHTINGS[name](), np.array([0, 1e-30, 1e-12, 1, 1e3, 1e6, 1e12]))
    assert np.isfinite(found).all()
    assert found[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("name", "parameters"), all_cases())
def test_accepts_tensors_as_parameters(name, parameters):
    distance = keras.ops.convert_to_tensor(np.float32([0.1, 0.5, 2.0]))
    tensors = {key: keras.ops.convert_to_tensor(np.float32([[value]])) for key, value in parameters.items()}
    expected = keras.ops.convert_to_numpy(WEIGHTINGS[name](**parameters)(distance))
    many = WEIGHTINGS[name](**tensors)
    found = keras.ops.convert_to_numpy(many(distance) + keras.ops.zeros((1, 1)))
    np.testing.assert_allclose(found, expected[None], rtol=1e-4, atol=1e-30)
    np.testing.assert_allclose(float(np.max(many.mode)), WEIGHTINGS[name](**parameters).mode, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_round_trips_through_its_config_and_stays_frozen(name):
    for parameters in cases(name):
        one = WEIGHTINGS[name](**parameters)
        assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(one)) == one
        assert weighting.get(keras.saving.serialize_keras_object(one)) == one
        assert weighting.get({"name": name, **parameters}) == one
        for key in parameters:
            with pytest.raises(AttributeError):
                setattr(one, key, 1.0)


@pytest.mark.parametrize("value", [-1, 0, float("nan"), float("inf"), "wide", None, True])
@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_refuses_a_parameter_that_is_no_positive_number(name, value):
    for key in known(name):
        with pytest.raises(ValueError, match=f"{key} must be a positive number, got {value!r}"):
            WEIGHTINGS[name](**{**known(name), key: value})


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_is_found_by_its_names(name):
    kind = WEIGHTINGS[name]
    for alias in (name, kind.__name__, f"keras_wcd>{kind.__name__}", name.replace("_", "-"), kind, {"name": name}):
        assert weighting.get(alias) == kind()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zipf", "unknown weighting 'zipf'; known are .*gamma, .*landau"),
        ("wiebull", "unknown weighting 'wiebull'; did you mean weibull"),
        ({"name": "gama"}, "unknown weighting 'gama'; did you mean gamma"),
        ({"k": 3}, "weighting must be a Weighting"),
        (3, "weighting must be a Weighting"),
    ],
)
def test_says_what_there_is_for_a_name_that_it_has_not(name, message):
    with pytest.raises(ValueError, match=message):
        weighting.get(name)


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_names_the_parameters_for_one_that_it_has_not(name):
    with pytest.raises(UnknownArgumentError, match=f"{WEIGHTINGS[name].__name__} has no argument 'mu'; .*known are"):
        weighting.get({"name": name, "mu": 1.0})


@keras.saving.register_keras_serializable("tests")
def half(distance):
    return 0.5 + 0 * distance


def test_takes_any_callable():
    custom = weighting.get(half)
    assert custom == Custom(half)
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(custom)) == custom
    with pytest.raises(ValueError, match="function must be callable"):
        Custom(3)


def test_every_weighting_is_in_the_table():
    kinds = {v for v in vars(weighting).values() if isinstance(v, type) and issubclass(v, weighting.Weighting)}
    assert kinds - {weighting.Weighting, Custom} == set(WEIGHTINGS.values())
    assert set(TWINS) == set(WEIGHTINGS)


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_every_parameter_says_its_unit_and_where_it_is_searched(name):
    for field in dataclasses.fields(WEIGHTINGS[name]):
        grid = field.metadata["grid"]
        assert grid[0] < field.default < grid[-1]
        assert grid[0] < known(name)[field.name] < grid[-1]
        assert np.ptp(np.diff(np.log(grid))) < 1e-9


PARAMETERS = {
    "landau": {},
    "extreme_value": {"beta": (1.4, 1e-3, 1e3, 49, "distance")},
    "chi_squared": {"k": (3, 0.25, 1000, 97, None)},
    "log_logistic": {"alpha": (5.0, 1e-3, 1e3, 49, "distance"), "beta": (2.0, 0.5, 50, 25, None)},
    "gamma": {"alpha": (2.0, 0.25, 100, 25, None), "beta": (0.4, 1e-3, 1e3, 49, "1/distance")},
    "weibull": {"k": (2.0, 0.25, 50, 25, None), "lam": (1.0, 1e-3, 1e3, 49, "distance")},
    "logistic": {"sigma": (1.0, 1e-3, 1e3, 49, "distance")},
    "normal": {"sigma": (1.0, 1e-3, 1e3, 49, "distance")},
}
"""Default, ends and length of the grid, unit: what users of a name rely on, and rankings that were published."""


def test_defaults_grids_and_units_stay_as_they_are():
    found = {
        name: {
            field.name: (
                field.default,
                *field.metadata["grid"][[0, -1]],
                len(field.metadata["grid"]),
                field.metadata["unit"],
            )
            for field in dataclasses.fields(kind)
        }
        for name, kind in WEIGHTINGS.items()
    }
    assert found.keys() == PARAMETERS.keys()
    for name, parameters in PARAMETERS.items():
        assert found[name].keys() == parameters.keys()
        for key, expected in parameters.items():
            assert found[name][key][3:] == expected[3:]
            assert found[name][key][:3] == pytest.approx(expected[:3], rel=1e-12)


def test_a_parameter_of_an_unknown_unit_is_refused():
    with pytest.raises(ValueError, match="unit must be one of .*, got 'meter'"):
        weighting.parameter(1.0, unit="meter")
