"""Farthest point sampling in a LiteRT file: python benchmarks/device_sampling.py

Milliseconds (best of three, one thread) of the exported operation, and of the same loop taking the coordinates from
`(B, N, 3)` at every step, in turn; both must choose the same points.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import ops

from keras_wcd.ops import farthest_point_sampling, gather_points


def sliced(points, count):
    """The loop with coordinates sliced at every step."""

    def step(k, state):
        chosen, distance, points, slots = state
        latest = gather_points(points, chosen[:, -1:])
        away = [ops.square(ops.expand_dims(latest[..., i], 2) - ops.expand_dims(points[..., i], 1)) for i in range(3)]
        distance = ops.minimum(distance, (away[0] + away[1] + away[2])[:, 0])
        farthest = tf.argmax(distance, axis=-1, output_type=tf.int32)[:, None]
        return ops.where(slots >= k, farthest, chosen), distance, points, slots

    distance = ops.full_like(points[..., 0], np.inf)
    state = (ops.zeros((1, count), "int32"), distance, points, ops.arange(count, dtype="int32"))
    return ops.fori_loop(1, count, step, state)[0]


def measured(sample, cloud, count):
    """Best seconds of three, and the choice."""
    traced = tf.function(lambda p: sample(p, count), input_signature=[tf.TensorSpec(cloud.shape)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function()])
    interpreter = Interpreter(model_content=converter.convert(), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], cloud)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        interpreter.invoke()
        seconds.append(time.perf_counter() - began)
    return min(seconds), interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def main():
    print("| points | chosen | rows of their own, ms | sliced, ms | ratio |\n|---|---|---|---|---|")
    for points, count in ((2048, 512), (16384, 1024)):
        cloud = np.random.default_rng(0).uniform(-0.5, 0.5, (1, points, 3)).astype("float32")
        ours, chosen = measured(lambda p, n: farthest_point_sampling(p, n, method="loop"), cloud, count)
        theirs, same = measured(sliced, cloud, count)
        np.testing.assert_array_equal(chosen, same)
        print(f"| {points} | {count} | {ours * 1e3:.1f} | {theirs * 1e3:.1f} | {theirs / ours:.0f} |", flush=True)


if __name__ == "__main__":
    main()
