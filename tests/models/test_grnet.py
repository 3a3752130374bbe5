"""GRNet against the recorded outputs of the official one, and its draws."""

import keras
import numpy as np
import pytest
from backends import tensorflow_only
from networks import FIXTURES, SMALL, clouds, fixture, gradients, numpy

from keras_wcd.models import BACKBONES, GRNet, load_official_weights
from keras_wcd.models.layers import draws
from keras_wcd.models.layers.volumes import RandomPoints, convolved_down
from keras_wcd.models.weights.convert import arranged, layers_by_path, split, variable_name


@pytest.fixture(scope="module")
def recorded():
    """Fixture, its network with the official weights and the fixture's draw, of both configurations."""
    made = {}

    def make(name):
        if name not in made:
            arrays, meta, weights = fixture(name)
            model = GRNet(**FIXTURES[name][1])
            load_official_weights(model, weights)
            made[name] = arrays, meta, model
        return made[name]

    return make


@pytest.fixture
def small():
    keras.utils.set_random_seed(0)
    return BACKBONES["grnet"](**SMALL["grnet"])


@pytest.mark.backend
@pytest.mark.parametrize("name", ["grnet", "grnet_s55"])
def test_equals_the_official_network_under_the_recorded_draw(recorded, name):
    arrays, _, model = recorded(name)
    sparse, dense = map(numpy, model(arrays["in/x"], training=False, noise={"rows": arrays["noise/rows"]}))
    # Float32 against float64 of the official network: 6e-7.
    np.testing.assert_allclose(sparse, arrays["out/sparse"], rtol=0, atol=3e-6)
    distance = np.linalg.norm(dense - arrays["out/dense_final"], axis=-1)
    # Points on a face between two cells: rounding decides in which they lie, in the official network for 0.7 % of
    # the points (0.9 % in the second configuration).
    assert (distance > 1e-5).mean() < 0.02
    assert np.median(distance) < 1e-6
    forced = Forced(model, arrays["out/sparse"] * np.float32(model.scale))
    np.testing.assert_allclose(numpy(forced(arrays["in/x"])[-1]), arrays["out/dense_final"], rtol=0, atol=5e-6)


class Forced:
    """GRNet with the features of the sparse points taken where the official ones lie."""

    def __init__(self, model, sparse):
        layers = [model.get_layer(f"features_{i}") for i in range(3)]
        volumes = [layer.input[1] for layer in layers]
        sampled = model.get_layer("sampling").output
        self.head = keras.Model(model.input, [sampled, *volumes])
        self.tail = keras.Model([sampled, *volumes], model.outputs[-1])
        self.sparse = keras.ops.convert_to_tensor(sparse)
        self.scale, self.trainable_variables = model.scale, model.trainable_variables

    def __call__(self, x, training=False):
        rows = self.rows if hasattr(self, "rows") else None
        with draws.giving({} if rows is None else {"rows": rows}):
            sampled, *volumes = self.head(x, training=training)
        dense = self.tail([self.sparse, *volumes], training=training)
        if rows is None:
            return (dense,)
        return (dense + keras.ops.repeat(sampled - self.sparse, 8, axis=1) / self.scale,)


def test_equals_the_official_network_inside(recorded):
    arrays, meta, model = recorded("grnet")
    names = {"grid_64_l": "gridding", "fc5": "fc5", "gridding_rev_pts": "gridding_reverse"}
    inside = keras.Model(model.input, [model.get_layer(name).output for name in names.values()])
    for name, found in zip(names, inside(arrays["in/x"], training=False), strict=True):
        found = np.maximum(numpy(found), 0) if name == "fc5" else numpy(found)
        found = found.reshape(-1)[:: meta["arrays"][f"mid/{name}"].get("flat_stride") or 1]
        np.testing.assert_allclose(found, arrays[f"mid/{name}"].reshape(-1), rtol=1e-4, atol=1e-5, err_msg=name)


