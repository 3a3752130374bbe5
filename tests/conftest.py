"""Two logical CPU devices, so that tests of several replicas run on one machine; memory given back between files."""

import gc

import keras
import pytest

if keras.config.backend() == "tensorflow":
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(scope="module", autouse=True)
def memory(request):
    """Drop networks that a file's functions remember, graphs and compiled programs when the file is done."""
    yield
    for value in vars(request.module).values():
        if hasattr(value, "cache_clear") and getattr(value, "__module__", None) == request.module.__name__:
            value.cache_clear()
    keras.backend.clear_session()
    if keras.config.backend() == "jax":
        import jax

        jax.clear_caches()
    gc.collect()
