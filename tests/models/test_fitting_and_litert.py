"""Every network learns two shapes by heart, and runs from a LiteRT file of builtin operators."""

import keras
import numpy as np
import pytest
from networks import SHARED, SMALL, clouds

from keras_wcd.losses import LandauCD
from keras_wcd.models import BACKBONES

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="export is TensorFlow's, and one backend tells what is learnt"
)


@pytest.fixture(params=sorted(BACKBONES))
def small(request):
    keras.utils.set_random_seed(0)
    return BACKBONES[request.param](**SMALL[request.param])


@pytest.fixture
def shapes(small):
    """Two partial and complete shapes, of as many points as the network takes and gives."""
    path = SHARED / "data" / "real8_val.npz"
    if not path.is_file():
        pytest.skip(f"the shapes are not at {path}")
    with np.load(path) as data:
        partial, complete = data["partial"][:2, 0], data["complete"][:2]
    x = partial[:, :: partial.shape[1] // small.num_input]
    return x.astype("float32"), complete[:, : small.outputs[-1].shape[1]].astype("float32")


def test_fifty_steps_on_two_shapes_halve_the_loss(small, shapes):
    small.compile(keras.optimizers.Adam(3e-3), loss=LandauCD())
    losses = [float(small.train_on_batch(*shapes)) for _ in range(50)]
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_runs_from_a_litert_file_of_builtin_operators(small, tmp_path):
    from keras_wcd.export import to_tflite, verify

    x = clouds(points=small.num_input)[0]
    path = to_tflite(small, tmp_path / "small.tflite", num_points=small.num_input)
    assert verify(small, path, x).clouds == len(x)
