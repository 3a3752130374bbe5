"""A loss by its name, a name with arguments, a config; and what is said for a name or argument that there is not."""

import re

import keras
import numpy as np
import pytest

import keras_wcd.losses as losses
from keras_wcd.losses import CD, LOSSES, AbstractProfile, HyperCD, LandauCD
from keras_wcd.names import UnknownArgumentError, arguments_of

pytestmark = pytest.mark.backend


@pytest.fixture(params=sorted(LOSSES))
def name(request):
    return request.param


def test_is_found_however_it_is_spelled(name):
    kind = LOSSES[name]
    for alias in (name, name.upper(), name.replace("_", "-"), kind.__name__, f"keras_wcd>{kind.__name__}", kind):
        assert type(losses.get(alias)) is kind
        assert not isinstance(alias, str) or losses.knows(alias)
    assert losses.get({"name": kind.__name__, "pred_weight": 0.5}).pred_weight == 0.5


def test_no_two_losses_have_one_name():
    from keras_wcd.names import plain

    assert len(set(map(plain, losses.NAMES))) == len(losses.NAMES)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_the_two_chamfer_distances_have_names_of_their_own(norm):
    for alias in (f"cd_{norm}", f"CD-{norm.upper()}", f"cd{norm}", {"name": f"cd_{norm}"}):
        found = losses.get(alias)
        assert (type(found), found.norm) == (CD, norm)
    found = losses.get({"name": f"cd_{norm}", "true_weight": 0.0})
    assert (found.norm, found.true_weight) == (norm, 0.0)
    with pytest.raises(ValueError, match=f"cd_{norm} sets norm itself"):
        losses.get({"name": f"cd_{norm}", "norm": "l2"})


@pytest.mark.parametrize(
    ("wrong", "meant"), [("landu_cd", "landau_cd"), ("HyprCD", "hyper_cd"), ("landau", "landau_cd"), ("cd_l3", "cd_l")]
)
def test_asks_for_the_nearest_name(wrong, meant):
    for asked in (wrong, {"name": wrong}):
        with pytest.raises(ValueError, match=f"unknown loss '{wrong}'; did you mean {meant}.*known are .*cd_l1, cd_l2"):
            losses.get(asked)
    assert not losses.knows(wrong)


@pytest.mark.parametrize("wrong", [3, None, ["cd"], {"loss": "cd"}, keras.layers.Dense])
def test_refuses_what_is_no_loss(wrong):
    with pytest.raises(ValueError, match="loss must be a Keras loss, a name or a config"):
        losses.get(wrong)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"class_name": "LandauDC", "config": {}, "registered_name": "keras_wcd>LandauDC"},
            "'LandauDC' cannot be read",
        ),
        (keras.saving.serialize_keras_object(keras.layers.Dense(1)), "is of a Dense, which is no loss"),
    ],
)
def test_refuses_the_config_of_something_else(config, message):
    with pytest.raises(ValueError, match=message):
        losses.get(config)


@pytest.mark.parametrize("kind", [TypeError, ValueError])
def test_an_unknown_argument_is_named_with_those_of_the_loss(name, kind):
    loss, known = LOSSES[name], arguments_of(LOSSES[name])
    message = f"{loss.__name__} has no argument 'pred_wieght'; did you mean pred_weight? known are {', '.join(known)}"
    for make in (lambda: loss(pred_wieght=0.5), lambda: losses.get({"name": name, "pred_wieght": 0.5})):
        with pytest.raises(kind, match=f"^{re.escape(message)}$"):
            make()


def test_every_argument_that_is_named_is_taken(name):
    config = LOSSES[name]().get_config()
    assert set(arguments_of(LOSSES[name])) == set(config)
    for argument in config:
        losses.get({"name": name, **({argument: config[argument]} if argument != "name" else {})})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"a": 2}, "HyperCD has no argument 'a'; did you mean alpha"),
        ({"tau": 2}, "HyperCD has no argument 'tau'; known are alpha, pred_weight"),
    ],
)
def test_asks_for_the_nearest_argument(wrong, message):
    with pytest.raises(UnknownArgumentError, match=message):
        HyperCD(**wrong)


def test_a_named_family_takes_no_other_weighting():
    for loss in (LOSSES[name] for name in LOSSES if name not in ("weighted_cd",)):
        with pytest.raises(UnknownArgumentError, match=f"{loss.__name__} has no argument 'weighting'"):
            loss(weighting="normal")


def test_a_loss_of_ones_own_is_checked_too():
    class Cubed(AbstractProfile):
        def __init__(self, power=3.0, **kwargs):
            super().__init__(**kwargs)
            self.power = power

        def profile(self, distance):
            return distance**self.power

    with pytest.raises(UnknownArgumentError, match=r"Cubed has no argument 'pwoer'; did you mean power\?"):
        Cubed(pwoer=2)
    assert Cubed(2.0, true_weight=0.5).true_weight == 0.5


def test_a_loss_from_a_name_measures_as_the_class_does():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 2, 20, 3)).astype("float32")
    named = losses.get({"name": "landau_cd", "scale": 0.5, "variant": "released"})
    assert float(named(x, y)) == float(LandauCD("released", scale=0.5)(x, y))
