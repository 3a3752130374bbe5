"""Tasks on all cores, by helper processes that load NumPy and nothing heavier.

The helpers are plain interpreters, as in `workers`. They read one task a line from their standard input and answer
each with a line. A helper that dies takes one task with it and is replaced.
"""

import contextlib
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_BOOT = (
    "import json, sys; job = json.loads(sys.stdin.readline()); sys.path[:] = job['path']; "
    "from keras_wcd.parallel import serve; serve(job['function'])"
)
_PATIENCE = 20
"""Times, half a second each, that a helper is told to stop; it may have a file to put away."""


def run(function: str, tasks: list[dict], workers: int) -> Iterator[tuple[int, Any, str | None]]:
    """Call `module:name` with the arguments of every task, in `workers` processes; a single one is this process.

    Yields:
        The number of a task, its result, and the message of its ValueError or OSError (or None): as they end.
    """
    if workers == 1 or len(tasks) < 2 or not sys.executable or getattr(sys, "frozen", False):
        call = _resolve(function)
        yield from ((number, *_answer(call, task).values()) for number, task in enumerate(tasks))
        return
    todo, done = queue.SimpleQueue(), queue.SimpleQueue()
    for item in enumerate(tasks):
        todo.put(item)
    stop = threading.Event()
    helpers = [_Helper(function) for _ in range(max(1, min(workers, len(tasks))))]
    with ThreadPoolExecutor(len(helpers)) as pool:
        try:
            for helper in helpers:
                pool.submit(_feed, helper, todo, done, stop)
            for _ in tasks:
                yield done.get()
        finally:
            stop.set()
            for helper in helpers:
                helper.end()


def serve(function: str) -> None:
    """The life of a helper."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent decides when to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # As an exception: files under way are put away.
    call, answers = _resolve(function), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What a parser prints is no answer.
    for line in sys.stdin:
        answers.write(json.dumps(_answer(call, json.loads(line))) + "\n")
        answers.flush()


class _Helper:
    """One process, started when it is first asked."""

    def __init__(self, function: str):
        self.function, self.process, self.ended = function, None, False
        self.lock = threading.Lock()

    def ask(self, task: dict) -> tuple[Any, str | None]:
        try:
            process = self._started()
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except (OSError, ValueError):  # A pipe that broke, or was closed by `end`.
            line = ""
        if line.endswith("\n"):
            reply = json.loads(line)
            return reply["result"], reply["error"]
        code = self._close()
        return None, f"the process that worked on it ended with code {code}"

    def end(self) -> None:
        with self.lock:
            self.ended = True
            process = self.process
        if process is not None:
            # More than once: the import of trimesh swallows whatever is raised in it.
            for _ in range(_PATIENCE):
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
                    break
            self._close()

    def _started(self) -> subprocess.Popen:
        with self.lock:
            if self.ended:
                raise BrokenPipeError
            if self.process is None:
                self.process = subprocess.Popen(
                    [sys.executable, "-c", _BOOT],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
                )
                self.process.stdin.write(json.dumps({"path": sys.path, "function": self.function}) + "\n")
            return self.process

    def _close(self) -> int | None:
        with self.lock:
            process, self.process = self.process, None
        if process is None:
            return None
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                stream.close()
        return process.returncode


def _feed(helper: _Helper, todo: queue.SimpleQueue, done: queue.SimpleQueue, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            number, task = todo.get_nowait()
        except queue.Empty:
            return
        done.put((number, *helper.ask(task)))


def _answer(call: Callable, task: dict) -> dict:
    try:
        return {"result": call(**task), "error": None}
    except (ValueError, OSError, MemoryError) as error:
        return {"result": None, "error": str(error).strip().split("\n")[0] or type(error).__name__}


def _resolve(function: str) -> Callable:
    module, name = function.split(":")
    return getattr(importlib.import_module(module), name)
