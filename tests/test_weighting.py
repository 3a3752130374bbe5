"""Promises that every row of WEIGHTINGS keeps, against SciPy's distributions."""

import keras
import numpy as np
import pytest
from loss_oracles import DENSITIES
from scipy import optimize

from keras_wcd import weighting
from keras_wcd.weighting import WEIGHTINGS, Custom

pytestmark = pytest.mark.backend

PARAMETERS = {
    "landau": [{}],
    "extreme_value": [{"beta": 1.4}, {"beta": 0.03}],
    "chi_squared": [{"k": 3}, {"k": 1}, {"k": 7.5}],
    "log_logistic": [{"alpha": 5.0, "beta": 2.0}, {"alpha": 0.1, "beta": 0.7}, {"alpha": 0.5, "beta": 9.0}],
    "gamma": [{"alpha": 2.0, "beta": 0.4}, {"alpha": 0.6, "beta": 3.0}, {"alpha": 9.0, "beta": 50.0}],
    "weibull": [{"k": 2.0, "lam": 1.0}, {"k": 0.8, "lam": 0.1}, {"k": 6.0, "lam": 3.0}],
    "logistic": [{"sigma": 1.0}, {"sigma": 0.02}],
    "normal": [{"sigma": 1.0}, {"sigma": 0.02}],
}
CASES = [(name, parameters) for name in WEIGHTINGS for parameters in PARAMETERS[name]]


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_is_the_density_of_its_scipy_twin(name, parameters):
    distance = np.geomspace(1e-4, 20, 200)
    found = WEIGHTINGS[name](**parameters)(keras.ops.convert_to_tensor(distance.astype("float32")))
    expected = DENSITIES[name](distance, **parameters)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_mode_is_where_the_density_is_largest(name, parameters):
    mode = WEIGHTINGS[name](**parameters).mode
    if mode > 0:
        found = optimize.minimize_scalar(
            lambda d: -DENSITIES[name](d, **parameters), bounds=(mode / 5, mode * 5), options={"xatol": 1e-9}
        ).x
        np.testing.assert_allclose(mode, found, rtol=1e-5)
    else:
        beyond = DENSITIES[name](np.geomspace(1e-6, 20, 100), **parameters)
        assert (np.diff(beyond) <= 0).all()


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_is_finite_from_zero_to_far_away(name):
    distance = np.float32([0, 1e-30, 1e-12, 1, 1e3, 1e6, 1e12])
    values = keras.ops.convert_to_numpy(WEIGHTINGS[name]()(keras.ops.convert_to_tensor(distance)))
    assert np.isfinite(values).all()
    assert values[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_accepts_tensors_as_parameters(name, parameters):
    distance = keras.ops.convert_to_tensor(np.float32([0.1, 0.5, 2.0]))
    tensors = {key: keras.ops.convert_to_tensor(np.float32([[value]])) for key, value in parameters.items()}
    expected = keras.ops.convert_to_numpy(WEIGHTINGS[name](**parameters)(distance))
    many = WEIGHTINGS[name](**tensors)
    found = keras.ops.convert_to_numpy(many(distance) + keras.ops.zeros((1, 1)))
    np.testing.assert_allclose(found, expected[None], rtol=1e-4)
    np.testing.assert_allclose(float(np.max(many.mode)), WEIGHTINGS[name](**parameters).mode, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_round_trips_through_its_config_and_stays_frozen(name):
    for parameters in PARAMETERS[name]:
        one = WEIGHTINGS[name](**parameters)
        assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(one)) == one
        assert weighting.get(keras.saving.serialize_keras_object(one)) == one
        for key in parameters:
            with pytest.raises(AttributeError):
                setattr(one, key, 1.0)
            with pytest.raises(ValueError, match=f"{key} must be a positive number, got -1"):
                WEIGHTINGS[name](**{**parameters, key: -1})
    assert weighting.get(name) == WEIGHTINGS[name]()


@keras.saving.register_keras_serializable("tests")
def half(distance):
    return 0.5 + 0 * distance


def test_takes_any_callable():
    custom = weighting.get(half)
    assert custom == Custom(half)
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(custom)) == custom
    with pytest.raises(ValueError, match="function must be callable"):
        Custom(3)
    with pytest.raises(ValueError, match="weighting must be"):
        weighting.get("lorentz")


def test_every_weighting_is_in_the_table():
    kinds = {v for v in vars(weighting).values() if isinstance(v, type) and issubclass(v, weighting.Weighting)}
    assert kinds - {weighting.Weighting, Custom} == set(WEIGHTINGS.values())
    assert set(PARAMETERS) == set(DENSITIES) == set(WEIGHTINGS)
