"""Promises that every row of LOSSES keeps."""

import inspect

import keras
import loss_oracles as oracles
import numpy as np
import pytest
from backends import gradient, tensorflow_only
from loss_oracles import one_way

import keras_wcd.losses as losses
from keras_wcd.losses import LOSSES

pytestmark = pytest.mark.backend


@pytest.fixture(params=sorted(LOSSES))
def name(request):
    return request.param


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(2, 90, 3)).astype("float32")
    pred = rng.normal(size=(2, 60, 3)).astype("float32")
    return true, pred


def per_cloud(name, true, pred, **arguments):
    return keras.ops.convert_to_numpy(LOSSES[name](reduction=None, **arguments)(true, pred))


def test_matches_float64_kd_trees_where_sizes_differ(name, clouds):
    expected = [oracles.value(one_way(name), *pair) for pair in zip(*clouds, strict=True)]
    np.testing.assert_allclose(per_cloud(name, *clouds), expected, rtol=1e-5)


@pytest.mark.parametrize("spread", [0.01, 0.1, 30.0])
def test_matches_float64_kd_trees_at_other_scales(name, clouds, spread):
    true, pred = (spread * c for c in clouds)
    expected = [oracles.value(one_way(name), *pair) for pair in zip(true, pred, strict=True)]
    np.testing.assert_allclose(per_cloud(name, true, pred), expected, rtol=2e-5, atol=1e-12)


def test_weighs_the_two_sides(name, clouds):
    expected = [oracles.value(one_way(name), *p, pred_weight=0.3, true_weight=2.0) for p in zip(*clouds, strict=True)]
    values = per_cloud(name, *clouds, pred_weight=0.3, true_weight=2.0)
    np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)])
def test_measures_one_side_alone(name, clouds, weights):
    expected = [oracles.value(one_way(name), *pair, *weights) for pair in zip(*clouds, strict=True)]
    values = per_cloud(name, *clouds, pred_weight=weights[0], true_weight=weights[1])
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_gradient_equals_finite_differences(name, clouds):
    # DCD is flat where exp(-1000 d^2) has vanished.
    spread = 0.05 if name == "dcd" else 1.0
    true, pred = (spread * c[:, :20].astype("float64") for c in clouds)
    loss = LOSSES[name](dtype="float64")
    direction = spread * np.random.default_rng(1).normal(size=pred.shape)
    step = 1e-6

    def value(p):
        return np.mean([oracles.value(one_way(name), t, x) for t, x in zip(true, p, strict=True)])

    expected = (value(pred + step * direction) - value(pred - step * direction)) / (2 * step)
    terms = gradient(lambda p: loss(true, p), pred) * direction
    # JAX answers in float32 outside its 64-bit mode: the terms cancel, their rounding does not.
    np.testing.assert_allclose(terms.sum(), expected, rtol=1e-6, atol=1e-9 + 1e-6 * np.abs(terms).sum())
    assert np.abs(terms).sum() > 1e-3


COINCIDENT = np.random.default_rng(2).normal(size=(2, 30, 3)).astype("float32")
DEGENERATE = {
    "coincident clouds": (COINCIDENT, COINCIDENT),
    "duplicates": (np.repeat(COINCIDENT[:, :5], 6, axis=1), np.repeat(COINCIDENT[:, :4], 3, axis=1)),
    "one point each": (COINCIDENT[:, :1], COINCIDENT[:, 1:2]),
    "one coincident point": (COINCIDENT[:, :1], COINCIDENT[:, :1]),
    "collapsed prediction": (COINCIDENT, np.zeros_like(COINCIDENT)),
    "scale 1e4": (1e4 * COINCIDENT, 1e4 * COINCIDENT[:, ::-1] + 17),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_has_a_finite_gradient_for_degenerate_clouds(name, case):
    true, pred = DEGENERATE[case]
    loss = LOSSES[name]()
    g = gradient(lambda p: loss(true, p), pred)
    assert np.isfinite(g).all()
    assert np.isfinite(per_cloud(name, true, pred)).all()
    if case in ("coincident clouds", "one coincident point"):
        np.testing.assert_array_equal(g, 0)


def test_has_finite_second_derivatives(name, clouds):
    true, pred = (c[:, :20] for c in clouds)
    loss = LOSSES[name]()
    found = gradient(lambda p: loss(true, p), pred, second=True)
    assert np.isfinite(found).all()
    # The curvature of CD and InfoCD is that of the distance itself, never zero where points are apart.
    assert np.abs(found).max() > 0
    assert np.isfinite(gradient(lambda p: loss(true[:, :20], p), true, second=True)).all()


def test_is_invariant_to_order_and_rigid_motion(name, clouds):
    true, pred = clouds
    rng = np.random.default_rng(3)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0].astype("float32")
    value = per_cloud(name, true, pred)
    np.testing.assert_allclose(per_cloud(name, rng.permutation(true, axis=1), pred[:, ::-1]), value, rtol=1e-5)
    moved = [c @ rotation + np.float32([1.0, -2.0, 0.5]) for c in clouds]
    np.testing.assert_allclose(per_cloud(name, *moved), value, rtol=1e-4)


def test_padding_of_the_truth_counts_nowhere(name, clouds):
    true, pred = clouds
    padded = np.concatenate([np.full((2, 7, 3), np.nan, "float32"), true], axis=1)
    padded[0, 3] = [0.1, np.nan, 0.2]
    np.testing.assert_allclose(per_cloud(name, padded, pred), per_cloud(name, true, pred), rtol=1e-6)
    loss = LOSSES[name]()
    found = gradient(lambda p: loss(padded, p), pred)
    np.testing.assert_allclose(found, gradient(lambda p: loss(true, p), pred), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)])
