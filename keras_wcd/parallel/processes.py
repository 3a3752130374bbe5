"""Tasks in processes of this machine, by joblib's loky.

Each process is an executor of its own: one that dies takes its task with it and no other's. Processes are started as
plain interpreters: nothing of the caller's main module is imported again, so a script needs no
`if __name__ == "__main__"`, and what the caller has loaded is not loaded there.
"""

import contextlib
import os
import re
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from keras_wcd.parallel import interrupts
from keras_wcd.parallel.tasks import Answer, attempt

_CHANCES = 2
"""Processes that a task may take with it before it is given up."""
_GROUP = 0.1
"""Seconds of work that a process is given at once: what it costs to hand it over is then small beside it."""
_PATIENCE = 10.0
"""Seconds that tasks under way get to put their files away when a run is stopped."""
_THREADS = ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB", "NUMEXPR")
_ALONE = {"LOKY_MAX_CPU_COUNT": "1", **{f"{library}_NUM_THREADS": "1" for library in _THREADS}}
"""Environment of a process that has one core to itself."""

_under_way = False


class _Stopped(BaseException):
    """Raised in a task that must end, so that its files are put away; no `except Exception` holds it up."""


def in_processes(function: Callable, tasks: list[dict], count: int) -> Iterator[Answer]:
    """The answers to all tasks, by at most `count` processes, in the order in which tasks end."""
    todo, deaths = deque(range(len(tasks))), Counter[int]()
    team = [_Process() for _ in range(count)]
    free, busy = list(team), dict[Future, tuple[_Process, list[int]]]()
    done, seconds = 0, 0.0

    def group() -> list[int]:
        """Tasks for about `_GROUP` seconds, fewer towards the end; one that may be to blame for a death goes alone."""
        most = min(_GROUP * done / max(seconds, 1e-9), len(todo) / (2 * count))
        found = [todo.popleft()]
        while len(found) < most and not deaths[found[0]] and not deaths[todo[0]]:
            found.append(todo.popleft())
        return found

    def hand_out() -> None:
        with interrupts.deferred():
            while todo and free:
                process, numbers = free.pop(), group()
                busy[process.submit(function, [tasks[number] for number in numbers])] = process, numbers

    try:
        hand_out()
        while busy:
            answers = []
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                process, numbers = busy.pop(future)
                free.append(process)
                death = process.death(future)
                if death is None:
                    found, taken = future.result()
                    done, seconds = done + len(found), seconds + taken
                    answers += [Answer(number, *answer) for number, answer in zip(numbers, found, strict=True)]
                    continue
                deaths.update(numbers)
                todo.extendleft(number for number in reversed(numbers) if deaths[number] < _CHANCES)
                error = f"the process that worked on it ended {death}, twice"
                answers += [Answer(number, None, error) for number in numbers if deaths[number] >= _CHANCES]
            # Before the caller looks at what came of the last ones.
            hand_out()
            yield from answers
    finally:
        _stop(team, list(busy))


class _Process:
    """One process, started when it is first asked and again when it has died."""

    executor: Any = None
    pipe: Connection | None = None

    def submit(self, function: Callable, tasks: list[dict]) -> Future:
        from joblib.externals.loky import BrokenProcessPool

        if self.executor is not None:
            with contextlib.suppress(BrokenProcessPool):  # It died while it was idle.
                return self.executor.submit(_work, function, tasks)
            self.close()
        with interrupts.kept_off():
            self.executor = self._started()
            return self.executor.submit(_work, function, tasks)

    def death(self, future: Future) -> str | None:
        """How the process ended before its task did; None where it did not."""
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        error = future.exception()
        if isinstance(error, _Stopped):
            return "with SIGTERM"
        if not isinstance(error, TerminatedWorkerError):
            return None
        self.close()
        code = re.search(r"\{(.+?)\}", str(error))
        return f"with {code[1]}" if code else "for a reason unknown"

    def interrupt(self) -> None:
        """Raise `_Stopped` in its task."""
        if self.pipe is not None:
            with contextlib.suppress(OSError):
                self.pipe.send_bytes(b"stop")

    def leave(self) -> None:
        """Let it end by itself, as all of a team may at once."""
        if self.pipe is not None:
            self.pipe.close()

    def close(self) -> None:
        if self.executor is not None:
            self.leave()
            self.executor.shutdown(kill_workers=True)
            self.executor = None

    def _started(self) -> Any:
        from joblib.externals.loky import ProcessPoolExecutor

        theirs, self.pipe = Pipe(duplex=False)
        # The reading end stays open here too: loky may replace a process whose memory has grown.
        return ProcessPoolExecutor(1, initializer=_begin, initargs=(theirs,), env=_ALONE)


def _stop(team: list[_Process], futures: list[Future]) -> None:
    """End all processes, after their tasks have put their files away."""
    until = time.monotonic() + _PATIENCE
    try:
        # More than once: some imports swallow whatever is raised in them.
        while futures and time.monotonic() < until:
            for process in team:
                process.interrupt()
            futures = list(wait(futures, timeout=0.5).not_done)
    finally:
        for process in team:
            process.leave()
        for process in team:
            process.close()


def _begin(pipe: Connection) -> None:
    """The first thing that a process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    threading.Thread(target=_listen, args=(pipe,), daemon=True).start()


def _work(function: Callable, tasks: list[dict]) -> tuple[list[tuple[Any, str | None]], float]:
    """The answer to each of some tasks, in a process, where they may be interrupted; and the seconds that they took."""
    global _under_way
    start = time.perf_counter()
    try:
        _under_way = True
        return [attempt(task, function) for task in tasks], time.perf_counter() - start
    finally:
        _under_way = False


def _listen(pipe: Connection) -> None:
    """Interrupt the task when the caller says so; when the caller is gone, end after the task."""
    with contextlib.suppress(EOFError, OSError):
        while pipe.recv_bytes():
            _interrupt()
    until = time.monotonic() + _PATIENCE
    while _under_way and time.monotonic() < until:
        _interrupt()
        time.sleep(0.1)
    os._exit(1)


def _interrupt() -> None:
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    else:
        import _thread

        _thread.interrupt_main(signal.SIGTERM)


def _leave(*_) -> None:
    if _under_way:
        raise _Stopped
