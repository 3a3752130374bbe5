r"""Training on replicas by `tf.distribute`: the same numbers as on one device, for the same batches.

Of a batch of N clouds replica r has $n_r$, and computes the mean loss over them. Minimized is the mean over all,

$$L = \sum_r \frac{n_r}{N} L_r, \qquad g = \sum_r \frac{n_r}{N} \nabla L_r,$$

and the optimizer clips, decays and averages by the one gradient g. Keras's own loop weighs all replicas alike, whatever
their $n_r$, and clips the gradient of each.
"""

import json
import math
import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_wcd.training.collecting import Collected, collecting
from keras_wcd.training.devices import Devices
from keras_wcd.training.optimizers import GuardedAdam

_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


class Replicas(Devices):
    """The replicas of a strategy.

    Args:
        strategy: Of `tf.distribute`.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self.strategy, self.parts = strategy, 1
        self.count = strategy.num_replicas_in_sync
        self._tested: Any = None

    def scope(self):
        return self.strategy.scope()

    def prepared(self, model: keras.Model, parts: int = 1) -> None:
        """Batch normalization is made one over all replicas.

        Args:
            model: The model, compiled.
            parts: Parts in which every replica computes its share of a batch, one after the other.

        Raises:
            ValueError: for a loss that is no mean over the batch, or an optimizer that Keras has put around another.
        """
        self.parts = parts
        for optimizer in _optimizers(model):
            if not isinstance(optimizer, GuardedAdam):
                raise ValueError(
                    f"float16 trains on one device and in one part, for its {type(optimizer).__name__}: take bfloat16"
                )
        network = getattr(model, "generator", model)
        for loss in network._stage_losses:
            if loss is not None and loss.reduction not in _MEANS:
                raise ValueError(f"{loss.name}: reduction={loss.reduction!r} is no mean; replicas share out a mean")
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization) and self.count > 1:
                layer._moments = _moments_of_all(layer)

    def step_function(
        self, model: keras.Model, pair: tuple[np.ndarray, ...]
    ) -> Callable[[tuple[np.ndarray, ...], int], dict[str, float]]:
        """A step on this process's share of a batch: gradients of every replica, their sum, one step by it."""
        step = _Step(self.strategy, model)

        def whole(pair: tuple[np.ndarray, ...], size: int) -> dict[str, float]:
            # A part has a cloud in some replica: batch normalization over none would be NaN.
            parts = min(self.parts, -(-size // self.part[1]))
            shares = [np.array_split(array, parts) for array in pair]
            with self.strategy.scope():
                for part in zip(*shares, strict=True):
                    step.add(self._replicated(part), size)
                step.apply()
                return {name: float(value) for name, value in model.get_metrics_result().items()}

        return whole

    def evaluate(self, model: keras.Model, data: Any, callbacks: keras.callbacks.CallbackList) -> dict[str, float]:
        model.reset_metrics()
        callbacks.on_test_begin()
        index, count = self.part
        model.make_test_function()
        if self._tested is not model.test_function:
            self._tested, self._test = model.test_function, self._test_function(model)
        for pair in data:
            with self.strategy.scope():
                self._test(*self._replicated([np.array_split(array, count)[index] for array in pair]))
        with self.strategy.scope():
            found = {name: float(value) for name, value in model.get_metrics_result().items()}
        callbacks.on_test_end(found)
        return found

    def _test_function(self, model: keras.Model) -> Callable[..., None]:
        def test(*pair: Any) -> None:
            # What Keras answers with is what one replica has seen.
            self.strategy.run(lambda *pair: _nothing(model.test_step(_of_any_size(pair))), args=pair)

        return tf.function(test, reduce_retracing=True, autograph=False)

    def anyone(self, answer: bool) -> bool:
        return bool(self._sum(np.array([answer], np.int32))[0])

    def of_chief(self, array: np.ndarray) -> np.ndarray:
        return self._sum(array if self.chief else np.zeros_like(array))

    def _sum(self, array: np.ndarray) -> np.ndarray:
        """The sum over processes."""
        if self.part[1] == 1:
            return array
        local = self.strategy.extended._num_replicas_in_sync // self.part[1]

        def value(context: Any) -> tf.Tensor:
            first = context.replica_id_in_sync_group % local == 0
            return tf.constant(array if first else np.zeros_like(array))

        values = self.strategy.experimental_distribute_values_from_function(value)
        return np.asarray(self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None))

    def _replicated(self, pair: Any) -> tuple[Any, ...]:
        """Arrays of this process, shared out among its replicas."""
        local = self.count // self.part[1]
        shares = [np.array_split(np.asarray(array), local) for array in pair]
        first = self.part[0] * local

        def values(parts: list[np.ndarray]) -> Any:
            return self.strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(parts[context.replica_id_in_sync_group - first])
            )

        return tuple(values(parts) for parts in shares)


