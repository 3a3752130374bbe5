"""The contract that every network keeps."""

import inspect

import keras
import numpy as np
import pytest
from networks import FIXTURES, IDLE, PARAMETERS, PARITY_APART, SMALL, TinyChamfer, clouds, fixture, gradients, numpy

from keras_wcd import models
from keras_wcd.models import BACKBONES, CompletionModel, load_official_weights
from keras_wcd.models.weights.convert import arranged, layers_by_path, split, variable_name

GRADIENT = 1e-3
"""Ours are at most 3.3e-4 from the recorded ones, relative to their norm."""
UNSTEADY = {"foldingnet": 4e-3}
"""Rounding of the input (6e-8 of it) alone moves FoldingNet's gradient by up to 1.8e-3: neighbors and maxima change."""


@pytest.fixture(params=sorted(BACKBONES))
def key(request):
    return request.param


@pytest.fixture
def small(key):
    keras.utils.set_random_seed(0)
    return BACKBONES[key](**SMALL[key])


def compiled(model, **kwargs):
    model.compile(
        keras.optimizers.Adam(1e-3), loss=TinyChamfer(), metrics=[keras.metrics.MeanAbsoluteError()], **kwargs
    )
    return model


def distance(found, recorded):
    return np.linalg.norm(found - recorded) / np.linalg.norm(recorded)


def stages(model, x):
    return [numpy(stage) for stage in model(x, training=False)]


def test_the_tables_hold_every_network_that_is_exported():
    exported = {
        value for value in vars(models).values() if inspect.isclass(value) and issubclass(value, CompletionModel)
    }
    assert set(models.NETWORKS.values()) == exported - {CompletionModel}
    assert set(BACKBONES) == set(models.NETWORKS) - {"mirrornet"}


def test_every_network_has_a_fixture_a_parameter_count_and_a_small_size():
    assert set(BACKBONES) == set(SMALL) == {key for key, _ in FIXTURES.values()}
    assert set(PARAMETERS) == set(FIXTURES)


@pytest.mark.backend
@pytest.mark.parametrize("name", sorted(set(FIXTURES) - PARITY_APART))
def test_equals_the_official_network_at_every_stage(name):
    arrays, meta, weights = fixture(name)
    key, arguments = FIXTURES[name]
    model = BACKBONES[key](**arguments)
    load_official_weights(model, weights)
    expected = [arrays[k] for k in arrays if k.startswith("out/")]
    found = stages(model, arrays["in/x"])
    assert len(found) == len(expected)
    for stage, official in zip(found, expected, strict=True):
        # Float32 against float64 of the official network moves a point by at most 5e-7.
        np.testing.assert_allclose(stage, official, rtol=0, atol=2e-6)
    if "grad" not in meta or not meta["grad"]:
        return
    rows = np.random.RandomState(7).standard_normal(expected[-1].shape).astype("float32")
    by_path, at_input = gradients(model, arrays["in/x"], rows)
    bound = UNSTEADY.get(name, GRADIENT)
    assert distance(at_input, arrays["grad/input"]) < bound
    table, layers = model.official_weights(), layers_by_path(model)
    for official, norm in meta["grad"]["all_grad_norms"].items():
        module, suffix = split(official)
        layer = layers[table[module]]
        variable = getattr(layer, variable_name(layer, suffix))
        np.testing.assert_allclose(np.linalg.norm(by_path[variable.path]), norm, rtol=1e-3)
        if f"grad/{official}" in arrays:
            recorded = arranged(layer, suffix, arrays[f"grad/{official}"], len(variable.shape))
            assert distance(by_path[variable.path], recorded) < bound


@pytest.mark.parametrize("name", sorted(FIXTURES))
def test_has_as_many_parameters_as_the_official_network(name):
    key, arguments = FIXTURES[name]
    model = BACKBONES[key](**arguments)
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == PARAMETERS[name]


def test_the_table_of_official_weights_names_every_layer_once(small):
    named = [path for path in small.official_weights().values() if path is not None]
    assert len(named) == len(set(named))
    assert set(named) == set(layers_by_path(small))


@pytest.mark.backend
def test_puts_out_a_tuple_of_clouds_coarse_to_fine(small):
    outputs = small(clouds()[0])
    assert isinstance(outputs, tuple)
    counts = [stage.shape[1] for stage in outputs]
    assert counts == sorted(counts)
    assert all(stage.shape[0] == 4 and stage.shape[2] == 3 for stage in outputs)


