"""Workers on this machine, for a try: one process each, which find one another by TF_CONFIG."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

GRACE = 30.0
"""Seconds that workers have to end by themselves after one of them has."""


def run_workers(count: int, arguments: Sequence[str]) -> int:
    """Run `keras-wcd` with these arguments in `count` processes, and wait for all; the first is the chief.

    What the chief says is seen. Ctrl-C reaches all of them, and they end together. Where one ends with an error, the
    others are waited for, then ended.

    Returns:
        The exit status of the first that did not end well, or 0.

    Raises:
        ValueError: for fewer than two, or where TF_CONFIG names workers already.
    """
    if count < 2:
        raise ValueError(f"workers must be at least 2, got {count}; one process needs no others")
    if os.environ.get("TF_CONFIG"):
        raise ValueError("TF_CONFIG names this process's workers; workers are started where it is not set")
    addresses = _addresses(count)
    with tempfile.TemporaryFile() as said, _ctrl_c_ignored():
        processes = [_started(place, addresses, arguments, None if place == 0 else said) for place in range(count)]
        first = _waited(processes)
        if first is not None and first > 0:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
    return 0 if first is None else processes[first].returncode


def _addresses(count: int) -> list[str]:
    """Addresses of this machine that nobody listens at."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def _started(place: int, addresses: list[str], arguments: Sequence[str], said) -> subprocess.Popen:
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": place}}
    # The processor's cores are shared: each that starts threads for all would wait for the others.
    threads = str(max(1, (os.cpu_count() or 1) // len(addresses)))
    limits = {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads}
    environment = {**limits, **os.environ, "TF_CONFIG": json.dumps(config)}
    command = [sys.executable, "-c", "from keras_wcd.cli import main; main(prog_name='keras-wcd')", *arguments]
    return subprocess.Popen(command, env=environment, stdout=None if said is None else said, stderr=said)


def _waited(processes: list[subprocess.Popen]) -> int | None:
    """Wait until all have ended; the place of the first that did not end well."""
    first, ends = None, float("inf")
    while any(process.poll() is None for process in processes):
        if first is None:
            first = next((i for i, p in enumerate(processes) if p.returncode not in (None, 0)), None)
            ends = ends if first is None else time.monotonic() + GRACE
        if time.monotonic() > ends:
            for process in processes:
                process.kill()
        time.sleep(0.05)
    if first is None:
        first = next((i for i, p in enumerate(processes) if p.returncode != 0), None)
    return first


@contextlib.contextmanager
def _ctrl_c_ignored():
    """The workers are told by the terminal, too, and are waited for."""
    # A handler of ours, since they would inherit that the signal is ignored.
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
