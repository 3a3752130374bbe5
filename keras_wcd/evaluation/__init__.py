"""Networks measured on data sets: figures of every sample, tables, pictures, and the published table beside them.

The names are those of `__init__.pyi`, resolved at first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
