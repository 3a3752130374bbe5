"""Official weights: unwrapping, names, layouts, complaints."""

import keras
import numpy as np
import pytest
from networks import SMALL

from keras_wcd.models import PCN, CompletionModel, load_official_weights
from keras_wcd.models.weights.convert import layers_by_path, unwrap


def official_state(model):
    """A state dict in PyTorch's names and layouts that fits a PCN, made from its own table."""
    rng = np.random.default_rng(0)
    state = {}
    for module, name in model.official_weights().items():
        layer = model.get_layer(name)
        if isinstance(layer, keras.layers.BatchNormalization):
            for suffix in ("weight", "bias", "running_mean", "running_var"):
                state[f"{module}.{suffix}"] = rng.uniform(1, 2, layer.gamma.shape).astype("float32")
            state[f"{module}.num_batches_tracked"] = np.int64(3)
        else:
            shape = tuple(layer.kernel.shape)[::-1] + (() if module.startswith("mlp") else (1,))
            state[f"{module}.weight"] = rng.normal(size=shape).astype("float32")
            state[f"{module}.bias"] = rng.normal(size=shape[0]).astype("float32")
    return state


@pytest.fixture
def model():
    return PCN(**SMALL["pcn"])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"model": s, "epoch_index": 3},
        lambda s: {"base_model": {f"module.{k}": v for k, v in s.items()}, "optimizer": {}},
        lambda s: {"model": {"state_dict": {f"module.module.{k}": v for k, v in s.items()}}},
        lambda s: {"net_state_dict": s},
    ],
)
def test_fills_every_variable_whatever_is_around_the_state_dict(model, wrap):
    state = official_state(model)
    load_official_weights(model, wrap(state))
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(model.get_layer("fine_2").kernel), state["final_conv.3.weight"][..., 0].T
    )
    norm = model.get_layer("encoder_b_1_norm")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(norm.moving_variance), state["second_conv.1.running_var"])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(norm.gamma), state["second_conv.1.weight"])


