"""PoinTr against recorded outputs of the official network, and its edge layer against the layer it stands for."""

import functools

import keras
import numpy as np
import pytest
from networks import FIXTURES, fixture, gradients, numpy

from keras_wcd.models import BACKBONES, load_official_weights
from keras_wcd.models.layers.edges import EdgeDense
from keras_wcd.models.weights.convert import arranged, layers_by_path, split, variable_name

TOLERANCE = 2e-5
"""Coordinates reach 10; float32 moves those of the official network by up to 7e-6 from float64."""
INTERMEDIATE = {
    "position_2": "mid/pos_embed",
    "proxy_2": "mid/input_proj",
    "encoder_0": "mid/enc0",
    "encoder_5": "mid/enc5",
    "query_3": "mid/query0",
    "decoder_0": "mid/dec0",
    "decoder_7": "mid/q",
    "patch": "mid/rebuild_feature",
}
"""Our layer and the recorded intermediate that it puts out."""


@functools.cache
def official(name):
    arrays, meta, weights = fixture(name)
    key, arguments = FIXTURES[name]
    model = BACKBONES[key](**arguments)
    load_official_weights(model, weights)
    return model, arrays, meta


@pytest.mark.parametrize("name", ["pointr", pytest.param("pointr_s55", marks=pytest.mark.backend)])
def test_pointr_equals_the_official_network_at_both_stages(name):
    model, arrays, _ = official(name)
    for stage, key in zip(model(arrays["in/x"], training=False), ("out/coarse", "out/fine_final"), strict=True):
        np.testing.assert_allclose(numpy(stage), arrays[key], rtol=0, atol=TOLERANCE)


def test_pointr_equals_the_official_network_inside():
    model, arrays, meta = official("pointr")
    found = keras.Model(model.input, [model.get_layer(name).output for name in INTERMEDIATE])(arrays["in/x"])
    for value, key in zip(found, INTERMEDIATE.values(), strict=True):
        info, value = meta["arrays"][key], numpy(value)
        channels_first = info["shape"][1] == value.shape[-1] != info["shape"][-1]
        value = np.swapaxes(value, 1, 2) if channels_first else value
        value = value.reshape(-1)[:: info.get("flat_stride", 1)]
        np.testing.assert_allclose(value, arrays[key].reshape(-1), rtol=0, atol=5e-5)


def test_pointr_has_the_recorded_gradients():
    model, arrays, meta = official("pointr")
    rows = np.random.RandomState(7).standard_normal(arrays["out/fine_final"].shape).astype("float32")
    by_path, at_input = gradients(model, arrays["in/x"], rows)
    assert relative(at_input, arrays["grad/input"]) < 1.6e-3
    table, layers = model.official_weights(), layers_by_path(model)
    seen = set()
    for name, norm in meta["grad"]["all_grad_norms"].items():
        module, suffix = split(name)
        layer = layers[table[module]]
        variable = getattr(layer, variable_name(layer, suffix))
        seen.add(variable.path)
        np.testing.assert_allclose(np.linalg.norm(by_path[variable.path]), norm, rtol=2e-3, atol=1e-4 * norm)
        if f"grad/{name}" in arrays:
            recorded = arranged(layer, suffix, arrays[f"grad/{name}"], len(variable.shape))
            assert relative(by_path[variable.path], recorded) < 1.6e-3
        if f"grad64/{name}" in arrays:
            assert relative(by_path[variable.path].T.reshape(-1)[:64], arrays[f"grad64/{name}"]) < 1.6e-3
    assert seen == {variable.path for variable in model.trainable_variables}


def relative(found, recorded):
    return np.linalg.norm(found - recorded) / np.linalg.norm(recorded)


def test_pointr_stores_nothing_for_what_the_official_network_never_uses():
    model, _, meta = official("pointr")
    unused = {name for name, module in model.official_weights().items() if module is None}
    assert unused == {split(name)[0] for name in meta["grad"]["params_without_grad"]}


def test_padding_at_the_origin_stays_in_the_output_and_is_never_sampled():
    model, arrays, _ = official("pointr_s55")
    x = arrays["in/x"].copy()
    x[:, -148:] = 0
    coarse, fine = (numpy(stage) for stage in model(x, training=False))
    np.testing.assert_array_equal(fine[:, -2048:], x)
    assert (np.linalg.norm(coarse[:, 96:], axis=-1) > 0).all()


@pytest.mark.backend
@pytest.mark.parametrize("use_bias", [True, False])
def test_an_edge_layer_is_a_dense_layer_of_joined_differences(use_bias):
    rng = np.random.default_rng(0)
    queries, features = (rng.normal(size=(2, n, 5)).astype("float32") for n in (7, 11))
    index = rng.integers(0, 11, size=(2, 7, 4)).astype("int32")
    layer = EdgeDense(6, use_bias=use_bias)
    found = numpy(layer([index, queries, features]))
    kernel = numpy(layer.kernel)
    for b in range(2):
        for i in range(7):
            for k in range(4):
                neighbor = features[b, index[b, i, k]]
                expected = np.concatenate([neighbor - queries[b, i], queries[b, i]]) @ kernel
                np.testing.assert_allclose(found[b, i, k], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"heads": 5}, "heads"),
        ({"centers": (512, 4)}, "centers"),
        ({"centers": (128, 512)}, "centers"),
        ({"centers": (4096, 128)}, "centers"),
        ({"num_query": 4}, "num_query"),
        ({"num_query": 4096}, "num_query"),
    ],
)
def test_pointr_names_sizes_that_do_not_fit(arguments, named):
    with pytest.raises(ValueError, match=f"^{named} must"):
        BACKBONES["pointr"](**arguments)
