"""Samples per second of the pipeline beside a loader that does everything anew: python benchmarks/pipeline.py

A tree in PCN's layout is built from real shapes (`--shapes`, an .npz with `complete` and `partial`; random ellipsoids
where it is absent), ascii .pcd files as they are published. Both loaders give batches of scans resampled to 2048
points and ground truth whose every prefix is a farthest point sampling. The naive one reads, resamples and orders each
pair at every pass, in `tf.data` with as many threads; the pipeline orders once, which is timed on its own.
The two take turns; medians of the rounds and their ratio are printed.
"""

import argparse
import json
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from keras_wcd.data import PCN, Augment, fps_order, read_points, resample, write_points
from keras_wcd.parallel import cores

SHAPES = pathlib.Path(__file__).parents[2] / "shared" / "data" / "real8_val.npz"
TRUTH = (2048, 8192, 16384)
VIEWS = 4


def clouds(path, count):
    """Complete clouds `(count, 16384, 3)` and scans `(count, VIEWS, N, 3)`."""
    if path.is_file():
        with np.load(path, allow_pickle=False) as archive:
            complete, partial = (archive[key][:count].astype("float32") for key in ("complete", "partial"))
            return complete, partial[:, :VIEWS, :1200]
    rng = np.random.default_rng(0)
    complete = rng.normal(size=(count, 16384, 3)).astype("float32")
    complete *= np.array([0.3, 0.2, 0.25], "float32") / np.linalg.norm(complete, axis=-1, keepdims=True)
    return complete, np.stack([complete[:, i::VIEWS][:, :1200] for i in range(VIEWS)], axis=1)


def build(root, complete, partial, encoding):
    """A tree in PCN's layout."""
    ids = [f"{i:04d}" for i in range(len(complete))]
    for i, id in enumerate(ids):
        (root / "train" / "complete" / "02691156").mkdir(parents=True, exist_ok=True)
        write_points(root / "train" / "complete" / "02691156" / f"{id}.pcd", complete[i], encoding=encoding)
        scans = root / "train" / "partial" / "02691156" / id
        scans.mkdir(parents=True)
        for view in range(VIEWS):
            write_points(scans / f"{view:02d}.pcd", partial[i, view], encoding=encoding)
    row = {"taxonomy_id": "02691156", "taxonomy_name": "airplane", "train": ids, "val": [], "test": []}
    (root / "PCN.json").write_text(json.dumps([row]))


def naive(root, count, batch, points):
    """Read, resample and order every pair at every pass."""

    def load(index):
        id, view = f"{index // VIEWS:04d}", index % VIEWS
        scan = read_points(root / "train" / "partial" / "02691156" / id / f"{view:02d}.pcd")
        truth = read_points(root / "train" / "complete" / "02691156" / f"{id}.pcd")
        # The stages of a network ask for 2048 points at most, or for all.
        truth = truth[fps_order(truth, min(len(truth), max(points if points < len(truth) else 0, 2048)))][:points]
        return resample(scan, 2048, seed=int(index)).astype("float32"), truth.astype("float32")

    order = tf.data.Dataset.range(count).shuffle(count, seed=0)
    pairs = order.map(
        lambda index: tf.numpy_function(load, [index], (tf.float32, tf.float32)), num_parallel_calls=tf.data.AUTOTUNE
    )
    return pairs.batch(batch).prefetch(tf.data.AUTOTUNE)


def rate(data, samples):
    """Samples per second of pass after pass; the first batch, before which threads and caches start, is not timed."""
    batches = iter(data.repeat())
    next(batches)
    start, seen = time.perf_counter(), 0
    while seen < samples:
        seen += len(next(batches)[0])
    return seen / (time.perf_counter() - start)


def compare(root, count, points, arguments):
    with tempfile.TemporaryDirectory() as cache:
        options = {"truth_points": points, "cache_dir": cache, "augment": Augment(mirror=True, rotate_up=10)}
        start = time.perf_counter()
        ours = PCN(root, views="all").to_tf_data("train", arguments.batch, **options)
        first = time.perf_counter() - start
        theirs = naive(root, count, arguments.batch, points)
        rates = {"pipeline": [], "naive": []}
        for _ in range(arguments.rounds):
            rates["pipeline"].append(rate(ours, arguments.samples))
            rates["naive"].append(rate(theirs, arguments.naive_samples))
        pipeline, slow = (statistics.median(rates[name]) for name in ("pipeline", "naive"))
        print(
            f"truth {points:6d}: pipeline {pipeline:8.0f} samples/s, naive {slow:7.1f} samples/s, "
            f"ratio {pipeline / slow:6.0f}; ordered once in {first:.1f} s"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=pathlib.Path, default=SHAPES)
    parser.add_argument("--count", type=int, default=29)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--naive-samples", type=int, default=32)
    parser.add_argument("--truth", type=int, nargs="+", default=TRUTH)
    parser.add_argument("--encoding", default="ascii", choices=["ascii", "binary"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        complete, partial = clouds(arguments.shapes, arguments.count)
        build(pathlib.Path(root), complete, partial, arguments.encoding)
        print(f"{len(complete)} shapes x {VIEWS} scans, {arguments.encoding} .pcd, {cores()} cores")
        for points in arguments.truth:
            compare(pathlib.Path(root), VIEWS * len(complete), points, arguments)


if __name__ == "__main__":
    main()
