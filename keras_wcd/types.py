"""The few aliases that annotations use."""

from typing import Any

Tensor = Any
"""A tensor of the Keras backend in use, or anything `keras.ops` converts to one."""
