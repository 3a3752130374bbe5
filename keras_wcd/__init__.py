"""Point cloud completion with weighted Chamfer distances, for Keras 3.

The names are those of `__init__.pyi`, which editors and type checkers read; each is resolved at first use, so that
what needs no framework loads none.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
