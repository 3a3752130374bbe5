"""A generator and a discriminator that train against each other, beside the same formulas in NumPy."""

import csv
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from backends import tensorflow_only
from networks import SMALL, chamfer

from keras_wcd.losses import CD, LandauCD
from keras_wcd.metrics import CDL1
from keras_wcd.models import CRN, PCN, CompletionModel, PatchDiscriminator
from keras_wcd.training import AdversarialTraining

pytestmark = tensorflow_only

PATCHES = {"num_points": 64, "num_centers": 8, "radii": (0.2, 0.4), "neighbors": (4, 8), "widths": ((4, 8), (4, 8))}
NAMES = ("loss", "completion", "adversarial", "discriminator")
RATE = 0.01
SHIFT, SLOPE, OFFSET = np.array([0.1, -0.05, 0.02]), np.array([0.6, -0.4, 0.9]), 0.2
"""The generator moves every point by SHIFT; the discriminator scores a point x by SLOPE x + OFFSET."""


class Shift(keras.layers.Layer):
    def build(self, shape):
        self.shift = self.add_weight(shape=(3,), initializer="zeros")

    def call(self, inputs):
        return inputs + self.shift


def linear_training(weight=5.0, clip=None, rate=RATE, optimizer=keras.optimizers.SGD, **compiled):
    """Both networks so small that their gradients are written down below."""
    inputs = keras.Input((None, 3))
    moved = Shift()(inputs)
    generator = CompletionModel(inputs, (moved[:, :8], moved), num_input=32)
    cloud = keras.Input((None, 3))
    discriminator = keras.Model(cloud, keras.layers.Dense(1)(cloud))
    generator.set_weights([SHIFT])
    discriminator.set_weights([SLOPE[:, None], np.array([OFFSET])])
    training = AdversarialTraining(generator, discriminator, weight=weight, clip=clip)
    training.compile(optimizer(rate), CD(), discriminator_optimizer=optimizer(rate), **compiled)
    return training


def nearest(points, others):
    """Distance and direction from the nearest of the others, by a loop."""
    index = [np.argmin(np.linalg.norm(others - point, axis=1)) for point in points]
    offset = points - others[index]
    distance = np.linalg.norm(offset, axis=1)
    return distance, offset / distance[:, None]


def formulas(partial, complete, weights=None, weight=5.0, shift=SHIFT, slope=SLOPE, offset=OFFSET):
    """The four figures and the gradients of L_G by the shift and of L_D by slope and offset, in float64."""
    weights = np.ones(len(partial)) if weights is None else np.asarray(weights, np.float64)
    own, fooled, real, made = [], [], [], []
    by_shift, by_slope, by_offset = [], [], []
    for scan, truth, w in zip(partial.astype(float), complete.astype(float), weights, strict=True):
        moved = scan + shift
        value, gradient = 0.0, 0.0
        for stage in (moved[:8], moved):
            first = truth[: len(stage)]
            first = first[~np.isnan(first).any(axis=1)]
            there, ahead = nearest(stage, first)
            back, behind = nearest(first, stage)
            value += there.mean() + back.mean()
            gradient = gradient + ahead.mean(axis=0) - behind.mean(axis=0)
        # Padding is filled with the cloud's own points, in turn.
        present = truth[~np.isnan(truth).any(axis=1)]
        truth = truth.copy()
        for row in range(len(truth)):
            if np.isnan(truth[row]).any():
                truth[row] = present[row % len(present)]
        scores, true_scores = moved @ slope + offset, truth @ slope + offset
        own.append(w * value)
        fooled.append(w * np.mean((scores - 1) ** 2))
        real.append(w * np.mean((true_scores - 1) ** 2))
        made.append(w * np.mean(scores**2))
        by_shift.append(w * (weight * gradient + 2 * np.mean(scores - 1) * slope))
        by_slope.append(w * ((true_scores - 1) @ truth / len(truth) + scores @ moved / len(moved)))
        by_offset.append(w * (np.mean(true_scores - 1) + np.mean(scores)))
    own, fooled, judged = np.mean(own), np.mean(fooled), (np.mean(real) + np.mean(made)) / 2
    values = dict(zip(NAMES, (weight * own + fooled, own, fooled, judged), strict=True))
    return values, [np.mean(g, axis=0) for g in (by_shift, by_slope, by_offset)]


def assert_a_step_follows_the_formulas(training, partial, complete, weights=None, rtol=1e-5, atol=1e-7):
    values, gradients = formulas(partial, complete, weights)
    logs = training.train_on_batch(partial, complete, sample_weight=weights, return_dict=True)
    for name in NAMES:
        assert float(logs[name]) == pytest.approx(values[name], rel=rtol), name
    found = [np.asarray(v).squeeze() for v in training.trainable_variables]
    for after, before, gradient in zip(found, (SHIFT, SLOPE, OFFSET), gradients, strict=True):
        np.testing.assert_allclose(after - before, -RATE * gradient, rtol=1e-3 if rtol < 1e-4 else rtol, atol=atol)


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    return tuple(rng.uniform(-0.4, 0.4, (4, count, 3)).astype("float32") for count in (64, 128))


