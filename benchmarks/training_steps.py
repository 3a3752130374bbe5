"""Training steps: python benchmarks/training_steps.py [--networks KEY ...] [--ways plain jit pytorch] [--full BATCH]

Milliseconds of a step (forward, CD-L1, backward, Adam, as the recipe says; median), the share of the cores that it
keeps busy, system time and page faults, each contender in processes of its own, in turn. `plain` is what `train` does;
`jit` compiles the step by XLA; `bfloat16` computes in mixed precision; `pytorch` has PyTorch execute the same
operations (Keras's torch backend; `--torch PYTHON` names an interpreter that has it). Networks are those of the small
recipes in batches of 16; `--full BATCH` takes those of the published ones. `--profile` names the operations that cost
most.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

THREADS = 2
BACKENDS = {"plain": "tensorflow", "jit": "tensorflow", "bfloat16": "tensorflow", "pytorch": "torch"}


def made(key, full):
    """A compiled network, and the points and the pairs of a batch."""
    import keras

    from keras_wcd.losses import CD
    from keras_wcd.models import MirrorNet
    from keras_wcd.training import RECIPES, small
    from keras_wcd.training.by_recipe import compiled

    if key == "mirrornet":
        model = MirrorNet()
        model.compile(keras.optimizers.Adam(1e-3), loss=CD())
        model.optimizer.build(model.trainable_variables)
        return model, 8, 2048
    recipe = replace(RECIPES[key], batch_size=full) if full else small(key)
    return compiled(recipe, CD()), recipe.batch_size, 16384 if full else 2048


def steps_of(key, way, full):
    """A function that makes a step, in this process."""
    import keras
    import numpy as np

    if way == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    keras.utils.set_random_seed(0)
    model, size, truth = made(key, full)
    model.jit_compile = way == "jit"
    rng = np.random.default_rng(0)
    num_input = getattr(model, "generator", model).num_input
    pair = [rng.uniform(-0.3, 0.3, (size, n, 3)).astype("float32") for n in (num_input, truth)]
    if way == "pytorch":
        import torch

        torch.set_num_threads(THREADS)
        return lambda: model.train_on_batch(*pair)
    from keras_wcd.training.devices import tensorflow_step

    step = tensorflow_step(model, pair)
    return lambda: {name: float(value) for name, value in step(*pair).items()}


def measure(key, way, full, count):
    """Figures of a step in this process."""
    step = steps_of(key, way, full)
    for _ in range(3):
        step()
    seconds, before, used = [], resource.getrusage(resource.RUSAGE_SELF), time.process_time()
    for _ in range(count):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    used = time.process_time() - used
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "ms": 1000 * statistics.median(seconds),
        "busy": used / sum(seconds) / THREADS,
        "system": (after.ru_stime - before.ru_stime) / max(used, 1e-9),
        "faults": (after.ru_minflt - before.ru_minflt) / count,
        "peak": after.ru_maxrss / 1024,
    }


def profile(key, way, full):
    """Milliseconds of the kinds of operations that cost most, on all threads together."""
    import pathlib
    import tempfile

    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    step = steps_of(key, way, full)
    for _ in range(3):
        step()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(3):
            step()
        tf.profiler.experimental.stop()
        spent, calls = Counter(), Counter()
        for path in pathlib.Path(folder).rglob("*.xplane.pb"):
            for plane in xplane_pb2.XSpace.FromString(path.read_bytes()).planes:
                for line in plane.lines:
                    for event in line.events:
                        # "name in the graph:kind"
                        _, _, kind = plane.event_metadata[event.metadata_id].name.partition(":")
                        if kind and kind.isidentifier():
                            spent[kind] += event.duration_ps / 3e9
                            calls[kind] += 1 / 3
    total = sum(spent.values())
    print(f"{key}: {total:.0f} ms of operations a step")
    for kind, took in spent.most_common(12):
        print(f"  {kind:28s} {took:7.1f} ms  {100 * took / total:4.1f} %  {calls[kind]:5.0f} calls")


def in_a_process(key, way, arguments):
    environment = {**os.environ, "KERAS_BACKEND": BACKENDS[way], "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment |= {"OMP_NUM_THREADS": str(THREADS), "TF_NUM_INTRAOP_THREADS": str(THREADS)}
    python = arguments.torch if way == "pytorch" and arguments.torch else sys.executable
    words = [python, __file__, "--child", key, way, "--full", str(arguments.full), "--steps", str(arguments.steps)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["pcn", "mirrornet", "seedformer", "pointattn"])
    parser.add_argument("--ways", nargs="+", choices=BACKENDS, default=["plain", "jit"])
    parser.add_argument("--full", type=int, default=0, metavar="BATCH")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--torch", metavar="PYTHON")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--child", nargs=2)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(*arguments.child, arguments.full, arguments.steps)))
        return
    if arguments.profile:
        for key in arguments.networks:
            profile(key, arguments.ways[0], arguments.full)
        return
    print("| network | way | ms | ratio | cores busy, % | system, % | faults | peak, MB |")
    print("|---|---|---|---|---|---|---|---|")
    for key in arguments.networks:
        found = {way: [] for way in arguments.ways}
        for _ in range(arguments.rounds):
            for way, rows in found.items():
                rows.append(in_a_process(key, way, arguments))
        base = None
        for way, rows in found.items():
            rows = [row for row in rows if row]
            if not rows:
                print(f"| {key} | {way} | fails |", flush=True)
                continue
            row = min(rows, key=lambda row: row["ms"])
            base = base or row["ms"]
            shares = " | ".join(f"{100 * row[name]:.0f}" for name in ("busy", "system"))
            figures = f"{row['ms']:.0f} | {row['ms'] / base:.2f} | {shares} | {row['faults']:.0f} | {row['peak']:.0f}"
            print(f"| {key} | {way} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
