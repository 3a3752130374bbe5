"""Cost of many processes: python benchmarks/parallel.py --meshes FOLDER [--before FOLDER]

Two jobs, made-up shapes without a cache and a data set from copies of a folder of meshes, in one process, in one for
each core, and with `--before` (a folder that holds an earlier copy of the package) as that copy does it. Contenders
take turns, each in a new interpreter; seconds and processor seconds are medians, with the ratio to this library's,
and their results are compared byte by byte. Then what one task costs beside its work, and arrays sent back beside
arrays written into a file that is mapped into memory.
"""

import argparse
import functools
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from keras_wcd import parallel

SHAPES = """
import sys, tempfile, time, os, hashlib
from keras_wcd.data import Shapes8
with tempfile.TemporaryDirectory() as folder:
    data = Shapes8(train=int(sys.argv[2]), cache_dir=folder, workers=int(sys.argv[1]))
    start = time.perf_counter()
    arrays = data.arrays("train")
    seconds = time.perf_counter() - start
digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
"""
MESHES = """
import sys, tempfile, time, os, hashlib, pathlib
from keras_wcd.data import make_dataset
with tempfile.TemporaryDirectory() as folder:
    os.environ["KERAS_WCD_CACHE"] = folder + "/cache"
    start = time.perf_counter()
    make_dataset(sys.argv[2], folder + "/made", workers=int(sys.argv[1]), progress=False)
    seconds = time.perf_counter() - start
    files = sorted(pathlib.Path(folder, "made").rglob("*.pcd"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
"""
REPORT = "\nused = os.times()\nprint(seconds, sum(used[:4]), digest)"


def child(code, workers, argument, before):
    """Seconds, processor seconds with those of its processes, and a digest of the result."""
    environment = {**os.environ, "LOKY_MAX_CPU_COUNT": str(os.cpu_count())}
    if before:
        environment["PYTHONPATH"] = str(before)
    words = [sys.executable, "-c", code + REPORT, str(workers), str(argument)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    seconds, used, digest = done.stdout.split()
    return float(seconds), float(used), digest


def compare(title, code, argument, arguments):
    count = parallel.cores()
    contenders = {f"{count} processes": (count, None), "one process": (1, None)}
    if arguments.before:
        contenders["before"] = count, arguments.before
    found = {name: [] for name in contenders}
    for _ in range(arguments.rounds):
        for name, (workers, before) in contenders.items():
            found[name].append(child(code, workers, argument, before))
    digests = {digest for rows in found.values() for *_, digest in rows}
    print(f"{title}: {'the same bytes' if len(digests) == 1 else 'DIFFERENT BYTES'}")
    medians = {name: [statistics.median(row[i] for row in rows) for i in range(2)] for name, rows in found.items()}
    base = medians[f"{count} processes"]
    for name, (seconds, used) in medians.items():
        ratios = f"{seconds / base[0]:4.2f} and {used / base[1]:4.2f}"
        print(f"  {name:12s} {seconds:7.2f} s, of processors {used:7.2f} s (ratios {ratios})")


def sent(index, points):
    """An array that is sent back."""
    return np.full((points, 3), index, np.float32)


def mapped(index, points, path, count):
    """The same array written where the caller sees it."""
    np.memmap(path, np.float32, "r+", shape=(count, points, 3))[index] = index


def timed(function, tasks):
    """Milliseconds a task beyond the start of the processes: the slope between a tenth of the tasks and all."""
    seconds = []
    for part in (tasks[: len(tasks) // 10], tasks):
        start = time.perf_counter()
        for answer in parallel.run(function, part, workers=parallel.cores()):
            assert not answer.error
        seconds.append(time.perf_counter() - start)
    return 1000 * (seconds[1] - seconds[0]) / (0.9 * len(tasks))


def overhead(rounds, count=2000):
    for points in (1, 4096, 16384):
        with tempfile.NamedTemporaryFile() as file:
            file.truncate(count * points * 12)
            ways = {
                "sent back": functools.partial(sent, points=points),
                "mapped": functools.partial(mapped, points=points, path=file.name, count=count),
            }
            tasks = [{"index": index} for index in range(count)]
            found = {name: [] for name in ways}
            for _ in range(rounds):
                for name, function in ways.items():
                    found[name].append(timed(function, tasks))
        rows = ", ".join(f"{name} {statistics.median(row):.2f} ms" for name, row in found.items())
        print(f"one task whose result is {points * 12 / 1024:.0f} kB: {rows}")


def copies(meshes, folder, count):
    """Copies of the meshes of a folder under other names."""
    files = [path for path in sorted(meshes.rglob("*")) if path.suffix in (".obj", ".ply", ".stl", ".off", ".glb")]
    for number in range(count):
        source = files[number % len(files)]
        target = pathlib.Path(folder, source.parent.name, f"{number}{source.suffix}")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(source.read_bytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshes", type=pathlib.Path, help="a folder of meshes, its sub-folders the categories")
    parser.add_argument("--copies", type=int, default=36, help="meshes that the data set is made of")
    parser.add_argument("--shapes", type=int, nargs="+", default=[64, 400])
    parser.add_argument("--before", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{parallel.cores()} cores{load}")
    for count in arguments.shapes:
        compare(f"{count} made-up shapes", SHAPES, count, arguments)
    if arguments.meshes:
        with tempfile.TemporaryDirectory() as folder:
            copies(arguments.meshes, folder, arguments.copies)
            compare(f"{arguments.copies} meshes, 8 scans each", MESHES, folder, arguments)
    overhead(arguments.rounds)


if __name__ == "__main__":
    main()
