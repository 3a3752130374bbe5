"""The table of networks: python benchmarks/networks.py [--oracles FOLDER] [--networks KEY ...]

For each row of BACKBONES: parameters, output sizes, largest and median distance by point to the recorded output of the
official network (with the folder of recordings), seconds of a forward pass of one cloud, size and latency of the LiteRT
file. Markdown goes to standard output, a row as soon as it is known.
"""

import argparse
import importlib.util
import os
import pathlib
import re
import statistics
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from scipy.spatial import KDTree

from keras_wcd.export import benchmark, to_tflite, verify
from keras_wcd.models import BACKBONES, load_official_weights

RECORDED = {"nsfa": "nsfa_rfa"}
HEADER = [
    *("network", "paper", "parameters", "stages", "official weights"),
    *("distance to official: median, largest; mean as sets", "forward s", "LiteRT MB", "LiteRT ms", "LiteRT distance"),
]


def recorded(folder, key):
    """Arrays, description and weights of the official network's recording."""
    path = pathlib.Path(folder) / "oracle_util.py"
    spec = importlib.util.spec_from_file_location("oracle_util", path)
    util = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(util)
    arrays, meta = util.load(RECORDED.get(key, key))
    return arrays, meta, util.weights(meta)


def noise_of(model, arrays):
    """The recorded draws that the network knows by name."""
    return {key: arrays[f"noise/{key}"] for key in model.draw_keys if f"noise/{key}" in arrays}


def parity(model, folder, key):
    """Official arrays loaded, distances of points to their places, mean distance to the nearest official point."""
    arrays, meta, weights = recorded(folder, key)
    load_official_weights(model, weights)
    inputs = next(name for name in arrays if name.startswith("in/") and arrays[name].shape[-1] == 3)
    partial = arrays[inputs]
    if "in/mean_feature" in arrays:
        outputs = model({"partial": partial, "mean_feature": arrays["in/mean_feature"]})
    else:
        outputs = model(partial, noise=noise_of(model, arrays))
    answer = outputs[-1].numpy()
    same = [a for name, a in arrays.items() if name.startswith("out/") and a.shape == answer.shape]
    expected = min(same, key=lambda a: np.median(np.linalg.norm(answer - a, axis=-1)))
    pairs = zip(answer, expected, strict=True)
    as_sets = np.mean([KDTree(b).query(a)[0].mean() + KDTree(a).query(b)[0].mean() for a, b in pairs]) / 2
    return len(weights), np.linalg.norm(answer - expected, axis=-1), as_sets


def forward_seconds(model, rounds=5):
    partial = tf.random.uniform((1, model.num_input, 3), -0.3, 0.3, seed=0)
    run = tf.function(lambda x: model(x, training=False)[-1])
    run(partial)
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        run(partial)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def exported(model):
    """Bytes, milliseconds and distance to the network's answer of the float32 file, as `verify` accepts it."""
    with tempfile.TemporaryDirectory() as folder:
        path = to_tflite(model, pathlib.Path(folder) / "model.tflite", num_points=model.num_input)
        cloud = np.random.default_rng(0).uniform(-0.3, 0.3, (1, model.num_input, 3)).astype("float32")
        timed = benchmark(path, runs=5)
        try:
            checked = verify(model, path, cloud)
        except ValueError as error:
            return timed.size / 2**20, timed.latency_median, f"refused: {error}"
    distance = f"{checked.largest_distance:.0e}"
    if checked.rounding_distance is not None:
        distance += f" (rounding: {checked.rounding_distance:.0e})"
    return timed.size / 2**20, timed.latency_median, distance


def row(key, folder):
    model = BACKBONES[key]()
    paper = re.search(r"\(([^()]*\b(?:19|20)\d\d)\)", _module_doc(model))
    cells = [key, paper.group(1) if paper else "", f"{sum(int(np.prod(v.shape)) for v in model.trainable_variables):,}"]
    cells.append(" → ".join(str(stage.shape[1]) for stage in model.outputs))
    if folder:
        loaded, distance, as_sets = parity(model, folder, key)
        cells.append(f"{loaded} arrays loaded")
        cells.append(f"{np.median(distance):.0e}, {distance.max():.0e}; {as_sets:.0e}")
    else:
        cells += ["not tried", "not measured"]
    cells.append(f"{forward_seconds(model):.3f}")
    size, latency, distance = exported(model)
    return [*cells, f"{size:.1f}", f"{latency:.0f}", distance]


def _module_doc(model):
    return sys.modules[type(model).__module__].__doc__ or ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracles", help="folder with oracle_util.py and the recordings")
    parser.add_argument("--networks", nargs="+", choices=BACKBONES, default=list(BACKBONES))
    arguments = parser.parse_args()
    print("| " + " | ".join(HEADER) + " |\n|" + "---|" * len(HEADER), flush=True)
    for key in arguments.networks:
        print("| " + " | ".join(row(key, arguments.oracles)) + " |", flush=True)


if __name__ == "__main__":
    main()