@pytest.mark.parametrize("legacy", [False, True])
def test_fills_from_a_file(model, tmp_path, legacy):
    torch = pytest.importorskip("torch")
    state = official_state(model)
    tensors = {f"module.{k}": torch.tensor(v) for k, v in state.items()}
    torch.save({"base_model": tensors}, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    load_official_weights(model, tmp_path / "a.pth")
    by_file = model.get_weights()
    load_official_weights(model, state)
    for a, b in zip(by_file, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_lists_all_that_does_not_fit_and_changes_nothing(model):
    before = model.get_weights()
    state = official_state(model)
    state["extra.weight"] = np.zeros(3)
    state["mlp.0.weight"] = state["mlp.0.weight"][:, 1:]
    del state["final_conv.6.bias"]
    with pytest.raises(ValueError, match="do not fit PCN") as error:
        load_official_weights(model, state)
    message = str(error.value)
    assert "no place for: extra.weight" in message
    assert "wrong shape: mlp.0.weight (16, 15) for coarse_1/kernel (16, 16)" in message
    assert "unfilled: fine_3/bias" in message
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("source", [{}, {"epoch": 3}, {"optimizer": {"state": 1}}, {"weights": [1, 2]}])
def test_a_source_without_weights_is_named(source):
    with pytest.raises(ValueError, match="holds no state dict"):
        unwrap(source)


@keras.saving.register_keras_serializable("tests")
class Nested(keras.layers.Layer):
    """A layer of layers, with a parameter of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = keras.layers.Dense(4, name="first")
        self.norm = keras.layers.LayerNormalization(epsilon=1e-5, name="norm")

    def build(self, shape):
        self.token = self.add_weight(name="token", shape=(4,))
        self.first.build(shape)
        self.norm.build((*shape[:-1], 4))

    def call(self, x):
        return self.norm(self.first(x)) + self.token


class Zoo(CompletionModel):
    """One of every kind of layer that official weights are laid out for."""

    def __init__(self):
        inputs = keras.Input((8, 3))
        x = Nested(name="block")(inputs)
        x = keras.layers.Conv1D(5, 3, padding="same", name="conv")(x)
        x = keras.layers.Conv1DTranspose(6, 2, strides=2, name="up")(x)
        x = keras.layers.Reshape((2, 2, 4, 6))(x)
        x = keras.layers.Conv3D(4, 2, padding="same", name="conv3")(x)
        x = keras.layers.Conv3DTranspose(3, 2, padding="same", name="up3")(x)
        super().__init__(inputs, (keras.layers.Reshape((16, 3))(x),))

    def official_weights(self):
        names = {"block": "block", "block.a": "block/first", "block.ln": "block/norm", "unused": None}
        return names | {name: name for name in ("conv", "up", "conv3", "up3")}


def test_lays_out_every_kind_of_layer_as_pytorch_computes():
    torch = pytest.importorskip("torch")
    modules = torch.nn.ModuleDict(
        {
            "conv": torch.nn.Conv1d(4, 5, 3, padding=1),
            "up": torch.nn.ConvTranspose1d(5, 6, 2, stride=2),
            "conv3": torch.nn.Conv3d(6, 4, 2),
            "up3": torch.nn.ConvTranspose3d(4, 3, 2),
            "unused": torch.nn.Linear(2, 2),
        }
    )
    block = torch.nn.Module()
    block.a, block.ln, block.token = torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Parameter(torch.randn(4))
    modules["block"] = block
    model = Zoo()
    load_official_weights(model, {k: v.detach().numpy() for k, v in modules.state_dict().items()})
    x = np.random.default_rng(0).normal(size=(2, 8, 3)).astype("float32")
    with torch.no_grad():
        hidden = block.ln(block.a(torch.tensor(x))) + block.token
        expected = modules["up"](modules["conv"](hidden.transpose(1, 2))).transpose(1, 2).numpy()
    after_up = keras.Model(model.input, model.get_layer("up").output)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(after_up(x)), expected, atol=1e-5)
    volume = np.random.default_rng(1).normal(size=(2, 3, 3, 3, 6)).astype("float32")
    with torch.no_grad():
        inside = torch.tensor(volume).permute(0, 4, 1, 2, 3)
        expected = modules["conv3"](inside).permute(0, 2, 3, 4, 1).numpy()
    layer = model.get_layer("conv3")
    valid = keras.ops.conv(volume, layer.kernel, padding="valid") + layer.bias
    np.testing.assert_allclose(keras.ops.convert_to_numpy(valid), expected, atol=1e-5)
    kernel = keras.ops.convert_to_numpy(model.get_layer("up3").kernel)
    np.testing.assert_array_equal(kernel[0, 1, 0], modules["up3"].weight.detach().numpy()[:, :, 0, 1, 0].T)


class OfTensorFlow(CompletionModel):
    def __init__(self):
        inputs = keras.Input((8, 3))
        super().__init__(inputs, (keras.layers.Dense(3, name="dense")(inputs),))

    def official_weights(self):
        return {"folding/conv_0": "dense"}


def test_takes_kernels_of_tensorflow_as_they_lie():
    weights = np.arange(9, dtype="float32").reshape(1, 1, 3, 3)
    model = OfTensorFlow()
    load_official_weights(model, {"folding/conv_0/weights": weights, "folding/conv_0/biases": np.ones(3)})
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model.layers[1].kernel), weights[0, 0])


def test_layers_that_share_a_path_are_named():
    inputs = keras.Input((8, 3))
    block = Nested(name="block")
    block.norm = keras.layers.LayerNormalization(name="first")
    with pytest.raises(ValueError, match="two layers share the path 'block/first'"):
        layers_by_path(CompletionModel(inputs, (keras.layers.Dense(3)(block(inputs)),)))


def test_a_network_without_a_table_is_named(model):
    inputs = keras.Input((8, 3))
    with pytest.raises(NotImplementedError, match="CompletionModel has no table"):
        load_official_weights(CompletionModel(inputs, (inputs * 1.0,)), {"a.weight": np.zeros(3)})
