"""The default parameters of the families that have no published ones."""

import numpy as np
import pytest
from backends import tensorflow_only

from keras_wcd.losses import LOSSES

pytestmark = tensorflow_only


@pytest.mark.parametrize("name", ["weibull", "logistic", "normal"])
def test_are_what_our_distillation_finds(name):
    from keras_wcd.distill import distill

    found = distill(families=[name], shift=None).best.parameters
    defaults = LOSSES[f"{name}_cd"]().weighting.get_config()
    assert set(found) == set(defaults)
    for key, value in defaults.items():
        np.testing.assert_allclose(value, found[key], rtol=0.01)
