"""PointAttN against the recorded outputs of the official one."""

import keras
import numpy as np
import pytest
from backends import tensorflow_only
from networks import fixture, gradients, numpy
from scipy.spatial import KDTree

from keras_wcd.models import PointAttN, load_official_weights
from keras_wcd.models.pointattn import PARTS
from keras_wcd.models.weights.convert import arranged, layers_by_path, split, variable_name

STAGES = ("out/coarse", "out/fine", "out/fine1_final")


class FromMerged:
    """The refinements of the official weights, fed with the recorded points that they start from."""

    def __init__(self):
        self.arrays, self.meta, weights = fixture("pointattn")
        self.network = PointAttN()
        load_official_weights(self.network, weights)
        self.trainable_variables = self.network.trainable_variables
        code, merged = (self.network.get_layer(name).output for name in ("code", "merged"))
        self.head = keras.Model(self.network.input, [code, merged, self.network.outputs[0]])
        self.tail = keras.Model([code, merged], self.network.outputs[1:])
        self.recorded = np.swapaxes(self.arrays["mid/refine_in_new_x"], 1, 2)

    def __call__(self, x, training=False):
        code, merged, coarse = self.head(x, training=training)
        # The recorded points in value, ours in gradient.
        order = [KDTree(ours).query(official)[1] for ours, official in zip(numpy(merged), self.recorded, strict=True)]
        merged = keras.ops.take_along_axis(merged, keras.ops.expand_dims(np.stack(order), -1), axis=1)
        merged = merged + keras.ops.stop_gradient(self.recorded - merged)
        return coarse, *self.tail([code, merged], training=training)


@pytest.fixture(scope="module")
def official():
    return FromMerged()


@pytest.mark.backend
def test_equals_the_official_network_as_sets_of_points(official):
    arrays = official.arrays
    found = [numpy(stage) for stage in official.network(arrays["in/x"], training=False)]
    # Float32 against float64: 2.2e-6 by index in the coarse stage, 4.8e-6 to the nearest in the last. Farthest
    # points of nearly equal distance may change places, 4 of 512 in the official network.
    np.testing.assert_allclose(found[0], arrays[STAGES[0]], rtol=0, atol=8e-6)
    for stage, name in zip(found[1:], STAGES[1:], strict=True):
        assert (np.linalg.norm(stage - arrays[name], axis=-1) > 1e-3).mean() < 0.012
        for ours, recorded in zip(stage, arrays[name], strict=True):
            assert KDTree(recorded).query(ours)[0].max() < 1.5e-5
            assert KDTree(ours).query(recorded)[0].max() < 1.5e-5


def test_equals_the_official_network_by_index_from_its_own_merged_points(official):
    for stage, name in zip(official(official.arrays["in/x"]), STAGES, strict=True):
        np.testing.assert_allclose(numpy(stage), official.arrays[name], rtol=0, atol=8e-6)


def test_equals_the_official_network_inside(official):
    arrays, meta = official.arrays, official.meta
    names = {"mid/enc_x0": "embed_2", "mid/feat_global": "code"}
    inside = keras.Model(official.network.input, [official.network.get_layer(name).output for name in names.values()])
    for name, found in zip(names, inside(arrays["in/x"], training=False), strict=True):
        found = np.swapaxes(numpy(found), 1, 2).reshape(-1)[:: meta["arrays"][name].get("flat_stride") or 1]
        np.testing.assert_allclose(found, arrays[name].reshape(-1), rtol=0, atol=1e-5)


@tensorflow_only
def test_has_the_gradients_of_the_official_network(official):
    arrays, model = official.arrays, official.network
    rows = np.random.RandomState(7).standard_normal(arrays[STAGES[-1]].shape).astype("float32")
    by_path, at_input = gradients(official, arrays["in/x"], rows)
    recorded = arrays["grad/input"]
    assert np.linalg.norm(at_input - recorded) < 1.6e-3 * np.linalg.norm(recorded)
    table, layers = model.official_weights(), layers_by_path(model)

    def ours(name):
        module, suffix = split(name)
        layer = layers[table[module]]
        return layer, suffix, by_path[getattr(layer, variable_name(layer, suffix)).path]

    norms = official.meta["grad"]["all_grad_norms"]
    for name, norm in norms.items():
        module, packed, kind = name.rpartition(".in_proj_")
        if packed:
            # Keys' biases have no gradient but rounding: a softmax does not see them.
            gradient = np.concatenate([ours(f"{module}.{part}.{kind}")[2].T for part in PARTS])
        else:
            layer, suffix, gradient = ours(name)
        np.testing.assert_allclose(np.linalg.norm(gradient), norm, rtol=1e-2)
        if f"grad/{name}" in arrays:
            recorded = arrays[f"grad/{name}"]
            recorded = recorded if packed else arranged(layer, suffix, recorded, gradient.ndim)
            assert np.linalg.norm(gradient - recorded) < 1.6e-3 * np.linalg.norm(recorded)


def test_the_completion3d_and_shapenet55_sizes():
    small = {"width": 8, "heads": 2, "hidden": 16}
    assert [stage.shape[1] for stage in PointAttN(up_factors=(1, 4), **small).outputs] == [256, 512, 2048]
    assert [stage.shape[1] for stage in PointAttN(up_factors=(4, 4), **small).outputs] == [256, 2048, 8192]


def test_packed_projections_of_a_wrong_size_are_named():
    model = PointAttN(num_input=128, num_coarse=16, num_merged=32, up_factors=(1, 1), width=8, heads=2, hidden=16)
    name = "encoder.sa1.multihead_attn1.in_proj_weight"
    with pytest.raises(ValueError, match="no place for: encoder.sa1.multihead_attn1.in_proj_weight"):
        load_official_weights(model, {name: np.zeros((25, 8), "float32")})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_input": 15}, "num_input must be at least 16, got 15"),
        ({"num_coarse": 255}, "num_coarse must be even, got 255"),
        ({"num_merged": 3000}, r"num_merged must not exceed num_input \+ num_coarse, got 3000"),
        ({"heads": 3}, r"width must be a multiple of heads \(3\), got 64"),
    ],
)
def test_sizes_that_do_not_fit_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        PointAttN(**wrong)