def test_a_batch_of_one_gives_that_row_of_a_batch(small):
    x = clouds()[0]
    for one, many in zip(stages(small, x[2:3]), stages(small, x), strict=True):
        np.testing.assert_allclose(one[0], many[2], rtol=1e-5, atol=5e-6)


def test_predict_returns_the_last_stage(small):
    x = clouds()[0]
    predicted = small.predict(x, batch_size=3, verbose=0)
    np.testing.assert_allclose(predicted, stages(small, x)[-1], rtol=1e-5, atol=5e-6)


def test_config_holds_every_argument_and_gives_the_same_network(small, key):
    signature = inspect.signature(BACKBONES[key].__init__).parameters
    shared = inspect.signature(CompletionModel.__init__).parameters
    names = {*signature, *shared} - {"self", "inputs", "outputs", "kwargs"}
    config = small.get_config()
    assert names <= set(config)
    again = BACKBONES[key].from_config(config)
    assert again.get_config() == config
    again.set_weights(small.get_weights())
    for a, b in zip(stages(small, clouds()[0]), stages(again, clouds()[0]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_trains_evaluates_and_survives_saving(small, key, tmp_path):
    x, y = clouds()
    model = compiled(small, weighted_metrics=[keras.metrics.MeanSquaredError()])
    y = np.resize(y, (4, model.outputs[-1].shape[1], 3))
    before = [numpy(v) for v in model.trainable_variables]
    # One batch size throughout: every other is compiled anew on JAX.
    history = model.fit(x, y, batch_size=4, epochs=2, verbose=0, sample_weight=np.ones(4)).history
    assert set(history) == {"loss", "mean_absolute_error", "mean_squared_error"}
    assert np.isfinite(history["loss"]).all()
    pairs = zip(model.trainable_variables, before, strict=True)
    assert {v.path for v, w in pairs if np.abs(numpy(v) - w).max() == 0} == IDLE.get(key, set())
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for a, b in zip(stages(model, x), stages(again, x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert int(numpy(again.optimizer.iterations)) == 2
    model.reset_metrics()
    weights = np.ones(4, "float32")
    np.testing.assert_allclose(again.train_on_batch(x, y, weights), model.train_on_batch(x, y, weights), rtol=1e-4)


def test_a_step_in_mixed_precision_is_finite_and_coordinates_are_float32(key, tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = compiled(BACKBONES[key](**SMALL[key]))
    finally:
        keras.config.set_dtype_policy("float32")
    x, y = clouds()
    y = np.resize(y, (4, model.outputs[-1].shape[1], 3))
    assert {keras.backend.standardize_dtype(stage.dtype) for stage in model(x)} == {"float32"}
    assert np.isfinite(model.train_on_batch(x, y)[0])
    assert all(np.isfinite(numpy(v)).all() for v in model.variables)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.dtype_policy.name == "mixed_float16"
    assert keras.config.dtype_policy().name == "float32"
    np.testing.assert_allclose(numpy(again(x)[-1]), numpy(model(x)[-1]), atol=1e-6)


def test_completes_a_cloud_of_any_size(small):
    for count in (1, 2, 100, 128, 700, 5000):
        points = np.random.default_rng(count).normal(size=(count, 3)).astype("float32")
        done = small.complete(points)
        assert done.shape == (small.outputs[-1].shape[1], 3)
        assert done.dtype == np.float32
        assert np.isfinite(done).all()
        np.testing.assert_array_equal(done, small.complete(points))


def test_a_preset_gives_the_same_network(small, tmp_path):
    small.save_to_preset(tmp_path / "preset")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["preset"]
    again = CompletionModel.from_preset(tmp_path / "preset")
    assert type(again) is type(small)
    assert again.get_config() == small.get_config()
    for a, b in zip(stages(small, clouds()[0]), stages(again, clouds()[0]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_wrong_sizes_are_named(key):
    for name, value in SMALL[key].items():
        wrong = (0,) * len(value) if isinstance(value, tuple) else 0
        with pytest.raises(ValueError, match=name):
            BACKBONES[key](**{**SMALL[key], name: wrong})
