"""Value and gradient of LandauCD beside its peers: python benchmarks/losses.py

Every contender is run in turn, round after round, in one process; medians and ratios are printed. Memory is the peak
of a process of its own, over what its imports take. Peers that are not installed are left out.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from pykdtree.kdtree import KDTree
from scipy.spatial import cKDTree

from keras_wcd.export.timing import peak_memory
from keras_wcd.losses import CD, LandauCD
from keras_wcd.ops import kd_tree

MEMORY_CASES = {"landau": (1, 16384), "landau_131072": (1, 131072), "graphics": (1, 16384), "torch": (1, 16384)}


def clouds(batch, points, collapsed=False):
    """An ellipsoid's surface, and the same as a network that has trained for a while predicts it."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=(batch, points, 3))
    true *= np.array([0.3, 0.2, 0.25]) / np.linalg.norm(true, axis=-1, keepdims=True)
    pred = rng.permutation(true, axis=1) + 0.01 * rng.normal(size=true.shape)
    if collapsed:
        pred = 1e-3 * rng.uniform(-1, 1, size=true.shape)
    return true.astype("float32"), pred.astype("float32")


def with_gradient(loss):
    def run(true, pred):
        with tf.GradientTape() as tape:
            tape.watch(pred)
            value = loss(true, pred)
        return value, tape.gradient(value, pred)

    return run


def landau_of_squared(squared):
    d = tf.sqrt(tf.maximum(squared, 1e-12))
    return tf.reduce_mean(tf.exp(-(d + tf.exp(-d)) / 2) / np.sqrt(2 * np.pi) * d)


def brute_landau(true, pred):
    """All pairs by difference: what XLA fuses into one pass."""
    squared = tf.reduce_sum(tf.square(pred[:, :, None] - true[:, None]), axis=-1)
    return landau_of_squared(tf.reduce_min(squared, 2)) + landau_of_squared(tf.reduce_min(squared, 1))


def graphics_contender(true, pred):
    from tensorflow_graphics.nn.loss import chamfer_distance

    run = tf.function(with_gradient(lambda t, p: chamfer_distance.evaluate(t, p)))
    return lambda: run(true, pred)


def torch_contender(true, pred):
    import torch

    torch.set_num_threads(os.cpu_count())
    true = torch.tensor(true.numpy())
    pred = torch.tensor(pred.numpy(), requires_grad=True)

    def run():
        pred.grad = None
        d = torch.cdist(pred, true, compute_mode="donot_use_mm_for_euclid_dist")
        loss = sum((torch.exp(-(m + torch.exp(-m)) / 2) * m).mean() for m in (d.min(1).values, d.min(2).values))
        loss.backward()

    return run


def contenders(batch, points, collapsed=False):
    """What is timed: name -> function, ours first."""
    true, pred = clouds(batch, points, collapsed)
    pairs = list(zip(true, pred, strict=True))
    tf_true, tf_pred = tf.constant(true), tf.constant(pred)
    found = {}
    for name, loss in {"LandauCD": LandauCD(), "CD": CD()}.items():
        run = tf.function(with_gradient(loss))
        found[name] = lambda run=run: run(tf_true, tf_pred)
    found["pykdtree queries alone"] = lambda: [(KDTree(t).query(p), KDTree(p).query(t)) for t, p in pairs]
    workers = os.cpu_count()
    found["SciPy queries alone"] = lambda: [
        (cKDTree(t).query(p, workers=workers), cKDTree(p).query(t, workers=workers)) for t, p in pairs
    ]
    xla = tf.function(with_gradient(brute_landau), jit_compile=True)
    found["XLA, all pairs"] = lambda: xla(tf_true, tf_pred)
    if not collapsed:
        for name, make in {"tensorflow-graphics": graphics_contender, "PyTorch cdist": torch_contender}.items():
            try:
                found[name] = make(tf_true, tf_pred)
            except ImportError as error:
                print(f"{name} left out: {error}")
    return found


def measure(functions, rounds):
    """Median milliseconds of each, taken in turn; slow ones are run in fewer rounds."""
    seconds = {}
    for name, function in functions.items():
        function()
        start = time.perf_counter()
        function()
        seconds[name] = [time.perf_counter() - start]
    for i in range(rounds):
        for name, function in functions.items():
            if seconds[name][0] < 0.5 or i < 1:
                if seconds[name][0] < 0.5:
                    # What ran before may still spin on its threads and hold the caches.
                    function()
                start = time.perf_counter()
                function()
                seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(s) for name, s in seconds.items()}


def compare(title, functions, rounds):
    medians = measure(functions, rounds)
    ours = medians["LandauCD"]
    print(f"\n{title}: milliseconds, value and gradient; ratio to LandauCD")
    for name, median in medians.items():
        print(f"  {name:26s} {median:10.2f} {median / ours:8.2f}x")


def child(case):
    """Print the peak of one case over the imports, and its time."""
    batch, points = MEMORY_CASES[case]
    true, pred = (tf.constant(c) for c in clouds(batch, points))
    if case == "graphics":
        from tensorflow_graphics.nn.loss import chamfer_distance  # noqa: F401
    if case == "torch":
        import torch  # noqa: F401
    # Threads, the tape and the tree's library are loaded before the base is read.
    small = [tf.constant(c) for c in clouds(1, 64)]
    make = {"graphics": graphics_contender, "torch": torch_contender}.get(case)
    if make is None:
        run = tf.function(with_gradient(LandauCD()), reduce_retracing=False)
        run(*small)
        base, start = peak_memory(), time.perf_counter()
        run(true, pred)
    else:
        make(*small)()
        base, start = peak_memory(), time.perf_counter()
        make(true, pred)()
    peak, seconds = (peak_memory() - base) / 2**20, time.perf_counter() - start
    print(f"  {case:26s} {peak:10.0f} MB over the imports, {seconds:6.2f} s once")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--memory", choices=MEMORY_CASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        return child(arguments.memory)
    print(f"{os.cpu_count()} cores, TensorFlow {tf.__version__}, leaf size {kd_tree.LEAF}")
    compare("8 x 2048 x 2048", contenders(8, 2048), arguments.rounds)
    compare("1 x 8192 x 8192", contenders(1, 8192), arguments.rounds)
    compare("1 x 16384 x 16384", contenders(1, 16384), arguments.rounds)
    compare("8 x 2048 x 2048, collapsed", contenders(8, 2048, collapsed=True), arguments.rounds)
    compare("1 x 16384 x 16384, collapsed", contenders(1, 16384, collapsed=True), arguments.rounds)
    print("\nPeak memory of a process")
    for case in MEMORY_CASES:
        subprocess.run([sys.executable, __file__, "--memory", case], check=False, stderr=subprocess.DEVNULL)
    return None


if __name__ == "__main__":
    main()
