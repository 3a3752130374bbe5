"""Forward passes beside PyTorch: python benchmarks/forward.py [--oracles FOLDER] [--networks KEY ...] [--rounds 2]

Seconds of a forward pass of one cloud with two threads, median, of every network in its PCN configuration: under
TensorFlow (`tf.function`) and with the same operations executed by PyTorch (Keras's torch backend, no gradients), each
in a process of its own, in turn. With the recordings, also what the official PyTorch or TensorFlow 1 network took where
they were made: half its processor seconds, as if two threads had shared them perfectly.
"""

import argparse
import importlib.util
import os
import pathlib
import statistics
import subprocess
import sys
import time

THREADS = 2
RECORDED = {"nsfa": "nsfa_rfa"}


def measure(key, passes):
    """Median seconds in this process."""
    import numpy as np

    from keras_wcd.models import BACKBONES

    model = BACKBONES[key]()
    cloud = np.random.default_rng(0).uniform(-0.3, 0.3, (1, model.num_input, 3)).astype("float32")
    if os.environ["KERAS_BACKEND"] == "torch":
        import torch

        torch.set_num_threads(THREADS)
        cloud = torch.from_numpy(cloud)

        def run():
            with torch.no_grad():
                model(cloud, training=False)
    else:
        import tensorflow as tf

        cloud = tf.constant(cloud)
        traced = tf.function(lambda x: model(x, training=False)[-1])

        def run():
            traced(cloud).numpy()

    run()
    seconds = []
    for _ in range(passes):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def in_a_process(key, backend, passes):
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": str(THREADS)}
    environment |= {"TF_NUM_INTRAOP_THREADS": str(THREADS)}
    command = [sys.executable, __file__, "--child", key, "--passes", str(passes)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return float(done.stdout.split()[-1]) if done.returncode == 0 else float("nan")


def official_seconds(folder, key):
    """Half the processor seconds of the official network's forward pass."""
    spec = importlib.util.spec_from_file_location("oracle_util", pathlib.Path(folder) / "oracle_util.py")
    util = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(util)
    return util.load(RECORDED.get(key, key))[1]["forward_s_batch1"]["cpu_s_median"] / THREADS


def main():
    from keras_wcd.models import BACKBONES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracles", help="folder with oracle_util.py and the recordings")
    parser.add_argument("--networks", nargs="+", default=list(BACKBONES))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--child")
    arguments = parser.parse_args()
    if arguments.child:
        print(measure(arguments.child, arguments.passes))
        return
    print("| network | TensorFlow, s | PyTorch, same operations, s | ratio | official, s |\n|---|---|---|---|---|")
    for key in arguments.networks:
        found = {"tensorflow": [], "torch": []}
        for _ in range(arguments.rounds):
            for backend, seconds in found.items():
                seconds.append(in_a_process(key, backend, arguments.passes))
        ours, torch = (min(seconds) for seconds in found.values())
        official = f"{official_seconds(arguments.oracles, key):.2f}" if arguments.oracles else ""
        print(f"| {key} | {ours:.3f} | {torch:.3f} | {ours / torch:.2f} | {official} |", flush=True)


if __name__ == "__main__":
    main()
