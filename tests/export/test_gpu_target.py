"""`to_tflite(target="gpu")`: only what LiteRT's GPU delegate takes, and the answer of the plain file."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from backends import tensorflow_only
from networks import SMALL

from keras_wcd import export
from keras_wcd.export.runtime import Model
from keras_wcd.models import BACKBONES, MirrorNet

pytestmark = tensorflow_only

NOT_TAKEN = {"WHILE", "GATHER_ND", "SCATTER_ND", "ARG_MIN", "CONV_3D", "CONV_3D_TRANSPOSE", "IF", "BROADCAST_TO"}
MIRROR = {"num_input": 128, "num_queries": 16, "num_centers": 16, "num_keys": 8, "width": 16, "heads": 2}


def network(name):
    keras.utils.set_random_seed(0)
    return MirrorNet(**MIRROR) if name == "mirrornet" else BACKBONES[name](**SMALL[name])


@pytest.mark.parametrize("name", ["mirrornet", "snowflakenet"])
def test_a_file_for_the_gpu_holds_only_what_it_takes_and_answers_as_the_plain_one(name, tmp_path):
    model = network(name)
    plain, gpu = (
        export.to_tflite(model, tmp_path / f"{target}.tflite", num_points=model.num_input, target=target)
        for target in ("cpu", "gpu")
    )
    assert not NOT_TAKEN & set(export.operators(gpu))
    interpreter = Interpreter(str(gpu))
    interpreter.allocate_tensors()
    assert max(len(tensor["shape"]) for tensor in interpreter.get_tensor_details()) <= 4
    # The plain one has what the other must do without.
    assert NOT_TAKEN & set(export.operators(plain))
    assert export.runtime.read_metadata(gpu)["target"] == "gpu"
    cloud = np.random.default_rng(0).uniform(-0.3, 0.3, (model.num_input, 3)).astype("float32")
    np.testing.assert_allclose(Model(gpu)(cloud), Model(plain)(cloud), atol=1e-5)


def test_what_the_gpu_does_not_take_is_named(tmp_path):
    model = network("grnet")
    with pytest.raises(ValueError, match=r"GPU delegate does not take: .*CONV_3D, .*export it for the CPU"):
        export.to_tflite(model, tmp_path / "gpu.tflite", num_points=model.num_input, target="gpu")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "tpu"}, "target must be one of"),
        ({"target": "gpu", "quantization": "dynamic"}, "quantization for target 'gpu' must be one of"),
    ],
)
def test_targets_that_are_none_are_named(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export.to_tflite(network("pcn"), tmp_path / "x.tflite", num_points=128, **options)