@pytest.fixture
def small_pairs():
    rng = np.random.default_rng(1)
    return tuple(rng.uniform(-0.4, 0.4, (4, count, 3)).astype("float32") for count in (24, 40))


@pytest.fixture
def training():
    keras.utils.set_random_seed(0)
    training = AdversarialTraining(PCN(**SMALL["pcn"]), PatchDiscriminator(**PATCHES))
    training.compile(keras.optimizers.SGD(1e-3), LandauCD(), discriminator_optimizer=keras.optimizers.SGD(1e-2))
    return training


def test_a_step_follows_the_formulas(small_pairs):
    assert_a_step_follows_the_formulas(linear_training(), *small_pairs)


def test_weights_of_clouds_weigh_both_losses(small_pairs):
    weights = np.array([0.0, 0.5, 2.0, 3.0], "float32")
    assert_a_step_follows_the_formulas(linear_training(), *small_pairs, weights)


def test_padding_of_the_truth_counts_nowhere(small_pairs):
    partial, complete = small_pairs
    complete[1, 11:] = np.nan
    complete[2, 39] = np.nan
    complete[3, [0, 5, 6]] = np.nan
    assert_a_step_follows_the_formulas(linear_training(), partial, complete)


def test_a_padded_truth_is_judged_as_the_cloud_itself():
    rng = np.random.default_rng(2)
    partial, complete = (rng.uniform(-0.4, 0.4, (2, count, 3)).astype("float32") for count in (24, 16))
    # Each point twice: the mean over the padded cloud is that over the whole one.
    padded = np.concatenate([complete, np.full_like(complete, np.nan)], axis=1)
    found = [
        linear_training().test_on_batch(partial, truth, return_dict=True)["discriminator"]
        for truth in (complete, padded)
    ]
    assert found[1] == pytest.approx(found[0], rel=1e-6)


def test_a_truth_that_is_all_padding_is_not_shown_to_the_discriminator(small_pairs):
    partial, complete = small_pairs
    there = formulas(partial[[0, 1, 3]], complete[[0, 1, 3]])[0]
    made = partial.astype(float) + SHIFT
    scores = made @ SLOPE + OFFSET
    real = np.mean((complete[[0, 1, 3]].astype(float) @ SLOPE + OFFSET - 1) ** 2)
    complete[2] = np.nan
    logs = linear_training().test_on_batch(partial, complete, return_dict=True)
    assert logs["discriminator"] == pytest.approx((real + np.mean(scores**2)) / 2, rel=1e-5)
    assert logs["adversarial"] == pytest.approx(np.mean((scores - 1) ** 2), rel=1e-5)
    assert np.isfinite(list(there.values())).all()


def test_every_record_of_a_training_holds_the_loss_of_the_formula(small_pairs, tmp_path):
    partial, complete = small_pairs
    training = linear_training(rate=0.0, metrics=[CDL1()])
    values = formulas(partial, complete)[0]
    keep = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.weights.h5", "loss", save_best_only=True, save_weights_only=True
    )
    callbacks = [keras.callbacks.CSVLogger(tmp_path / "log.csv"), keep]
    arguments = {"batch_size": 2, "epochs": 2, "verbose": 0, "callbacks": callbacks}
    history = training.fit(partial, complete, validation_data=(partial, complete), **arguments).history
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = {*NAMES, "cd_l1"}
    assert set(history) == {*names, *(f"val_{name}" for name in names)}
    for name, value in values.items():
        for prefix in ("", "val_"):
            np.testing.assert_allclose(history[prefix + name], [value] * 2, rtol=1e-5)
            np.testing.assert_allclose([float(row[prefix + name]) for row in rows], [value] * 2, rtol=1e-5)
    assert keep.best == pytest.approx(values["loss"], rel=1e-5)
    true = [chamfer(y[None], x[None] + SHIFT)[0] for x, y in zip(partial, complete, strict=True)]
    np.testing.assert_allclose(history["val_cd_l1"], [500 * np.mean(true)] * 2, rtol=1e-4)


@pytest.fixture
def half_precision():
    outside = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(outside)


def test_both_optimizers_scale_the_loss_in_mixed_precision(half_precision, small_pairs):
    def scaled(rate):
        return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(rate), initial_scale=64.0)

    # Half precision keeps three digits of the points and the gradients.
    assert_a_step_follows_the_formulas(linear_training(optimizer=scaled), *small_pairs, rtol=1e-2, atol=2e-4)


def test_optimizers_of_networks_in_mixed_precision_are_wrapped(half_precision):
    training = linear_training()
    for model in (training, training.generator, training.discriminator):
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert training.optimizer is training.generator.optimizer
    plain = linear_training(auto_scale_loss=False)
    assert not isinstance(plain.discriminator_optimizer, keras.optimizers.LossScaleOptimizer)


