"""Clouds to train and test on: files, data sets, virtual scans. Knows no network and no loss.

The names are those of `__init__.pyi`, resolved at first use; nothing here loads a framework before `to_tf_data` does.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
