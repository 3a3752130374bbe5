"""Size, latency and memory of a LiteRT file, taken in a process that holds nothing else."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from keras_wcd.export.timing import child; sys.exit(child(sys.argv[2:]))"
)
"""What the child runs. It imports from where its parent does: its own path would begin with the working folder."""


@dataclass(frozen=True)
class Benchmark:
    """What a `.tflite` file costs on this machine's CPU.

    Attributes:
        size: Bytes of the file.
        latency_median: Milliseconds of a run, one cloud.
        latency_min: Milliseconds of the fastest run.
        latency_max: Milliseconds of the slowest run.
        peak_memory: Largest resident memory of a process that runs the file, in bytes, Python and NumPy included.
        model_memory: What of it the file added, in bytes.
        runs: Number of timed runs, after one that was not.
        threads: Threads of the interpreter.
    """

    size: int
    latency_median: float
    latency_min: float
    latency_max: float
    peak_memory: int
    model_memory: int
    runs: int
    threads: int


def benchmark(path: str | os.PathLike, runs: int = 20, threads: int = 2) -> Benchmark:
    """Run a `.tflite` file in a child process and measure it.

    Raises:
        ValueError: where the file is missing or does not run, or `runs` or `threads` is not positive.
    """
    for name, value in (("runs", runs), ("threads", threads)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no such file: {str(path)!r}")
    command = [sys.executable, "-c", PROGRAM, json.dumps(sys.path), str(path), str(runs), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise ValueError(f"{str(path)!r} does not run: {last}")
    return Benchmark(size=path.stat().st_size, runs=runs, threads=threads, **json.loads(done.stdout))


def child(arguments: list[str]) -> int:
    """Measure and write the figures to standard output as JSON: what `benchmark` runs."""
    import numpy as np

    from keras_wcd.export.runtime import Model

    path, runs, threads = arguments[0], int(arguments[1]), int(arguments[2])
    before = peak_memory()
    model = Model(path, threads=threads)
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (model.points_in, 3)).astype(np.float32)
    model(points)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        model(points)
        times.append(1000 * (time.perf_counter() - start))
    peak = peak_memory()
    figures = {
        "latency_median": float(np.median(times)),
        "latency_min": min(times),
        "latency_max": max(times),
        "peak_memory": peak,
        "model_memory": peak - before,
    }
    sys.stdout.write(json.dumps(figures))
    return 0


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would report the parent's peak, which a process started by vfork inherits on Linux.
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
