"""CRN and its discriminator: recorded outputs and gradients, mean features, adversarial steps."""

import keras
import numpy as np
import pytest
from networks import SMALL, TinyChamfer, clouds, fixture, gradients, numpy

from keras_wcd.models import CRN, PatchDiscriminator, load_official_weights
from keras_wcd.models.crn import ChildGrid
from keras_wcd.models.weights.convert import arranged, layers_by_path, split


class WithMeanFeature:
    """The network with one mean feature throughout."""

    def __init__(self, model, mean_feature):
        self.model, self.mean_feature = model, mean_feature
        self.trainable_variables, self.non_trainable_variables = (
            model.trainable_variables,
            model.non_trainable_variables,
        )

    def __call__(self, x, **kwargs):
        return self.model(x, mean_feature=self.mean_feature, **kwargs)

    def stateless_call(self, *args, **kwargs):
        return self.model.stateless_call(*args, mean_feature=self.mean_feature, **kwargs)


@pytest.fixture
def small():
    keras.utils.set_random_seed(0)
    return CRN(**SMALL["crn"])


@pytest.fixture
def mean_feature():
    return np.random.default_rng(1).normal(size=(4, 8)).astype("float32")


@pytest.fixture
def discriminator():
    keras.utils.set_random_seed(0)
    return PatchDiscriminator(96, 8, radii=(0.2, 0.4), neighbors=(4, 8), widths=((4, 8), (4, 4, 8)))


@pytest.mark.backend
def test_equals_the_official_network_at_every_stage():
    arrays, meta, weights = fixture("crn")
    model = CRN()
    load_official_weights(model, weights)
    given = WithMeanFeature(model, arrays["in/mean_feature"])
    stages = [numpy(stage) for stage in given(arrays["in/x"], training=False)]
    expected = [arrays[k] for k in arrays if k.startswith("out/")]
    assert len(stages) == len(expected)
    for stage, official in zip(stages, expected, strict=True):
        # On this input no sample and no pairing is decided by rounding.
        np.testing.assert_allclose(stage, official, rtol=0, atol=2e-6)
    chosen = numpy(model.get_layer("sample")(arrays["in/x"]))
    np.testing.assert_array_equal(chosen, arrays["idx/00_fps"])

    if keras.config.backend() != "tensorflow":
        return
    rows = np.random.RandomState(7).standard_normal(expected[-1].shape).astype("float32")
    by_path, at_input = gradients(given, arrays["in/x"], rows)
    recorded = {name.removeprefix("grad/"): a for name, a in arrays.items() if name.startswith("grad/")}
    pairs = [(at_input, recorded.pop("input"))]
    table, layers = model.official_weights(), layers_by_path(model)
    assert set(recorded) == set(meta["grad"]["params"])
    for official, array in model.adapt_official(recorded).items():
        module, suffix = split(official)
        layer = layers[table[module]]
        gradient = by_path[(layer.bias if suffix == "biases" else layer.kernel).path]
        pairs.append((gradient, arranged(layer, suffix, array, gradient.ndim)))
    for found, official in pairs:
        assert np.linalg.norm(found - official) < 1.6e-3 * np.linalg.norm(official)


def test_the_discriminator_equals_the_official_one():
    arrays, meta, weights = fixture("crn")
    model = PatchDiscriminator()
    load_official_weights(model, weights)
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == meta["n_params_discriminator"]
    scores = numpy(model(arrays["out/fine_16384"]))
    np.testing.assert_allclose(scores, arrays["mid/d_fake_on_first_2048"], rtol=0, atol=1e-6)
    points = arrays["out/fine_16384"][:, :2048]
    np.testing.assert_array_equal(numpy(model.get_layer("sample")(points)), arrays["idx/01_fps"])


