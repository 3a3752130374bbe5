"""TensorFlow without types, in place of the partial ones that pyright brings."""

from typing import Any

def __getattr__(name: str) -> Any: ...
