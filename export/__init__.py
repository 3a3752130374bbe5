"""Trained networks as SavedModel folders and LiteRT files, checked, timed and run on a device.

The names are those of `__init__.pyi`, resolved at first use, so that `keras_wcd.export.runtime` comes without
TensorFlow and Keras.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
