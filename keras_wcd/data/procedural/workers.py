"""Procedural pairs made on all cores, by helper processes that load NumPy and nothing heavier.

The helpers are started as plain interpreters, not through `multiprocessing`: nothing of the caller's main module
is imported again, so a script needs no `if __name__ == "__main__"`, and no lock of its threads is inherited.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from keras_wcd.data.procedural import generator

_BOOT = (
    "import json, sys; job = json.loads(sys.stdin.readline()); sys.path[:] = job.pop('path'); "
    "from keras_wcd.data.procedural.workers import serve; serve(**job)"
)
_SHARE = 16
"""Fewer shapes than this for each helper are not worth starting it."""


def make(
    split: str, count: int, *, num_points: int, views: int, seed: int, workers: int | None, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Scans `(count, views, 2048, 3)` and ground truth `(count, num_points, 3)`; equal for any `workers`."""
    job = {"seed": seed, "split": split, "num_points": num_points, "views": views}
    partial = np.empty((count, views, generator.PARTIAL_POINTS, 3), np.float32)
    complete = np.empty((count, num_points, 3), np.float32)
    workers = min(workers or _cores(), max(1, count // _SHARE))
    with tqdm(
        total=count, desc=f"Shapes8 {split}", unit="shape", disable=not progress, delay=1, mininterval=0.5
    ) as bar:
        if workers == 1 or not sys.executable or getattr(sys, "frozen", False):
            for index in range(count):
                partial[index], complete[index] = generator.item(index=index, **job)
                bar.update()
        else:
            _gather(job, partial, complete, workers, bar)
    return partial, complete


def serve(start: int, stop: int, step: int, **job) -> None:
    """The life of a helper: write the items start, start + step, ... to standard output, as float32."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent decides when to stop.
    threading.Thread(target=_die_with_parent, daemon=True).start()
    for index in range(start, stop, step):
        for array in generator.item(index=index, **job):
            sys.stdout.buffer.write(array.tobytes())
        sys.stdout.buffer.flush()


def _die_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gather(job: dict, partial: np.ndarray, complete: np.ndarray, workers: int, bar: tqdm) -> None:
    """Fill the arrays from helpers, each of which makes every `workers`-th item."""
    helpers, failed = [], threading.Event()
    with ThreadPoolExecutor(workers) as pool, tempfile.TemporaryFile() as complaints:
        try:
            futures = []
            for start in range(workers):
                order = {**job, "start": start, "stop": len(partial), "step": workers, "path": sys.path}
                helpers.append(_start(order, complaints))
                rows = range(start, len(partial), workers)
                futures.append(pool.submit(_receive, helpers[-1].stdout, rows, partial, complete, bar, failed))
            for future in futures:
                future.result()
        except EOFError:
            complaints.seek(0)
            reason = complaints.read().decode(errors="replace").strip()[-500:]
            raise RuntimeError(f"a process that makes shapes ended early: {reason or 'no message'}") from None
        finally:
            failed.set()
            for helper in helpers:
                helper.kill()
                helper.wait()
                helper.stdin.close()


def _start(order: dict, complaints: BinaryIO) -> subprocess.Popen:
    helper = subprocess.Popen(
        [sys.executable, "-c", _BOOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )
    # Its standard input stays open: when it closes, the helper knows that its parent is gone.
    helper.stdin.write(json.dumps(order).encode() + b"\n")
    helper.stdin.flush()
    return helper


def _receive(
    stream: BinaryIO, rows: range, partial: np.ndarray, complete: np.ndarray, bar: tqdm, failed: threading.Event
) -> None:
    with stream:
        for row in rows:
            for array in (partial, complete):
                data = stream.read(array[row].nbytes)
                if len(data) < array[row].nbytes or failed.is_set():
                    raise EOFError
                array[row] = np.frombuffer(data, np.float32).reshape(array[row].shape)
            bar.update()
