"""Layers whose inputs keep their dtype."""

import keras
import pytest
from keras import ops

from keras_wcd.models.layers.uncast import UncastLayer


@pytest.fixture
def half_precision():
    outside = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(outside)


class Seen(UncastLayer):
    def __init__(self, count=1, **kwargs):
        super().__init__(**kwargs)
        self.count = count

    def call(self, inputs):
        self.dtypes = [str(keras.backend.standardize_dtype(x.dtype)) for x in inputs]
        return inputs[0]

    def get_config(self):
        return {**super().get_config(), "count": self.count}


@pytest.mark.backend
def test_inputs_come_in_as_they_are_in_mixed_precision(half_precision):
    layer = Seen()
    layer([ops.ones((2, 3)), ops.ones((2, 3), "int32"), ops.ones((2, 3), "float16")])
    assert layer.compute_dtype == "float16"
    assert layer.dtypes == ["float32", "int32", "float16"]


@pytest.mark.backend
def test_its_config_makes_the_same_layer_and_does_not_speak_of_casts():
    config = Seen(3, name="seen").get_config()
    assert "autocast" not in config
    again = Seen.from_config(config)
    assert (again.count, again.name, again.autocast) == (3, "seen", False)