def test_a_predicted_nan_reaches_the_loss(name, clouds, weights):
    true, pred = clouds
    pred = pred.copy()
    pred[1, 5, 2] = np.nan
    values = per_cloud(name, true, pred, pred_weight=weights[0], true_weight=weights[1])
    assert np.isfinite(values[0])
    assert np.isnan(values[1])


def test_computes_in_float32_or_wider(name, clouds):
    exact = per_cloud(name, *(c.astype("float16").astype("float32") for c in clouds))
    loss = LOSSES[name](reduction=None)
    halves = loss.call(*(c.astype("float16") for c in clouds))
    assert keras.backend.standardize_dtype(halves.dtype) == "float32"
    np.testing.assert_allclose(keras.ops.convert_to_numpy(halves), exact, rtol=1e-6)
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        mixed = LOSSES[name](reduction=None)(*clouds)
    finally:
        keras.config.set_dtype_policy(policy)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(mixed), per_cloud(name, *clouds), rtol=1e-6)


def test_config_holds_every_argument(name):
    loss = LOSSES[name](pred_weight=0.5, true_weight=2.0, reduction="sum", name="mine", dtype="float64")
    config = loss.get_config()
    arguments = set(inspect.signature(type(loss)).parameters) | set(
        inspect.signature(losses.AbstractChamfer).parameters
    )
    assert arguments - {"kwargs"} <= set(config)
    again = type(loss).from_config(config)
    assert again.get_config() == config
    assert (config["pred_weight"], config["true_weight"], config["dtype"]) == (0.5, 2.0, "float64")
    rebuilt = losses.get(keras.saving.serialize_keras_object(loss))
    assert type(rebuilt) is type(loss)
    assert rebuilt.get_config() == config


def test_is_found_by_its_names(name):
    kind = LOSSES[name]
    for alias in (name, kind.__name__, f"keras_wcd>{kind.__name__}", {"name": name}):
        assert type(losses.get(alias)) is kind
    assert losses.get(kind).name == name
    loss = kind()
    assert losses.get(loss) is loss


def test_defaults_have_one_name_however_often_built(name):
    assert LOSSES[name]().get_config() == LOSSES[name]().get_config()


BAD_CLOUDS = {
    "empty": (np.zeros((2, 0, 3), "float32"), r"y_pred is empty: shape \(2, 0, 3\)"),
    "channels first": (np.zeros((2, 3, 50), "float32"), r"y_pred must be .*\(2, 3, 50\); transpose"),
    "two coordinates": (np.zeros((2, 50, 2), "float32"), r"y_pred must be .*\(2, 50, 2\)"),
    "one cloud unbatched": (np.zeros((50, 3), "float32"), r"y_pred must be .*\(50, 3\)"),
    "other batch": (np.zeros((3, 50, 3), "float32"), r"y_pred and y_true .*\(3, 50, 3\)"),
    "integers": (np.zeros((2, 50, 3), "int32"), "y_pred must hold floating-point .* int32"),
}


@pytest.mark.parametrize("case", BAD_CLOUDS)
def test_bad_clouds_are_named(name, case, clouds):
    pred, message = BAD_CLOUDS[case]
    with pytest.raises(ValueError, match=message):
        LOSSES[name]()(clouds[0], pred)
    if case != "other batch":
        with pytest.raises(ValueError, match=message.replace("y_pred", "y_true")):
            LOSSES[name]()(pred, clouds[1])


def tiny_model(loss):
    model = keras.Sequential([keras.Input((90, 3)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3)])
    model.compile("sgd", loss=loss)
    return model


def test_trains_saves_and_loads_a_compiled_model(name, clouds, tmp_path):
    true, _ = clouds
    model = tiny_model(LOSSES[name](pred_weight=0.5))
    history = model.fit(true, true, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.loss) is LOSSES[name]
    assert again.loss.get_config() == model.loss.get_config()
    np.testing.assert_allclose(again.evaluate(true, true, verbose=0), model.evaluate(true, true, verbose=0), rtol=1e-6)


@tensorflow_only
def test_accepts_clouds_of_unknown_size(name, clouds):
    import tensorflow as tf

    loss = LOSSES[name]()
    signature = [tf.TensorSpec((None, None, 3))] * 2
    np.testing.assert_allclose(tf.function(loss, input_signature=signature)(*clouds), loss(*clouds), rtol=1e-6)
    with_xla = tf.function(loss, jit_compile=True, input_signature=signature)
    np.testing.assert_allclose(with_xla(*clouds), loss(*clouds), rtol=1e-5)


@tensorflow_only
def test_two_replicas_give_the_loss_of_one_device(name, clouds):
    import tensorflow as tf

    true = np.concatenate([clouds[0]] * 2) + np.arange(4, dtype="float32")[:, None, None] / 10
    results = []
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
        with strategy.scope():
            keras.utils.set_random_seed(0)
            model = tiny_model(LOSSES[name]())
        data = tf.data.Dataset.from_tensors((true, true)).unbatch().batch(4)
        history = model.fit(data, epochs=2, verbose=0).history["loss"]
        results.append([*history, *np.concatenate([w.numpy().ravel() for w in model.weights])])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4, atol=1e-7)


def test_every_exported_loss_is_in_the_table():
    exported = {v for v in vars(losses).values() if isinstance(v, type) and issubclass(v, losses.AbstractChamfer)} - {
        losses.AbstractChamfer,
        losses.AbstractProfile,
    }
    assert exported == set(LOSSES.values())
    assert len(LOSSES) >= 13
