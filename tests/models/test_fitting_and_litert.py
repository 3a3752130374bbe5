"""Every network learns two shapes by heart, and runs from a LiteRT file of builtin operators."""

import keras
import numpy as np
import pytest
from networks import SMALL, clouds
from shared import SHARED

from keras_wcd.losses import LandauCD
from keras_wcd.models import BACKBONES

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="export is TensorFlow's, and one backend tells what is learned"
)


FITTED = {
    "grnet": ({}, 1e-2),
    "pointr": ({"num_query": 32}, 1e-2),
    "seedformer": ({"latent": 64, "width": 32, "attention": 16}, 3e-3),
    "snowflakenet": ({"latent": 128, "width": 64, "attention": 16}, 1e-3),
    "topnet": ({}, 1e-2),
}
"""Networks that need a wider configuration or another learning rate to learn a shape in fifty steps."""


@pytest.fixture(params=sorted(BACKBONES))
def small(request):
    keras.utils.set_random_seed(0)
    return BACKBONES[request.param](**SMALL[request.param])


def shapes(small):
    """Two partial and complete shapes, of as many points as the network takes and gives."""
    path = SHARED / "data" / "real8_val.npz"
    if not path.is_file():
        pytest.skip(f"the shapes are not at {path}")
    with np.load(path) as data:
        partial, complete = data["partial"][:2, 0], data["complete"][:2]
    x = partial[:, :: partial.shape[1] // small.num_input]
    return x.astype("float32"), complete[:, : small.outputs[-1].shape[1]].astype("float32")


@pytest.mark.parametrize("key", sorted(BACKBONES))
def test_fifty_steps_on_two_shapes_halve_the_loss(key):
    wider, rate = FITTED.get(key, ({}, 3e-3))
    keras.utils.set_random_seed(0)
    model = BACKBONES[key](**{**SMALL[key], **wider})
    model.compile(keras.optimizers.Adam(rate), loss=LandauCD())
    pairs = shapes(model)
    losses = [float(model.train_on_batch(*pairs)) for _ in range(50)]
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_runs_from_a_litert_file_of_builtin_operators(small, tmp_path):
    from keras_wcd.export import to_tflite, verify

    x = clouds(points=small.num_input)[0]
    path = to_tflite(small, tmp_path / "small.tflite", num_points=small.num_input)
    assert verify(small, path, x).clouds == len(x)
