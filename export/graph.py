"""The graph of a model that an export holds: one cloud in, the last cloud out, nothing run on the host."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import keras

from keras_wcd.ops import device_only
from keras_wcd.types import Tensor

if TYPE_CHECKING:
    import tensorflow as tf

HOST_OPERATORS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


def answer(model: Callable, points: Tensor) -> Tensor:
    """The last cloud `(B, M, 3)` of what `model` makes of `points` `(B, N, 3)`, in float32.

    Raises:
        ValueError: where that is no cloud.
    """
    output = model(points, training=False)
    if isinstance(output, (list, tuple)) and output:
        output = output[-1]
    shape = getattr(output, "shape", None)
    if shape is None or len(shape) != 3 or shape[-1] != 3:
        found = type(output).__name__ if shape is None else f"shape {tuple(shape)}"
        raise ValueError(
            f"model {_name(model)} must return a cloud of shape (batch, points, 3) or a tuple of such clouds, "
            f"of which the last is exported; got {found}"
        )
    return keras.ops.cast(output, "float32")


def serving_function(
    model: keras.Model, num_points: int, batch: int | None, *, accelerator: bool = False
) -> "tf.types.experimental.GenericFunction":
    """A traced `tf.function` of one signature, `points` `(batch, num_points, 3)` -> the answer.

    With `accelerator`, the library's own operations are written as GPU delegates take them, for a batch of 1.

    Raises:
        ValueError: where Keras's backend is not TensorFlow, the model does not take such clouds, returns none,
            does not compute in float32 or calls the host.
    """
    _check(model, num_points)
    import tensorflow as tf

    signature = [tf.TensorSpec((batch, num_points, 3), tf.float32, name="points")]
    serve = tf.function(lambda points: answer(model, points), input_signature=signature, autograph=False)
    with device_only(accelerator):
        try:
            serve.get_concrete_function()
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise ValueError(
                f"cannot trace model {_name(model)} on clouds ({batch}, {num_points}, 3): {error}"
            ) from error
    found = sorted(graph_operators(serve) & HOST_OPERATORS)
    if found:
        raise ValueError(
            f"model {_name(model)} calls Python on the host ({', '.join(found)}), which no export can hold"
        )
    return serve


def graph_operators(serve: "tf.types.experimental.GenericFunction") -> set[str]:
    """Names of TensorFlow's operators in a traced function and in those that it calls."""
    graph = serve.get_concrete_function().graph.as_graph_def()
    inner = (node for function in graph.library.function for node in function.node_def)
    return {node.op for node in (*graph.node, *inner)}


def batch_size(model: keras.Model) -> int | None:
    """The number of clouds that the model is bound to, or None where any number will do."""
    shape = _input_shape(model)
    return shape[0] if shape else None


def _check(model: keras.Model, num_points: int) -> None:
    if keras.config.backend() != "tensorflow":
        raise ValueError(
            f"export needs Keras's TensorFlow backend, not {keras.config.backend()!r}: "
            "set KERAS_BACKEND=tensorflow and load the model there"
        )
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a keras.Model, got {type(model).__name__}")
    if not isinstance(num_points, int) or num_points < 1:
        raise ValueError(f"num_points must be a positive integer, got {num_points!r}")
    shape = _input_shape(model)
    if shape and len(shape) == 3 and shape[1] not in (None, num_points):
        raise ValueError(f"num_points is {num_points}, but model {_name(model)} takes {shape[1]} points; pass that")
    dtypes = {layer.compute_dtype for layer in model._flatten_layers()} - {"float32"}
    if dtypes & {"float16", "bfloat16"}:
        raise ValueError(
            f"model {_name(model)} computes in {', '.join(sorted(dtypes))}, which builtin operators do not; "
            "build it under the float32 policy and load its weights"
        )


def _input_shape(model: keras.Model) -> tuple | None:
    """The declared shape of the one input, where one is declared."""
    shape = getattr(model, "input_shape", None)
    return shape if isinstance(shape, tuple) and all(n is None or isinstance(n, int) for n in shape) else None


def _name(model: Callable) -> str:
    return repr(getattr(model, "name", type(model).__name__))
