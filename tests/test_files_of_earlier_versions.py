"""Files that version 0.1.0 wrote load today: networks, compiled losses, presets, distillations."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from backends import tensorflow_only

from keras_wcd.losses import WeightedCD
from keras_wcd.models import NETWORKS, CompletionModel
from keras_wcd.weighting import Weibull

WRITTEN = Path(__file__).parent / "fixtures" / "written_by_0.1.0"
SAVED = sorted(path.stem for path in WRITTEN.glob("*.keras"))
CONFIGS = json.loads((WRITTEN / "configs.json").read_text())

pytestmark = tensorflow_only


def scan(points):
    return np.random.default_rng(1).uniform(-0.4, 0.4, (1, points, 3)).astype("float32")


@pytest.fixture(scope="module")
def answers():
    with np.load(WRITTEN / "answers.npz") as archive:
        return dict(archive)


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_network_loads_with_its_loss_and_answers_as_before(name, answers):
    model = keras.saving.load_model(WRITTEN / f"{name}.keras")
    assert type(model) is NETWORKS[name]
    answer = np.asarray(model.predict(scan(model.input_shape[1] or 128), verbose=0))
    np.testing.assert_allclose(answer[:, :64], answers[name], atol=1e-6)
    assert model.optimizer is not None
    assert model.compute_loss(None, answer, [answer] * len(model.outputs)) is not None


def test_the_compiled_loss_keeps_its_arguments():
    pcn = keras.saving.load_model(WRITTEN / "pcn.keras")
    assert (pcn.loss.scale, pcn.loss.true_weight, pcn.loss.name) == (0.5, 2.0, "landau_cd")
    mirrornet = keras.saving.load_model(WRITTEN / "mirrornet.keras")
    assert isinstance(mirrornet.loss, WeightedCD)
    assert (mirrornet.loss.weighting, mirrornet.loss.shift) == (Weibull(k=1.5, lam=0.2), 0.1)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_the_config_of_a_network_builds_it(name):
    model = keras.saving.deserialize_keras_object(CONFIGS[name])
    assert type(model) is NETWORKS[name]


def test_every_network_of_that_version_is_tried():
    assert len({*SAVED, *CONFIGS}) == 14


def test_a_preset_loads_and_answers_as_before(answers):
    x = np.random.default_rng(0).uniform(-0.4, 0.4, (1, 128, 3)).astype("float32")
    answer = np.asarray(CompletionModel.from_preset(WRITTEN / "preset").predict(x, verbose=0))
    np.testing.assert_allclose(answer[:, :64], answers["preset"], atol=1e-6)


def test_a_distillation_loads_and_gives_its_loss():
    from keras_wcd.distill import DistillationResult

    result = DistillationResult.from_json(WRITTEN / "distillation.json")
    assert {candidate.family for candidate in result.ranking} == {"landau", "weibull", "gamma"}
    assert isinstance(result.loss(), WeightedCD)