@tensorflow_only
def test_gradients_equal_the_official_ones(recorded):
    arrays, meta, model = recorded("grnet")
    weight = np.random.RandomState(7).standard_normal(arrays["out/dense_final"].shape).astype("float32")
    forced = Forced(model, arrays["out/sparse"])
    forced.rows = arrays["noise/rows"]
    by_path, at_input = gradients(forced, arrays["in/x"], weight)
    assert distance(at_input, arrays["grad/input"]) < 1.6e-3
    table, layers = model.official_weights(), layers_by_path(model)
    for official, norm in meta["grad"]["all_grad_norms"].items():
        module, suffix = split(official)
        layer = layers[table[module]]
        variable = getattr(layer, variable_name(layer, suffix))
        found = by_path[variable.path]
        np.testing.assert_allclose(np.linalg.norm(found), norm, rtol=5e-3, err_msg=official)
        if f"grad/{official}" in arrays:
            expected = arranged(layer, suffix, arrays[f"grad/{official}"], len(variable.shape))
            assert distance(found, expected) < 1.6e-3
        if f"grad64/{official}" in arrays:
            flat = np.moveaxis(found, (-1, -2), (0, 1)).reshape(-1)
            assert distance(flat[:64], arrays[f"grad64/{official}"]) < 1.6e-3


def distance(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def test_pools_the_convolution_that_pads_two_on_both_sides():
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 8, 3)).astype("float32")
    inputs = keras.Input((8, 8, 8, 3))
    model = keras.Model(inputs, convolved_down(inputs, 5, "conv"))
    conv = model.get_layer("conv")
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (2, 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (4, 4, 4), axis=(1, 2, 3))  # (2, 9, 9, 9, 3, 4, 4, 4)
    found = np.einsum("bxyzcijk,ijkco->bxyzo", windows, numpy(conv.kernel))[:, :8, :8, :8]
    found /= np.sqrt(1 + 1e-5)
    found = np.where(found > 0, found, 0.2 * found).reshape(2, 4, 2, 4, 2, 4, 2, 5).max((2, 4, 6))
    np.testing.assert_allclose(numpy(model(x)), found, rtol=1e-4, atol=1e-5)


def test_draws_anew_in_training_and_the_same_points_at_inference(small):
    x = clouds()[0]
    first, second = (numpy(small(x, training=True)[0]) for _ in range(2))
    assert np.abs(first - second).max() > 0.01
    first, second = (numpy(small(x, training=False)[0]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_takes_rows_that_are_given(small):
    x = clouds()[0]
    rows = np.tile(np.arange(small.num_sparse, dtype="int32"), (4, 1))
    sparse, _ = small(x, training=False, noise={"rows": rows})
    np.testing.assert_allclose(numpy(sparse), x[:, : small.num_sparse], atol=1e-6)
    with pytest.raises(ValueError, match=r"noise\['rows'\] must have shape"):
        small(x, noise={"rows": rows[:, :3]})


@pytest.mark.parametrize("training", [False, True])
def test_chooses_rows_that_are_not_zero_each_once_if_there_are_enough(training):
    x = np.zeros((2, 40, 3), "float32")
    x[0, 5:25, 0] = np.arange(20) + 1
    x[1, 3:7, 1] = np.arange(4) + 1
    found = numpy(RandomPoints(10, 64)(x, training=training))
    assert len(set(found[0, :, 0])) == 10
    assert found[0, :, 0].all()
    counts = np.unique(found[1, :, 1], return_counts=True)
    assert counts[0].tolist() == [1, 2, 3, 4]
    assert counts[1].max() <= 3


def test_numbers_among_the_rows_that_are_not_zero_choose_them():
    x = np.zeros((1, 10, 3), "float32")
    x[0, [2, 5, 9], 0] = (1, 2, 3)
    with draws.giving({"rnd_idx": np.array([[2, 0]], "int32")}):
        found = numpy(RandomPoints(2, 16)(x))
    assert found[0, :, 0].tolist() == [3, 1]


def test_a_cloud_of_unknown_size_has_the_same_order():
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, RandomPoints(4, 7)(inputs))
    x = np.random.default_rng(1).normal(size=(1, 20, 3)).astype("float32")
    np.testing.assert_array_equal(numpy(model(x)), numpy(RandomPoints(4, 7)(x)))