class _Step:
    """One training step in two: gradients of a model on all replicas, then a step of its optimizers.

    Whether there is a second, the process decides: the gradients are finite, or they are not.
    """

    def __init__(self, strategy: tf.distribute.Strategy, model: keras.Model):
        self.strategy, self.model = strategy, model
        self._kept: Collected | None = None
        self._gradients: Any = None
        self._losses: Any = None
        self._gradient = tf.function(self._run, reduce_retracing=True, autograph=False)
        self._apply = tf.function(self._run_apply, autograph=False)
        self._norms = tf.function(self._run_norms, autograph=False)
        self._add = tf.function(lambda a, b: strategy.run(_sums, args=(a, b)), autograph=False)

    def add(self, pair: tuple[Any, ...], size: int) -> None:
        """The gradients for a part of the batch, added to those of the parts before it."""
        found = self._gradient(tf.constant(size, tf.int32), *pair)
        self._gradients = found if self._gradients is None else self._add(self._gradients, found)

    def apply(self) -> None:
        """Step by the gradients, or leave all as it is where one of them, or a loss, is not finite."""
        gradients, self._gradients = self._gradients, None
        norms = [(float(norm), float(loss)) for norm, loss in self._norms(gradients)]
        finite = all(math.isfinite(value) for pair in norms for value in pair)
        for optimizer, (norm, _) in zip(self._optimizers, norms, strict=True):
            optimizer.gradient_norm.assign(norm)
            optimizer.skipped.assign(0.0 if finite else 1.0)
        if finite:
            self._apply(gradients)

    def _run(self, size: tf.Tensor, *pair: Any) -> Any:
        return self.strategy.run(self._of_replica, args=(size, *pair))

    def _of_replica(self, size: tf.Tensor, *pair: tf.Tensor) -> Any:
        with collecting(tf.shape(pair[0])[0], size, self.strategy.num_replicas_in_sync) as collected:
            self.model.train_step(_of_any_size(pair))
        self._optimizers, self._variables = collected.optimizers, collected.variables
        return _reduced((collected.gradients, collected.losses))

    def _run_norms(self, found: Any) -> Any:
        gradients, losses = self.strategy.experimental_local_results(found)[0]
        return [(tf.linalg.global_norm(ours), loss) for ours, loss in zip(gradients, losses, strict=True)]

    def _run_apply(self, found: Any) -> None:
        self.strategy.run(self._apply_of_replica, args=(found,))
        if hasattr(self.model, "after_step"):
            self.model.after_step()

    def _apply_of_replica(self, found: Any) -> None:
        for optimizer, ours, variables in zip(self._optimizers, found[0], self._variables, strict=True):
            optimizer.step(list(ours), variables)


def one_device() -> Replicas:
    """One device, which takes batches in parts."""
    return Replicas(tf.distribute.get_strategy())


class Mirrored(Replicas):
    """All devices of this process: the GPUs, or else the logical processors."""

    def __init__(self):
        _tensorflow_only("mirrored")
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        super().__init__(tf.distribute.MirroredStrategy([d.name for d in tf.config.list_logical_devices(kind)]))


