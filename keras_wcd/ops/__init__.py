"""Functions of point tensors: neighbors, sampling, grouping, interpolation.

The names are those of `__init__.pyi`, resolved at first use: what needs only NumPy (`keras_wcd.ops.sampling`) loads
no framework.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