MIRRORED = """
import numpy as np
import tensorflow as tf

cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from networks import SMALL
from test_adversarial import linear_training
from keras_wcd.losses import CD
from keras_wcd.models import PCN, PatchDiscriminator
from keras_wcd.training import AdversarialTraining

rng = np.random.default_rng(0)
partial, complete = (rng.uniform(-0.4, 0.4, (8, count, 3)).astype("float32") for count in (64, 96))
complete[1, 40:] = np.nan
weights = np.linspace(0.5, 2, 8).astype("float32")
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2


def networks():
    keras.utils.set_random_seed(0)
    patches = {"num_points": 32, "num_centers": 4, "radii": (0.3,), "neighbors": (4,), "widths": ((4, 8),)}
    made = AdversarialTraining(PCN(**SMALL["pcn"]), PatchDiscriminator(**patches), clip=0.4)
    for layer in made.generator.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    made.compile(keras.optimizers.SGD(1e-3), CD(), discriminator_optimizer=keras.optimizers.SGD(0.1))
    return made


for make in (linear_training, networks):
    found = []
    for scope in (tf.distribute.get_strategy().scope, strategy.scope):
        with scope():
            training = make()
        arguments = {"sample_weight": weights, "batch_size": 8, "verbose": 0}
        before = training.evaluate(partial, complete, return_dict=True, **arguments)
        history = training.fit(partial, complete, shuffle=False, epochs=2, **arguments).history
        found.append((before, history, training.get_weights()))
    (one, history_one, weights_one), (two, history_two, weights_two) = found
    assert sorted(one) == sorted(two) and len(one) == 4
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(history_two[name], history_one[name], rtol=1e-4, err_msg=name)
    for a, b in zip(weights_one, weights_two, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5)
"""


@pytest.mark.slow
def test_two_replicas_train_as_one_device_does(tmp_path):
    here = pathlib.Path(__file__).resolve()
    path = os.pathsep.join(str(folder) for folder in (here.parents[1] / "helpers", here.parent))
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", MIRRORED]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_generator_moves_along_its_own_loss_and_the_scores(training, pairs):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        stages = training.generator(pairs[0], training=True)
        value = 200 * training.generator.compute_loss(*pairs, stages)
        value += tf.reduce_mean((training.discriminator(stages[-1]) - 1) ** 2)
    variables = training.generator.trainable_variables
    expected = [np.asarray(v) - 1e-3 * g for v, g in zip(variables, tape.gradient(value, variables), strict=True)]
    training.train_on_batch(*pairs)
    for variable, after in zip(variables, expected, strict=True):
        np.testing.assert_allclose(np.asarray(variable), after, rtol=2e-3, atol=1e-4)


def test_a_saved_training_holds_both_networks(training, pairs, tmp_path):
    training.train_on_batch(*pairs)
    training.save(tmp_path / "both.keras")
    again = keras.saving.load_model(tmp_path / "both.keras")
    assert (again.weight, again.clip, again.name) == (200.0, 0.01, training.name)
    for ours, theirs in zip(training.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(again.predict(pairs[0], verbose=0), training.predict(pairs[0], verbose=0), atol=1e-6)


def test_weights_of_the_discriminator_stay_within_the_bound(training, pairs):
    before = [np.asarray(v) for v in training.discriminator.trainable_variables]
    assert max(np.abs(v).max() for v in before) > 0.01
    training.train_on_batch(*pairs)
    after = [np.asarray(v) for v in training.discriminator.trainable_variables]
    assert max(np.abs(v).max() for v in after) <= np.float32(0.01)


def test_an_untouched_discriminator_without_a_rate(pairs):
    training = AdversarialTraining(PCN(**SMALL["pcn"]), PatchDiscriminator(**PATCHES), clip=None)
    training.compile("adam", LandauCD(), discriminator_optimizer=keras.optimizers.SGD(0.0))
    before = [np.asarray(v) for v in training.discriminator.trainable_variables]
    training.train_on_batch(*pairs)
    for old, new in zip(before, training.discriminator.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_fits_crn_with_validation_and_metrics(pairs):
    training = AdversarialTraining(CRN(**SMALL["crn"]), PatchDiscriminator(**PATCHES))
    training.compile(loss=LandauCD(), metrics=[CDL1()])
    partial = np.random.default_rng(1).uniform(-0.4, 0.4, (4, training.generator.num_input, 3)).astype("float32")
    history = training.fit(partial, pairs[1], validation_data=(partial, pairs[1]), batch_size=2, epochs=2, verbose=0)
    assert {"loss", "adversarial", "discriminator", "cd_l1", "val_loss", "val_cd_l1"} <= set(history.history)
    for prefix in ("", "val_"):
        loss, own, fooled = (np.array(history.history[prefix + key]) for key in NAMES[:3])
        np.testing.assert_allclose(loss, 200 * own + fooled, rtol=1e-5)
        assert (loss > 0).all()
    assert training.predict(partial, verbose=0).shape == training.generator.predict(partial, verbose=0).shape


@pytest.mark.parametrize(
    "arguments", [{"weight": -1.0}, {"weight": float("nan")}, {"clip": 0.0}, {"clip": float("nan")}]
)
def test_refuses_numbers_without_meaning(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        AdversarialTraining(PCN(**SMALL["pcn"]), PatchDiscriminator(**PATCHES), **arguments)
