"""What importing the library takes."""

import importlib
import os
import subprocess
import sys

import pytest

import keras_wcd
from keras_wcd.losses import LOSSES

pytestmark = pytest.mark.backend


def run_blocked(code, blocked, **environment):
    """Run code in a process of its own where some packages do not exist."""
    program = f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); " + code
    environment = {**os.environ, **environment}
    command = [sys.executable, "-c", program]
    # Away from the checkout, whose folders would be found before the installed package.
    elsewhere = os.path.dirname(sys.executable)
    return subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)


def test_every_loss_is_at_the_top():
    for loss in LOSSES.values():
        assert getattr(keras_wcd, loss.__name__) is loss
    for name in keras_wcd.__all__:
        assert getattr(keras_wcd, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'LorentzCD'"):
        keras_wcd.LorentzCD  # noqa: B018


def test_jax_alone_is_enough_for_losses_and_networks():
    pytest.importorskip("jax")
    code = (
        "import numpy as np; import keras_wcd, keras_wcd.models; from keras_wcd.metrics import CDL1; "
        "x = np.random.rand(2, 32, 3).astype('float32'); "
        "model = keras_wcd.models.PCN(num_coarse=8, grid_size=2, latent=8, encoder=(8, 8, 8), hidden=8, folding=8); "
        "model.compile('sgd', loss=keras_wcd.LandauCD(), metrics=[CDL1()]); model.fit(x, x, verbose=0)"
    )
    done = run_blocked(code, ["tensorflow", "torch"], KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("module", ["keras_wcd", "keras_wcd.data", "keras_wcd.export", "keras_wcd.cli"])
def test_no_framework_is_loaded_before_it_is_used(module):
    done = run_blocked(f"import {module}", ["tensorflow", "jax", "torch", "keras"])
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_version_is_that_of_the_package():
    assert importlib.import_module("importlib.metadata").version("keras-wcd") == keras_wcd.__version__
