"""Whether a search may run on the host's CPU, and how a NumPy function is called from there."""

import contextlib
import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import keras
import numpy as np
import threadpoolctl

from keras_wcd.parallel import cores
from keras_wcd.types import Tensor

_Result = TypeVar("_Result")

_thread = threading.local()
_device_only = contextvars.ContextVar("keras_wcd_device_only", default=False)
_accelerated = contextvars.ContextVar("keras_wcd_accelerated", default=False)


@contextlib.contextmanager
def device_only(accelerator: bool = False) -> Iterator[None]:
    """Keep host calls out of every graph traced inside this context, as an export needs.

    With `accelerator`, loops are unrolled and rows gathered by flat indices as well, which is what GPU delegates take;
    clouds are then one at a time, of fixed size, and without rows of padding.
    """
    tokens = _device_only.set(True), _accelerated.set(accelerator)
    try:
        yield
    finally:
        _device_only.reset(tokens[0])
        _accelerated.reset(tokens[1])


def exporting() -> bool:
    """True inside `device_only`."""
    return _device_only.get()


def accelerated() -> bool:
    """True inside `device_only(accelerator=True)`."""
    return _accelerated.get()


def available() -> bool:
    """True where a host call is possible and pays: TensorFlow on a CPU, outside XLA, not for export."""
    if keras.config.backend() != "tensorflow" or _device_only.get():
        return False
    import tensorflow as tf
    from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

    if not tf.executing_eagerly() and GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
        return False
    return not (tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def call(function: Callable, *tensors: Tensor, shapes: Iterable[tuple], dtype: str = "int32") -> list[Tensor]:
    """Results of a NumPy `function` that returns arrays of one `dtype` and the given static `shapes`; no gradient."""
    shapes = list(shapes)
    match keras.config.backend():
        case "tensorflow":
            return _call_from_tensorflow(function, tensors, shapes, dtype)
        case "jax":
            import jax

            results = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
            # A callback takes no tangents: its arguments have to be constants, not only its results.
            constants = map(jax.lax.stop_gradient, tensors)
            return list(jax.pure_callback(lambda *a: function(*map(np.asarray, a)), results, *constants))
        case _:
            return [keras.ops.convert_to_tensor(a) for a in function(*map(keras.ops.convert_to_numpy, tensors))]


def _call_from_tensorflow(function: Callable, tensors: tuple, shapes: list[tuple], dtype: str) -> list[Tensor]:
    import tensorflow as tf

    constants = [tf.stop_gradient(t) for t in tensors]
    if tf.executing_eagerly():
        return [tf.constant(a) for a in function(*(t.numpy() for t in constants))]
    with tf.device("CPU:0"):
        results = tf.numpy_function(function, constants, [tf.as_dtype(dtype)] * len(shapes), stateful=False)
    for result, shape in zip(results, shapes, strict=True):
        result.set_shape(shape)
    return results


def parallel(function: Callable[..., _Result], jobs: list[tuple]) -> list[_Result]:
    """`[function(*job) for job in jobs]` on all cores; for functions that release Python's lock.

    Within a job it does its own jobs in turn: a pool whose threads wait for places in it would wait for ever.
    """
    if len(jobs) == 1 or getattr(_thread, "works", False):
        return [function(*job) for job in jobs]
    available = cores()
    share = max(1, available // max(1, len(jobs)))
    return list(_pool(os.getpid(), available // share, share).map(lambda job: function(*job), jobs))


@functools.lru_cache(maxsize=8)
def _pool(process_id: int, workers: int, share: int) -> ThreadPoolExecutor:
    """Threads of this process (a forked child must not wait for its parent's) that use `share` cores each.

    Without the limit each would start OpenMP threads for all cores, and these get into each other's way.
    """

    def begin() -> None:
        _thread.works = True
        threadpoolctl.threadpool_limits(limits=share, user_api="openmp")

    return ThreadPoolExecutor(workers, thread_name_prefix="keras_wcd", initializer=begin)