@pytest.mark.parametrize(
    ("nodes", "shape"), [(2, (2, 1)), (4, (2, 2)), (8, (2, 4)), (16, (4, 4)), (32, (4, 8)), (64, (8, 8))]
)
def test_children_lie_on_a_grid_as_square_as_can_be(nodes, shape):
    grid = numpy(ChildGrid(nodes, 0.2)(np.zeros((1, 1, 3), "float32")))[0, 0]
    columns, rows = shape
    for i, node in enumerate(grid):
        ends = [0.2 if n > 1 else -0.2 for n in shape]
        expected = [
            np.linspace(-0.2, end, n)[k] for end, n, k in zip(ends, shape, (i % columns, i // columns), strict=True)
        ]
        np.testing.assert_allclose(node, expected, atol=1e-6)
    assert rows * columns == nodes


def test_without_a_mean_feature_takes_zeros(small, mean_feature):
    x = clouds()[0]
    none, zeros = small(x)[-1], small(x, mean_feature=0 * mean_feature)[-1]
    np.testing.assert_array_equal(numpy(none), numpy(zeros))
    assert np.abs(numpy(small(x, mean_feature=mean_feature)[-1]) - numpy(none)).max() > 1e-4


def test_fits_and_predicts_with_mean_features(small, mean_feature):
    x, y = clouds()
    inputs = {"partial": x, "mean_feature": mean_feature}
    predicted = small.predict(inputs, verbose=0)
    np.testing.assert_allclose(predicted, numpy(small(x, mean_feature=mean_feature)[-1]), atol=1e-6)
    model = CRN(**SMALL["crn"], partial_matching=True)
    model.compile("sgd", TinyChamfer())
    before = numpy(model.get_layer("mean").kernel)
    assert np.isfinite(model.fit(inputs, y, verbose=0).history["loss"]).all()
    assert np.abs(numpy(model.get_layer("mean").kernel) - before).max() > 0


def test_a_mean_feature_of_another_length_is_named(small):
    with pytest.raises(ValueError, match=r"mean_feature must have shape \(B, 8\)"):
        small(clouds()[0], mean_feature=np.zeros((4, 9), "float32"))


def test_by_default_the_loss_falls_on_the_first_and_the_last_stage(small):
    assert small.stage_weights == (1.0, 0.0, 1.0)
    assert CRN(**SMALL["crn"], stage_weights=(1, 2, 3)).stage_weights == (1.0, 2.0, 3.0)


def test_the_seen_half_is_mirrored(small):
    x = clouds()[0]
    chosen = numpy(small.get_layer("sample")(x))
    seen = numpy(small.get_layer("seen")([x, chosen]))
    assert seen.shape == (4, 8, 3)
    mirrored = x * np.array([1, 1, -1], "float32")
    coarse = [numpy(stage) for stage in small(x)][0]
    # The first level moves the children of the seen points, of their mirror images and of the coarse points.
    small.get_layer("fine_3").kernel.assign(np.zeros((8, 3)))
    small.get_layer("fine_3").bias.assign(np.zeros(3))
    first = numpy(small(x)[1])
    images = np.stack([mirrored[b][chosen[b]] for b in range(4)])
    np.testing.assert_allclose(first[:, ::2], np.concatenate([seen, images, coarse], axis=1), atol=1e-6)
    np.testing.assert_array_equal(first[:, ::2], first[:, 1::2])


@pytest.mark.parametrize(("name", "value"), [("step_ratio", 6), ("step_ratio", 1), ("num_extract", 15)])
def test_sizes_that_cannot_be_halved_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        CRN(**{**SMALL["crn"], name: value})


def test_a_discriminator_learns_to_tell_clouds_apart(discriminator):
    real = clouds(complete=96)[1]
    made = np.random.default_rng(0).uniform(-0.3, 0.3, real.shape).astype("float32")
    score = np.repeat([1.0, 0.0], 4).reshape(8, 1, 1) * np.ones((1, 8, 1))
    discriminator.compile(keras.optimizers.Adam(1e-2), loss="mse")
    losses = [float(discriminator.train_on_batch(np.concatenate([real, made]), score)) for _ in range(40)]
    assert losses[-1] < 0.8 * losses[0]


def test_a_discriminator_survives_saving(discriminator, tmp_path):
    discriminator.save(tmp_path / "d.keras")
    again = keras.saving.load_model(tmp_path / "d.keras")
    assert again.get_config() == discriminator.get_config()
    x = clouds()[0]
    np.testing.assert_allclose(numpy(again(x)), numpy(discriminator(x)), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_points", 0),
        ("num_centers", 0),
        ("radii", (0.1, 0.0)),
        ("radii", ()),
        ("neighbors", (1,)),
        ("widths", ((4,),)),
    ],
)
def test_wrong_sizes_of_a_discriminator_are_named(name, value):
    small = {"num_points": 32, "num_centers": 4, "radii": (0.2, 0.4), "neighbors": (4, 8), "widths": ((4,), (4,))}
    with pytest.raises(ValueError, match=name):
        PatchDiscriminator(**{**small, name: value})
