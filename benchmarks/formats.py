"""Networks in every format: python benchmarks/formats.py FILE.npz [--networks default pcn ...] [--small] [--scans 29]

FILE holds real scans `partial` (S, V, N, 3) and their shapes `complete` (S, M, 3), as benchmarks/preset.py takes them;
one view of each is taken. For each network and format: size, milliseconds of a scan with one and two threads beside
TensorFlow's graph with two, the change of CD-L1 to the truth in per cent, and the file's operators. `default` is the
preset that ships; other networks have their first weights, so that the change is that of an untrained network.
`--small` takes the networks of the small recipes.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_wcd import export
from keras_wcd.metrics import float64
from keras_wcd.models import BACKBONES, CompletionModel
from keras_wcd.training.small_recipes import NETWORKS

FORMATS = ("float32", "float16", "dynamic", "dynamic4", "int8", "gpu", "onnx")
POINTS = 2048
PROGRAM = """
import sys, time, numpy, statistics
from keras_wcd.export.onnx_file import open_onnx
run, points = open_onnx(sys.argv[1])
cloud = numpy.random.default_rng(0).uniform(-0.3, 0.3, (1, points, 3)).astype("float32")
run(cloud)
seconds = []
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    run(cloud)
    seconds.append(time.perf_counter() - start)
print(1000 * statistics.median(seconds))
"""


def made(name, small):
    if name == "default":
        return CompletionModel.from_preset(name)
    keras.utils.set_random_seed(0)
    return BACKBONES[name](**({"num_input": 512, **NETWORKS[name]} if small else {}))


def resampled(scans, count):
    """As `complete` does it, in the frame in which they are."""
    from keras_wcd.frames import resample

    return np.stack([resample(scan, count) for scan in scans])


def error(answers, truths):
    """Mean CD-L1 x 1000."""
    return statistics.fmean(
        float64.figures(truth, answer, ["cd_l1"])["cd_l1"] for truth, answer in zip(truths, answers, strict=True)
    )


def written(model, kind, folder, scans):
    path = pathlib.Path(folder) / f"{model.name}_{kind}{'.onnx' if kind == 'onnx' else '.tflite'}"
    if kind == "onnx":
        return export.to_onnx(model, path, num_points=model.num_input)
    options = {"num_points": model.num_input}
    if kind == "gpu":
        options["target"] = "gpu"
    elif kind != "float32":
        options["quantization"] = kind
    if kind == "int8":
        options["calibration"] = scans
    return export.to_tflite(model, path, **options)


def answers_of(path, scans):
    if path.suffix == ".onnx":
        run, _ = export.onnx_file.open_onnx(path)
        return [np.asarray(run(scan[None])).reshape(-1, 3) for scan in scans]
    run = export.runtime.Model(path, threads=2)
    return [run(scan) for scan in scans]


def milliseconds(path, threads, runs):
    if path.suffix == ".tflite":
        return export.benchmark(path, runs=runs, threads=threads).latency_median
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = ["taskset", "-c", "0" if threads == 1 else "0,1", sys.executable, "-c", PROGRAM, str(path), str(runs)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def tensorflow_ms(model, runs):
    import tensorflow as tf

    graph = tf.function(lambda x: model(x, training=False)[-1])
    cloud = tf.random.uniform((1, model.num_input, 3), -0.3, 0.3, seed=0)
    graph(cloud)
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        graph(cloud).numpy()
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--networks", nargs="+", default=["default", *BACKBONES], choices=["default", *BACKBONES])
    parser.add_argument("--formats", nargs="+", default=FORMATS, choices=FORMATS)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--scans", type=int, default=29)
    parser.add_argument("--runs", type=int, default=10)
    arguments = parser.parse_args()
    stored = np.load(arguments.data, allow_pickle=False)
    partial = stored["partial"][: arguments.scans, 0].astype(np.float32)
    rng = np.random.default_rng(0)
    truths = [shape[rng.permutation(len(shape))[:POINTS]] for shape in stored["complete"].astype(np.float32)]
    print("| network | format | MB | ms, 1 thread | ms, 2 threads | TensorFlow, ms | change of CD-L1, % | operators |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.networks:
        model = made(name, arguments.small)
        scans = resampled(partial, model.num_input)
        exact = error(model.predict(scans, batch_size=4, verbose=0), truths[: len(scans)])
        graph = tensorflow_ms(model, arguments.runs)
        for kind in arguments.formats:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    path = written(model, kind, folder, scans)
                except ValueError as refused:
                    print(f"| {name} | {kind} | {str(refused).splitlines()[0][:120]} |", flush=True)
                    continue
                change = 100 * (error(answers_of(path, scans), truths[: len(scans)]) / exact - 1)
                times = " | ".join(f"{milliseconds(path, threads, arguments.runs):.1f}" for threads in (1, 2))
                kinds = len(export.operators(path)) if path.suffix == ".tflite" else ""
                size = path.stat().st_size / 2**20
            print(f"| {name} | {kind} | {size:.2f} | {times} | {graph:.1f} | {change:+.2f} | {kinds} |", flush=True)


if __name__ == "__main__":
    main()