class MultiWorker(Replicas):
    """The devices of all processes that TF_CONFIG names; the first of them is the chief.

    Raises:
        ValueError: where TF_CONFIG does not say who the workers are.
        RuntimeError: where TensorFlow was used before.
    """

    def __init__(self):
        _tensorflow_only("multiworker")
        index, count = _place()
        options = tf.distribute.experimental.CommunicationOptions(
            implementation=tf.distribute.experimental.CommunicationImplementation.RING
        )
        try:
            super().__init__(tf.distribute.MultiWorkerMirroredStrategy(communication_options=options))
        except RuntimeError as error:
            if "program startup" not in str(error):
                raise
            raise RuntimeError(
                'workers must find each other before TensorFlow computes anything: call open_devices("multiworker") '
                "first of all, and give train what it returns"
            ) from error
        self.part, self.chief = (index, count), index == 0

    def lost(self, error: Exception) -> bool:
        gone = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)
        told = isinstance(error, tf.errors.OpError) and "ollective" in str(error)
        return isinstance(error, (*gone, tf.errors.CancelledError)) or told


def _place() -> tuple[int, int]:
    """Number of this worker, and how many there are."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        if task["type"] != "worker" or not 0 <= task["index"] < len(workers):
            raise ValueError(f"task {task}")
        return int(task["index"]), len(workers)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'TF_CONFIG={text!r}: distribute="multiworker" needs it to name all workers and this one, as in '
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
        ) from error


def _tensorflow_only(name: str) -> None:
    if keras.config.backend() != "tensorflow":
        raise RuntimeError(f'distribute="{name}" is TensorFlow\'s: set KERAS_BACKEND=tensorflow')


def _optimizers(model: keras.Model) -> list[Any]:
    found = (model.optimizer, getattr(model, "discriminator_optimizer", None))
    return [optimizer for optimizer in found if optimizer is not None]


def _of_any_size(pair: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
    """Clouds in a batch whose size the graph does not know: it may be none, and rounds alike for all."""
    return tuple(tf.compat.v1.placeholder_with_default(clouds, (None, *clouds.shape[1:])) for clouds in pair)


def _moments_of_all(layer: keras.layers.BatchNormalization) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """Mean and variance over the batch of all replicas, for the method of that name.

    The variance is that of differences to the mean. Keras's own (`synchronized=True`) is the mean of squares less the
    square of the mean, which in float32 cost up to 9e-4 of the loss after 21 steps.
    """

    def moments(inputs: tf.Tensor, mask: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        axes = [axis for axis in range(inputs.shape.rank) if axis != layer.axis % inputs.shape.rank]
        sizes = tf.reduce_prod(tf.gather(tf.shape(inputs), axes))
        total, count = _reduced([tf.reduce_sum(inputs, axes), tf.cast(sizes, inputs.dtype)])
        mean = total / count
        shape = [1 if axis in axes else -1 for axis in range(inputs.shape.rank)]
        squares = tf.square(inputs - tf.reshape(mean, shape))
        return mean, _reduced([tf.reduce_sum(squares, axes)])[0] / count

    return moments


def _reduced(tensors: Any) -> Any:
    """Sums over the replicas; those of one dtype travel together, as TensorFlow wants it."""
    flat, context = tf.nest.flatten(tensors), tf.distribute.get_replica_context()
    summed: dict[int, tf.Tensor] = {}
    for dtype in sorted({tensor.dtype.name for tensor in flat}):
        places = [place for place, tensor in enumerate(flat) if tensor.dtype.name == dtype]
        found = context.all_reduce(tf.distribute.ReduceOp.SUM, [flat[place] for place in places])
        summed |= dict(zip(places, found, strict=True))
    return tf.nest.pack_sequence_as(tensors, [summed[place] for place in range(len(flat))])


def _sums(a: Any, b: Any) -> Any:
    return tf.nest.map_structure(tf.add, a, b)


def _nothing(_: Any) -> None:
    """An answer that no replica needs."""
