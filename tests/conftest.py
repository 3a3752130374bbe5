"""Two logical CPU devices, so that tests of several replicas run on one machine; slow files first; memory given back
between files; a line in the summary where recordings are missing."""

import ctypes
import gc
import os
import sys
import tempfile

import keras
import pytest
from shared import SHARED

# The pools of oneDNN hold what the largest network took until the process ends.
os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")

if keras.config.backend() == "tensorflow":
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

SLOWEST = (
    "training/test_resume.py",
    "models/test_backbones.py",
    "models/test_parity.py",
    "training/test_by_recipe.py",
    "models/test_arguments.py",
    "training/test_adversarial.py",
    "training/test_plain.py",
    "losses/test_losses.py",
    "losses/test_unusual_clouds.py",
    "losses/test_compiled_losses.py",
    "test_complete.py",
    "training/test_recorded.py",
)
"""A long file that starts last leaves one of two processes without work."""

PROGRAMS = "JAX_COMPILATION_CACHE_DIR"


def pytest_configure(config):
    """Keep the order of the files under xdist, which else follows their numbers of tests, not how long they take;
    let the processes of a run, and its files, share the programs that JAX compiles."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False
    if sys.platform == "linux":
        config.pluginmanager.register(Trim())
    if keras.config.backend() != "jax":
        return
    import jax

    if PROGRAMS not in os.environ:
        config.compiled = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        # Processes that xdist or a test starts find the folder here.
        os.environ[PROGRAMS] = config.compiled.name
    jax.config.update("jax_compilation_cache_dir", os.environ[PROGRAMS])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def pytest_unconfigure(config):
    if hasattr(config, "compiled"):
        config.compiled.cleanup()
        del os.environ[PROGRAMS]


def pytest_collection_modifyitems(items):
    order = {name: place for place, name in enumerate(SLOWEST)}
    here = os.path.dirname(__file__)
    items.sort(key=lambda item: order.get(os.path.relpath(item.path, here).replace(os.sep, "/"), len(order)))


@pytest.fixture(scope="module", autouse=True)
def memory(request):
    """Drop networks that a file's functions remember, graphs and compiled programs when the file is done."""
    yield
    for value in vars(request.module).values():
        if hasattr(value, "cache_clear") and getattr(value, "__module__", None) == request.module.__name__:
            value.cache_clear()
    # A collection takes as long as there are objects in the process, tens of seconds in the end; `Trim` makes it where
    # memory has grown.
    keras.backend.clear_session(free_memory=sys.platform != "linux")
    if keras.config.backend() == "jax":
        import jax

        jax.clear_caches()


def resident():
    """MB of memory that this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Trim:
    """Hand freed memory back after a file or a test since which the process has grown by much (MB): the C library keeps
    what is freed in small pieces, and networks at their full size leave gigabytes of it."""

    file, test, held = 100, 512, 0.0

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item, nextitem):
        much = self.test if nextitem is not None and nextitem.path == item.path else self.file
        if resident() < self.held + much:
            return
        gc.collect()
        # Libraries other than glibc have no such function.
        getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)
        self.held = resident()


def pytest_terminal_summary(terminalreporter):
    """Say how many tests wait for files that do not ship; a clone has none of them."""
    if SHARED.is_dir():
        return
    reasons = [str(report.longrepr[-1]) for report in terminalreporter.stats.get("skipped", [])]
    waiting = sum("shared/" in reason.replace("\\", "/") for reason in reasons)
    terminalreporter.section("recordings")
    terminalreporter.line(f"recordings beside the checkout are missing: {waiting} tests skipped, for want of {SHARED}")
