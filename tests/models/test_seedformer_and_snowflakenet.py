"""SeedFormer and SnowflakeNet against the recorded outputs of the official networks.

Both pick farthest points and nearest neighbors of points that they made themselves, and rounding turns such
choices: the bounds are what the official network in float32 differs by from itself in float64, which the fixtures
hold, three times over.
"""

import functools

import keras
import numpy as np
import pytest
from networks import FIXTURES, fixture, gradients, numpy
from scipy.spatial import KDTree

from keras_wcd.models import BACKBONES, load_official_weights
from keras_wcd.models.weights.convert import arranged, layers_by_path, split, variable_name

NAMES = ["seedformer", "seedformer_s55", "snowflakenet", "snowflakenet_s55"]
FORCED = {
    "seedformer": [(4.3e-7, 0, 4.5e-6), (1.6e-6, 0.00098, 1.5e-5), (1.8e-6, 0.0028, 2.5e-5)],
    "snowflakenet": [(2.1e-7, 0, 2.2e-7), (2.9e-7, 0, 3.1e-7), (3.8e-7, 0.00024, 1.1e-6)],
}
"""Median, share beyond 1e-3 and mean distance to the other cloud by which the official up layers, fed with the
recorded points, differ in float32 from themselves in float64."""
GRADIENT = {"seedformer": 7.6e-3, "snowflakenet": 3.0e-4}
"""The same of the gradient at the input, relative to its norm."""


@pytest.fixture(scope="module", params=NAMES)
def loaded(request):
    return request.param, *official(request.param)


@pytest.fixture(scope="module", params=["seedformer", "snowflakenet"])
def of_pcn(request):
    return request.param, *official(request.param)


@functools.cache
def official(name):
    arrays, meta, weights = fixture(name)
    key, arguments = FIXTURES[name]
    model = BACKBONES[key](**arguments)
    load_official_weights(model, weights)
    return model, arrays, meta


def assert_close(found, recorded, median, share, mean):
    """Points `(B, N, 3)` by index, and as sets."""
    found = numpy(found)
    distance = np.linalg.norm(found - recorded, axis=-1)
    pairs = list(zip(found, recorded, strict=True))
    nearest = np.mean([KDTree(a).query(b)[0].mean() + KDTree(b).query(a)[0].mean() for a, b in pairs]) / 2
    assert np.median(distance) <= 3 * median + 1e-6
    assert np.mean(distance > 1e-3) <= 3 * share + 1e-3
    assert nearest <= 3 * mean + 1e-6


@pytest.mark.backend
def test_every_stage_equals_the_official_one(loaded):
    _, model, arrays, meta = loaded
    names = [name for name in arrays if name.startswith("out/") and not name.endswith("P0_fps")]
    found = model(arrays["in/x"], training=False)
    assert len(found) == len(names)
    np.testing.assert_allclose(numpy(found[0]), arrays[names[0]], rtol=0, atol=4e-6)
    for stage, name in zip(found, names, strict=True):
        bound = meta["float32_vs_float64"][name.removeprefix("out/")]
        assert_close(stage, arrays[name], bound["median"], bound["frac_gt_1e-3"], bound["nn_mean"])


def test_every_up_layer_fed_with_the_recorded_points_equals_the_official_one(of_pcn):
    key, model, arrays, _ = of_pcn
    start = arrays["mid/up0_in_pcd_P0"].transpose(0, 2, 1) if key == "seedformer" else arrays["out/P0_fps"]
    points = [start, arrays["out/P1"], arrays["out/P2"]]
    inputs = [model.get_layer(f"up_{i}_place_1").input for i in range(3)]
    for i, name in enumerate(("P1", "P2", "P3_final")):
        layer = keras.Model([model.input, *inputs[: i + 1]], model.outputs[i + 1])
        found = layer([arrays["in/x"], *points[: i + 1]], training=False)
        assert_close(found, arrays[f"out/{name}"], *FORCED[key][i])


def test_features_equal_the_official_ones(of_pcn):
    _, model, arrays, meta = of_pcn
    layers = {f"mid/up{i}_K": model.get_layer(f"up_{i}_delta_1").input for i in range(3)}
    layers = {"mid/feat_global": model.get_layer("seed_a_1").input[1], **layers}
    found = keras.Model(model.input, list(layers.values()))(arrays["in/x"], training=False)
    for name, value in zip(layers, found, strict=True):
        if name not in arrays:
            continue
        value = numpy(value)
        value = value.reshape(len(value), -1, value.shape[-1]).transpose(0, 2, 1)
        value = value.reshape(-1)[:: meta["arrays"][name].get("flat_stride") or 1]
        # The layer behind these features takes their positive part.
        recorded = arrays[name].reshape(-1) if name == "mid/feat_global" else np.maximum(arrays[name], 0)
        difference = np.abs(value - recorded)
        assert np.median(difference) < 2e-5
        assert np.mean(difference > 1e-2) < 0.01


def test_gradients_equal_the_official_ones(of_pcn):
    if keras.config.backend() != "tensorflow":
        pytest.skip("the stages hold on every backend; one tells of the gradients")
    key, model, arrays, meta = of_pcn
    bound = 3 * GRADIENT[key]
    rows = np.random.RandomState(7).standard_normal(arrays["out/P3_final"].shape).astype("float32")
    by_path, at_input = gradients(model, arrays["in/x"], rows)
    assert distance(at_input, arrays["grad/input"]) < bound
    table, layers = model.official_weights(), layers_by_path(model)
    for name, norm in meta["grad"]["all_grad_norms"].items():
        module, suffix = split(name)
        layer = layers[table[module]]
        found = by_path[getattr(layer, variable_name(layer, suffix)).path]
        # Biases that a softmax or a difference takes out again have no gradient but rounding's.
        np.testing.assert_allclose(np.linalg.norm(found), norm, rtol=bound, atol=1e-3)
        if f"grad/{name}" in arrays:
            recorded = model.adapt_official({name: arrays[f"grad/{name}"]})[name]
            assert distance(found, arranged(layer, suffix, recorded, found.ndim)) < bound


def distance(found, recorded):
    return np.linalg.norm(found - recorded) / np.linalg.norm(recorded)


def test_no_gradient_is_recorded_where_the_table_of_weights_has_none(of_pcn):
    _, model, _, meta = of_pcn
    unused = {name for name, path in model.official_weights().items() if path is None}
    assert {split(name)[0] for name in meta["grad"]["params_without_grad"]} == unused
