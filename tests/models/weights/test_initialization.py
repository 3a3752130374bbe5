"""First weights: those of the official releases, drawn from Keras's seed, and predictions that start near the scan."""

import keras
import numpy as np
import pytest
from networks import SMALL, numpy
from scipy.spatial import KDTree

from keras_wcd.models import BACKBONES
from keras_wcd.models.weights.initialization import weighted_layers

WITH_PYTORCH_DEFAULTS = ("atlasnet", "fbnet", "foldingnet", "pcn", "pmpnet", "seedformer", "snowflakenet", "topnet")


def drawn(key, seed=0, **arguments):
    keras.utils.set_random_seed(seed)
    return BACKBONES[key](**{**SMALL[key], **arguments})


def named(model):
    return {layer.name: layer for layer in weighted_layers(model)}


def in_units_of_the_limit(layers):
    """The entries of all kernels, each in units of its own 1 / sqrt(fan in)."""
    kernels = [numpy(layer.kernel) for layer in layers]
    return np.concatenate([kernel.ravel() * np.prod(kernel.shape[:-1]) ** 0.5 for kernel in kernels])


@pytest.mark.parametrize("key", WITH_PYTORCH_DEFAULTS)
def test_kernels_and_biases_are_uniform_within_one_over_the_root_of_the_fan(key):
    layers = list(weighted_layers(drawn(key)))
    values = in_units_of_the_limit(layers)
    assert 0.99 < np.abs(values).max() <= 1 + 1e-6
    assert abs(values.std() - 3**-0.5) < 0.02
    for layer in layers:
        if getattr(layer, "bias", None) is not None:
            bias = np.abs(numpy(layer.bias))
            assert 0 < bias.max() <= np.prod(layer.kernel.shape[:-1]) ** -0.5


def test_pytorch_draws_so_itself():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    for module, fan in (
        (torch.nn.Linear(256, 512), 256),
        (torch.nn.Conv1d(256, 512, 1), 256),
        (torch.nn.ConvTranspose1d(256, 64, 8), 64 * 8),
    ):
        for values in (module.weight, module.bias):
            assert values.abs().max() <= fan**-0.5
        assert float(module.weight.detach().std()) * fan**0.5 == pytest.approx(3**-0.5, rel=0.01)
    attention = torch.nn.MultiheadAttention(256, 4)
    assert float(attention.in_proj_weight.detach().abs().max()) == pytest.approx((6 / (4 * 256)) ** 0.5, rel=1e-3)
    assert not attention.in_proj_bias.any()
    assert not attention.out_proj.bias.any()


def test_pointattn_draws_its_attention_as_pytorch_does():
    layers = named(drawn("pointattn", width=32))
    for name, layer in layers.items():
        kernel, bias = numpy(layer.kernel), numpy(layer.bias)
        fan = np.prod(kernel.shape[:-1])
        projection = name.endswith(("_query", "_key", "_value"))
        assert np.abs(kernel).max() == pytest.approx((1.5 / fan if projection else 1 / fan) ** 0.5, rel=0.05)
        assert (np.abs(bias).max() == 0) == (projection or name.endswith("_out"))


def test_pointr_draws_its_transformer_as_its_release_does():
    layers = named(drawn("pointr", width=96, heads=6, latent=128))

    def relative(name, expected):
        return numpy(layers[name].kernel).std() / expected

    for name in ("encoder_0_self_in", "encoder_0_self_edges", "decoder_0_cross_query", "decoder_0_mlp_1", "coarse_1"):
        assert relative(name, 0.02) == pytest.approx(1, rel=0.1)
        assert getattr(layers[name], "bias", None) is None or not numpy(layers[name].bias).any()
    for name in ("position_2", "proxy_2", "code_2", "query_2"):
        assert relative(name, (2 / sum(layers[name].kernel.shape)) ** 0.5) == pytest.approx(1, rel=0.1)
    for name in ("group_4", "patch", "patch_code_2", "fold_b_2"):
        assert relative(name, (3 * layers[name].kernel.shape[0]) ** -0.5) == pytest.approx(1, rel=0.1)


def test_grnet_draws_as_its_release_does():
    layers = named(drawn("grnet"))
    for name, layer in layers.items():
        kernel = numpy(layer.kernel)
        expected = 0.01 if kernel.ndim == 2 else (2 / np.prod(kernel.shape[:-1])) ** 0.5
        assert kernel.std() == pytest.approx(expected, rel=0.2), name


@pytest.mark.parametrize("key", sorted(BACKBONES))
def test_one_seed_gives_one_network(key):
    first, same, other = (drawn(key, seed).get_weights() for seed in (3, 3, 4))
    for one, two in zip(first, same, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any((one != two).any() for one, two in zip(first, other, strict=True))


@pytest.mark.parametrize("key", sorted(BACKBONES))
@pytest.mark.parametrize("seed", range(3))
def test_first_predictions_lie_where_every_loss_pulls_toward_the_truth(key, seed):
    scans = np.random.default_rng(seed).uniform(-0.3, 0.3, (4, SMALL[key]["num_input"], 3)).astype("float32")
    predicted = numpy(drawn(key, seed)(scans, training=True)[-1])
    if key == "pointr":  # Its cloud ends with the scan itself.
        predicted = predicted[:, : -scans.shape[1]]
    distances = np.concatenate([KDTree(scan).query(cloud)[0] for scan, cloud in zip(scans, predicted, strict=True)])
    # LandauCD falls beyond 2.24 diagonals of the frame.
    assert np.median(distances) < 0.9
