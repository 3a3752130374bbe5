"""Two logical CPU devices, so that tests of several replicas run on one machine; memory given back between files;
a line in the summary where recordings are missing."""

import gc

import keras
import pytest
from shared import SHARED

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


def pytest_terminal_summary(terminalreporter):
    """Say how many tests wait for files that do not ship; a clone has none of them."""
    if SHARED.is_dir():
        return
    reasons = [str(report.longrepr[-1]) for report in terminalreporter.stats.get("skipped", [])]
    waiting = sum("shared/" in reason.replace("\\", "/") for reason in reasons)
    terminalreporter.section("recordings")
    terminalreporter.line(f"recordings beside the checkout are missing: {waiting} tests skipped, for want of {SHARED}")
