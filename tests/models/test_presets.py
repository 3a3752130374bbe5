"""Networks with their weights in a folder."""

import json

import numpy as np
import pytest
from backends import tensorflow_only
from networks import SMALL

from keras_wcd.models import PCN, CompletionModel, FoldingNet


@pytest.fixture
def preset(tmp_path):
    PCN(**SMALL["pcn"]).save_to_preset(tmp_path / "preset")
    return tmp_path / "preset"


def test_holds_a_config_and_weights(preset):
    assert {p.name for p in preset.iterdir()} == {"config.json", "model.weights.h5"}
    assert json.loads((preset / "config.json").read_text())["registered_name"] == "keras_wcd>PCN"


def test_is_replaced_as_a_whole(preset):
    FoldingNet(**SMALL["foldingnet"]).save_to_preset(preset)
    assert isinstance(CompletionModel.from_preset(preset), FoldingNet)
    assert [p.name for p in preset.parent.iterdir()] == ["preset"]


def test_an_unfinished_one_leaves_the_old_one(preset, monkeypatch):
    monkeypatch.setattr(FoldingNet, "save_weights", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        FoldingNet(**SMALL["foldingnet"]).save_to_preset(preset)
    assert isinstance(PCN.from_preset(str(preset)), PCN)
    assert [p.name for p in preset.parent.iterdir()] == ["preset"]


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not a preset"):
        PCN(**SMALL["pcn"]).save_to_preset(tmp_path)
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(ValueError, match="'nowhere' is neither the name of a preset .available: .* nor a folder"):
        CompletionModel.from_preset("nowhere")


def test_another_networks_preset_is_named(preset):
    with pytest.raises(ValueError, match="keras_wcd>PCN, which is no FoldingNet"):
        FoldingNet.from_preset(preset)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"registered_name": "PCN"}'])
def test_a_broken_config_is_named(preset, text):
    (preset / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json cannot be read"):
        CompletionModel.from_preset(preset)


def test_a_class_that_is_no_network_is_refused(preset):
    config = json.loads((preset / "config.json").read_text())
    (preset / "config.json").write_text(json.dumps({**config, "registered_name": "keras.layers>Dense"}))
    with pytest.raises(ValueError, match="is no CompletionModel"):
        CompletionModel.from_preset(preset)


def test_missing_weights_are_named(preset):
    (preset / "model.weights.h5").unlink()
    with pytest.raises(ValueError, match=r"has no model\.weights\.h5"):
        CompletionModel.from_preset(preset)


def test_holds_no_optimizer_and_leaves_the_model_its_own(tmp_path):
    model = PCN(**SMALL["pcn"])
    model.save_to_preset(tmp_path / "plain")
    model.compile("adam", loss="mse")
    model.optimizer.build(model.trainable_variables)
    optimizer = model.optimizer
    model.save_to_preset(tmp_path / "compiled")
    sizes = [(tmp_path / name / "model.weights.h5").stat().st_size for name in ("plain", "compiled")]
    assert sizes[0] == sizes[1]
    assert model.optimizer is optimizer


@tensorflow_only
def test_a_trained_network_is_exported_after_its_preset_was_written(tmp_path):
    from keras_wcd.export import to_tflite

    model = PCN(num_coarse=16, grid_size=2, latent=8, encoder=(8, 8, 8), hidden=8, folding=8, num_input=64)
    model.compile("adam", loss="cd_l1")
    clouds = np.random.default_rng(0).uniform(-0.3, 0.3, (4, 64, 3)).astype("float32")
    model.fit(clouds, clouds, batch_size=2, verbose=0)
    model.save_to_preset(tmp_path / "preset")
    assert to_tflite(model, tmp_path / "model.tflite", num_points=64).exists()
    assert model.optimizer.iterations == 2
