"""A generator and a discriminator that train against each other."""

import keras
import numpy as np
import pytest
from networks import SMALL

from keras_wcd.losses import LandauCD
from keras_wcd.metrics import CDL1
from keras_wcd.models import CRN, PCN, PatchDiscriminator
from keras_wcd.training import AdversarialTraining

PATCHES = {"num_points": 64, "num_centers": 8, "radii": (0.2, 0.4), "neighbors": (4, 8), "widths": ((4, 8), (4, 8))}


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    return tuple(rng.uniform(-0.4, 0.4, (4, count, 3)).astype("float32") for count in (64, 128))


@pytest.fixture
def training():
    keras.utils.set_random_seed(0)
    training = AdversarialTraining(PCN(**SMALL["pcn"]), PatchDiscriminator(**PATCHES))
    training.compile(keras.optimizers.SGD(1e-3), LandauCD(), discriminator_optimizer=keras.optimizers.SGD(1e-2))
    return training


def losses(training, partial, complete):
    """Both losses of the class's formula in NumPy, from the networks' answers in training."""
    stages = training.generator(partial, training=True)
    own = float(training.generator.compute_loss(partial, complete, stages))
    made, real = (np.asarray(training.discriminator(cloud)) for cloud in (stages[-1], complete))
    fooled = np.mean((made - 1) ** 2)
    return own, fooled, np.mean((real - 1) ** 2) / 2 + np.mean(made**2) / 2


def test_a_step_reports_the_losses_of_the_formula(training, pairs):
    # The discriminator is judged on the clouds that the generator made before its own step.
    expected = losses(training, *pairs)
    logs = training.train_on_batch(*pairs, return_dict=True)
    np.testing.assert_allclose([logs[k] for k in ("loss", "adversarial", "discriminator")], expected, rtol=1e-4)


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
    assert np.isfinite([values[-1] for values in history.history.values()]).all()
    assert training.predict(partial, verbose=0).shape == training.generator.predict(partial, verbose=0).shape


@pytest.mark.parametrize("arguments", [{"weight": -1.0}, {"clip": 0.0}])
def test_refuses_numbers_without_meaning(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        AdversarialTraining(PCN(**SMALL["pcn"]), PatchDiscriminator(**PATCHES), **arguments)
