"""Arguments of networks: an unknown one is refused with the nearest; losses are given by name."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from networks import SMALL, clouds

from keras_wcd.losses import LOSSES, HyperCD, LandauCD
from keras_wcd.models import NETWORKS, PCN, CompletionModel, PatchDiscriminator
from keras_wcd.models.stages import CallableLoss
from keras_wcd.names import UnknownArgumentError

MIRRORNET = {"num_input": 64, "num_queries": 8, "num_centers": 8, "num_keys": 4, "width": 8, "blocks": 1, "heads": 2}


def small(key, **arguments):
    return NETWORKS[key](**{**{**SMALL, "mirrornet": MIRRORNET}[key], **arguments})


def small_pcn():
    return small("pcn")


@pytest.mark.parametrize("key", sorted(NETWORKS))
def test_an_unknown_argument_of_a_network_is_refused(key):
    message = f"{NETWORKS[key].__name__} has no argument 'foo'; known are .*stage_weights"
    with pytest.raises(TypeError, match=message) as refused:
        small(key, foo=1)
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize("key", sorted(NETWORKS))
def test_the_nearest_argument_of_a_network_is_named(key):
    with pytest.raises(UnknownArgumentError, match=r"no argument 'num_imput'; did you mean num_input\?"):
        small(key, num_imput=128)
    with pytest.raises(UnknownArgumentError, match="did you mean partial_matching"):
        small(key, partial_macthing=True)


@pytest.mark.parametrize("key", sorted(NETWORKS))
def test_every_argument_of_its_config_is_taken(key):
    network = small(key, name="mine", trainable=False)
    config = network.get_config()
    config.pop("dtype")
    assert type(network)(**config).name == "mine"


def test_an_argument_of_pcn_is_asked_for():
    with pytest.raises(UnknownArgumentError, match=r"PCN has no argument 'num_corse'; did you mean num_coarse\?"):
        PCN(num_corse=128)


@pytest.mark.parametrize("name", ["dtype", "inputs", "outputs"])
def test_what_only_keras_would_take_is_refused(name):
    with pytest.raises(TypeError, match=name):
        small("pcn", **{name: "float32"})


def test_the_discriminator_refuses_an_unknown_argument():
    with pytest.raises(UnknownArgumentError, match=r"PatchDiscriminator has no argument 'radi'; did you mean radii\?"):
        PatchDiscriminator(num_points=64, num_centers=8, radi=(0.1,))


@pytest.mark.backend
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_network_finds_our_losses_by_name(name):
    model = small_pcn()
    model.compile(loss=name)
    assert type(model.loss) is LOSSES[name]
    x, y = clouds()
    found, expected = float(model.compute_loss(x, y, model(x))), small_pcn()
    expected.set_weights(model.get_weights())
    expected.compile(loss=LOSSES[name]())
    assert found == pytest.approx(float(expected.compute_loss(x, y, expected(x))), rel=1e-6)


@pytest.mark.backend
@pytest.mark.parametrize("loss", ["LandauCD", "keras_wcd>LandauCD", LandauCD, {"name": "landau_cd", "scale": 0.5}])
def test_a_network_takes_any_way_to_name_a_loss(loss):
    model = small_pcn()
    model.compile(loss=loss)
    assert isinstance(model.loss, LandauCD)
    assert model.loss.scale == (0.5 if isinstance(loss, dict) else 1.0)


@pytest.mark.backend
def test_a_network_takes_a_name_or_config_for_each_stage(tmp_path):
    model = small_pcn()
    model.compile("sgd", loss=["cd_l2", {"name": "hyper_cd", "alpha": 1000}])
    assert [(type(loss).__name__) for loss in model.loss] == ["CD", "HyperCD"]
    assert isinstance(model.loss[1], HyperCD)
    assert (model.loss[0].norm, model.loss[1].alpha) == ("l2", 1000)
    x, y = clouds()
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    value = again.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(value, model.evaluate(x, y, verbose=0), rtol=1e-6)
    model.compile(loss=[None, "landau_cd"])
    assert model.loss[0] is None


@pytest.mark.backend
def test_keras_own_names_and_configs_stay_keras_own():
    for loss in ("mse", "mean_absolute_error"):
        model = small_pcn()
        model.compile(loss=loss)
        assert isinstance(model._stage_losses[0], CallableLoss)
    model.compile(loss=keras.saving.serialize_keras_object(keras.losses.Huber()))
    assert isinstance(model.loss, keras.losses.Huber)


def test_a_name_that_nobody_knows_is_answered_with_the_nearest():
    for loss in ("landu_cd", ["landu_cd", None], {"name": "landu_cd"}):
        with pytest.raises(ValueError, match="unknown loss 'landu_cd'; did you mean landau_cd"):
            small_pcn().compile(loss=loss)
    with pytest.raises(UnknownArgumentError, match=r"HyperCD has no argument 'alhpa'; did you mean alpha\?"):
        small_pcn().compile(loss={"name": "hyper_cd", "alhpa": 2})


def test_networks_are_imported_built_and_loaded_without_any_loss(tmp_path):
    code = (
        "import sys, keras_wcd.models; model = keras_wcd.models.CompletionModel.from_preset('default'); "
        "assert not [name for name in sys.modules if name.startswith('keras_wcd.losses')]"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.backend
def test_a_network_of_ones_own_is_checked_too():
    class Moved(CompletionModel):
        def __init__(self, step=0.1, **kwargs):
            inputs = keras.Input((None, 3))
            super().__init__(inputs, (inputs + step,), **kwargs)
            self.step = step

    with pytest.raises(UnknownArgumentError, match=r"Moved has no argument 'setp'; did you mean step\?"):
        Moved(setp=2)
