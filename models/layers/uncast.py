"""The base of layers whose inputs keep their dtype under mixed precision."""

from typing import Any

import keras
from keras import ops

from keras_wcd.types import Tensor


class UncastLayer(keras.layers.Layer):
    """A layer that Keras does not cast the inputs of: coordinates and indices come in as they are.

    A difference of neighboring coordinates in float16 would be mostly rounding. What a layer multiplies, it casts to
    its `compute_dtype` itself.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument; `autocast` is none."""
        return {key: value for key, value in super().get_config().items() if key != "autocast"}


def at_least_float32(tensor: Tensor) -> Tensor:
    """A tensor of half precision in float32, any other as it is."""
    half = keras.backend.standardize_dtype(tensor.dtype) in ("float16", "bfloat16")
    return ops.cast(tensor, "float32") if half else tensor
