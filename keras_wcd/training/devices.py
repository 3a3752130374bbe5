"""What a training run computes on: one device, several of this process, or those of many processes."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np

from keras_wcd.data.datasets.base import Dataset
from keras_wcd.data.pipeline.batches import Batches


class WorkerLostError(RuntimeError):
    """Another worker of a run ended or fell silent."""


class Devices:
    """One device, the framework's first; the base of the others.

    Attributes:
        chief: Whether this process writes the files of the run.
        part: (index, count): this process loads the index-th of `count` parts of every batch.
    """

    chief = True
    part = (0, 1)

    def scope(self) -> AbstractContextManager[Any]:
        """Within it models are made and compiled."""
        return contextlib.nullcontext()

    def prepared(self, model: keras.Model, parts: int = 1) -> None:
        """Make a compiled model ready for its first step, each in so many parts.

        Raises:
            ValueError: for a model, or a number of parts, that cannot be trained on these devices.
        """
        if parts > 1:
            raise ValueError(f"accumulate={parts}: batches go through the network in parts on TensorFlow only")

    def batches(self, batches: Batches, epoch: int, first: int) -> Iterator[tuple[np.ndarray, ...]]:
        """What this process loads of the batches of a pass."""
        return batches.of_epoch(epoch, first, part=self.part)

    def step_function(
        self, model: keras.Model, pair: tuple[np.ndarray, ...]
    ) -> Callable[[tuple[np.ndarray, ...], int], dict[str, float]]:
        """A training step on pairs like this one, of any number; `(pair, pairs of the whole batch) -> figures`."""
        if keras.config.backend() == "tensorflow":
            step = tensorflow_step(model, pair)
        else:
            step = lambda *pair: model.train_on_batch(*pair, return_dict=True)  # noqa: E731
        return lambda pair, size: {name: float(value) for name, value in step(*pair).items()}

    def evaluate(self, model: keras.Model, data: Any, callbacks: keras.callbacks.CallbackList) -> dict[str, float]:
        """Means of the figures over all pairs of a split; `data` are batches that can be gone through many times."""
        options: dict[str, Any] = {"verbose": 0, "callbacks": callbacks, "return_dict": True}
        if keras.config.backend() != "tensorflow":
            data, options["steps"] = iter(data), len(data)
        found: Any = model.evaluate(data, **options)
        return {name: float(value) for name, value in found.items()}

    def lost(self, error: Exception) -> bool:
        """Whether an error says that another worker is gone."""
        return False

    def anyone(self, answer: bool) -> bool:
        """Whether any process answers yes; all must ask at the same place."""
        return answer

    def of_chief(self, array: np.ndarray) -> np.ndarray:
        """The chief's array, of the same shape and type in every process."""
        return array

    def state_of_chief(self, state: Any) -> Any:
        """What the chief has, of what JSON can say."""
        text = np.frombuffer(json.dumps(state).encode(), np.uint8).astype(np.int32)
        size = int(self.of_chief(np.array([len(text)], np.int32))[0])
        text = np.resize(text, size)
        return json.loads(self.of_chief(text).astype(np.uint8).tobytes())


def tensorflow_step(model: keras.Model, pair: tuple[np.ndarray, ...]) -> Callable[..., dict[str, Any]]:
    """A training step for pairs like this one, of any number in a batch.

    Keras traces the first size of a batch and then all others: a run that begins at a batch that is not full would
    compute by other graphs than one that began before, and round otherwise.
    """
    import tensorflow as tf

    def step(*pair: Any) -> dict[str, Any]:
        return model.train_step(pair)

    if model.run_eagerly:
        return lambda *pair: step(*map(tf.convert_to_tensor, pair))
    signature = [tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in pair]
    return tf.function(step, input_signature=signature, jit_compile=model.jit_compile, autograph=False)


class DataParallel(Devices):
    """All devices that JAX sees, of this process or of many, by Keras's own `DataParallel`.

    Several processes find one another by `keras.distribution.initialize`, which reads KERAS_DISTRIBUTION_JOB_ADDRESSES
    (that of the first), KERAS_DISTRIBUTION_NUM_PROCESSES and KERAS_DISTRIBUTION_PROCESS_ID; it is called here, where
    these are set and JAX has not been told before. A batch that cannot be divided among the devices is computed whole
    by each.

    Raises:
        RuntimeError: if Keras's backend is not JAX, or where JAX has computed before the processes found one another.
    """

    def __init__(self):
        if keras.config.backend() != "jax":
            raise RuntimeError('distribute="data_parallel" is JAX\'s: set KERAS_BACKEND=jax, or take "mirrored"')
        import jax

        if os.environ.get("KERAS_DISTRIBUTION_JOB_ADDRESSES") and not jax.distributed.is_initialized():
            keras.distribution.initialize()
        self.count, self.processes = jax.device_count(), jax.process_count()
        self.chief, self._index = jax.process_index() == 0, jax.process_index()
        self.distribution = keras.distribution.DataParallel(devices=keras.distribution.list_devices())

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """The distribution is Keras's global one."""
        with self._sharing(0):
            yield

    def step_function(self, model, pair):
        """As one device's, on the whole batch in every process."""

        def step(pair: tuple[np.ndarray, ...], size: int) -> dict[str, float]:
            with self._sharing(size):
                mine = pair if size % self.count else self._own(pair)
                found: Any = model.train_on_batch(*mine, return_dict=True)
            return {name: float(value) for name, value in found.items()}

        return step

    def evaluate(self, model, data, callbacks):
        """Every process computes the whole split: figures are sums over batches that need not be divisible."""
        with self._sharing(1 if self.count > 1 else 0):
            return super().evaluate(model, data, callbacks)

    @contextlib.contextmanager
    def _sharing(self, size: int) -> Iterator[None]:
        """Keras divides a batch of this size, or leaves it whole where it cannot be divided."""
        before = keras.distribution.distribution()
        keras.distribution.set_distribution(None if size % self.count else self.distribution)
        try:
            yield
        finally:
            keras.distribution.set_distribution(before)

    def _own(self, pair: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        return tuple(np.array_split(array, self.processes)[self._index] for array in pair)


def validation_batches(dataset: Dataset, batch_size: int, **options: Any) -> Any:
    """The split "val" as `Devices.evaluate` takes it; the options are those of `Batches`."""
    if keras.config.backend() == "tensorflow":
        return dataset.to_tf_data("val", batch_size, **options)
    return Batches(dataset, "val", batch_size, **options)
