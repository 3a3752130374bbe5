"""The one door to many processes and many machines: the same tasks, here or on a Dask cluster.

On one machine the tasks go to processes of joblib's loky, each an executor of its own: one that dies takes its task
with it and no other's. They are started as plain interpreters: nothing of the caller's main module is imported again,
so a script needs no `if __name__ == "__main__"`, and what the caller has loaded is not loaded there.
"""

import contextlib
import contextvars
import os
import re
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from tqdm import tqdm

_CHANCES = 2
"""Processes that a task may take with it before it is given up."""
_PATIENCE = 10.0
"""Seconds that tasks under way get to put their files away when a run is stopped."""
_REACH = 5.0
"""Seconds to wait for a scheduler, and for a first worker of it."""
_THREADS = ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB", "NUMEXPR")
_ALONE = {"LOKY_MAX_CPU_COUNT": "1", **{f"{library}_NUM_THREADS": "1" for library in _THREADS}}
"""Environment of a process that has one core to itself."""

_DIED = "the workers of the cluster that worked on it ended, one after the other"

_cluster = contextvars.ContextVar("keras_wcd_cluster", default=None)
_under_way = False


class Answer(NamedTuple):
    """What came of a task.

    Attributes:
        number: Its place in the list of tasks.
        result: What the function returned; None where it failed.
        error: Why it failed; None where it did not.
    """

    number: int
    result: Any
    error: str | None


class _Stopped(BaseException):
    """Raised in a task that must end, so that its files are put away; no `except Exception` holds it up."""


def cores() -> int:
    """Cores that this process may use: by its affinity, its control group and LOKY_MAX_CPU_COUNT."""
    import joblib

    return joblib.cpu_count()


def run(
    function: Callable,
    tasks: Sequence[dict],
    *,
    workers: int | None = None,
    cluster: str | None = None,
    desc: str | None = None,
    unit: str = "task",
) -> Iterator[Answer]:
    """Call `function(**task)` for every task, in processes of this machine or on a cluster.

    A process that dies costs one task, which is tried again; a task that takes two processes with it has failed. When
    the iterator is closed or the caller interrupted, no process is left. What a task prints in a process is dropped.

    Args:
        function: Named at the top of a module that the processes can import, for those load nothing else; any other
            is sent whole, with what it refers to.
        tasks: The arguments of every call, which can be pickled.
        workers: Processes; None takes one for each core. A single one is this process, as it is for a single task.
        cluster: Address of a Dask scheduler ("tcp://host:8786"), or its scheduler file (.json), whose workers do the
            tasks instead: they need this library and, where tasks name files, the same files under the same names.
            None takes that of `on_cluster`, if any.
        desc: What a bar says; None draws none.
        unit: Of the bar.

    Returns:
        An iterator over the answers, in the order in which tasks end. ValueError, OSError and MemoryError of a task
        are its `error`; other exceptions are raised.

    Raises:
        ValueError: for `workers` below 1.
        ImportError: for a cluster without the extra `cluster`.
        ConnectionError: for a scheduler that does not answer or has no workers.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}; None takes one for each core")
    answers = _answers(function, list(tasks), workers, cluster)
    return answers if desc is None else _with_bar(answers, len(tasks), desc, unit)


def results(function: Callable, tasks: Sequence[dict], **options: Any) -> list:
    """The results of all tasks in their order; options and errors are those of `run`.

    Raises:
        ValueError: where one fails.
    """
    found: list = [None] * len(tasks)
    for number, result, error in run(function, tasks, **options):
        if error:
            raise ValueError(f"task {number} of {len(tasks)} failed: {error}")
        found[number] = result
    return found


@contextlib.contextmanager
def on_cluster(address: str | None) -> Iterator[None]:
    """Send the tasks of every `run` in this context to a cluster, over one connection; None changes nothing.

    Raises:
        ImportError: without the extra `cluster`.
        ConnectionError: where the scheduler does not answer or has no workers.
    """
    if address is None:
        yield
        return
    with _connected(address) as client:
        token = _cluster.set(client)
        try:
            yield
        finally:
            _cluster.reset(token)


def clustered() -> bool:
    """Whether `run` sends its tasks to a cluster here."""
    return _cluster.get() is not None


def message(error: BaseException) -> str:
    """The first line of what an error says, or its name."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def _answers(function: Callable, tasks: list[dict], workers: int | None, cluster: str | None) -> Iterator[Answer]:
    if not tasks:
        return
    if cluster is not None:
        with _connected(cluster) as client:
            yield from _in_cluster(client, function, tasks)
    elif clustered():
        yield from _in_cluster(_cluster.get(), function, tasks)
    else:
        count = min(workers or cores(), len(tasks))
        if count == 1 or not sys.executable or getattr(sys, "frozen", False):
            yield from (Answer(number, *_attempt(task, function)) for number, task in enumerate(tasks))
        else:
            yield from _in_processes(function, tasks, count)


def _with_bar(answers: Iterator[Answer], total: int, desc: str, unit: str) -> Iterator[Answer]:
    with _interrupts_deferred():
        bar = tqdm(total=total, desc=desc, unit=unit, delay=1, mininterval=0.5)
    with contextlib.closing(answers), bar:
        for answer in answers:
            bar.update()
            yield answer


def _attempt(task: dict, function: Callable) -> tuple[Any, str | None]:
    """The result of a task and the message of its error."""
    try:
        return function(**task), None
    except (ValueError, OSError, MemoryError) as error:
        return None, message(error)


def _in_processes(function: Callable, tasks: list[dict], count: int) -> Iterator[Answer]:
    todo, deaths = deque(range(len(tasks))), Counter()
    team = [_Process() for _ in range(count)]
    free, busy = list(team), {}

    def hand_out() -> None:
        with _interrupts_deferred():
            while todo and free:
                process, number = free.pop(), todo.popleft()
                busy[process.submit(function, tasks[number])] = process, number

    try:
        hand_out()
        while busy:
            answers = []
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                process, number = busy.pop(future)
                free.append(process)
                death = process.death(future)
                deaths[number] += death is not None
                if death is None:
                    answers.append(Answer(number, *future.result()))
                elif deaths[number] < _CHANCES:
                    todo.appendleft(number)
                else:
                    answers.append(Answer(number, None, f"the process that worked on it ended {death}, twice"))
            # Before the caller looks at what came of the last ones.
            hand_out()
            yield from answers
    finally:
        _stop(team, list(busy))


class _Process:
    """One process, started when it is first asked and again when it has died."""

    def __init__(self):
        self.executor, self.pipe = None, None

    def submit(self, function: Callable, task: dict) -> Future:
        from joblib.externals.loky import BrokenProcessPool

        if self.executor is not None:
            with contextlib.suppress(BrokenProcessPool):  # It died while it was idle.
                return self.executor.submit(_work, function, task)
            self.close()
        with _interrupts_kept_off():
            self._start()
            return self.executor.submit(_work, function, task)

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

    def _start(self) -> None:
        from joblib.externals.loky import ProcessPoolExecutor

        theirs, self.pipe = Pipe(duplex=False)
        # The reading end stays open here too: loky may replace a process whose memory has grown.
        self.executor = ProcessPoolExecutor(1, initializer=_begin, initargs=(theirs,), env=_ALONE)


@contextlib.contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Let Ctrl-C wait: within the start of a process it may be lost, or leave half of one."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    arrived: list[tuple] = []
    signal.signal(signal.SIGINT, lambda *arguments: arrived.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if arrived:
            before(*arrived[0])


@contextlib.contextmanager
def _interrupts_kept_off() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: the caller decides when to stop, and how."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    from joblib.externals.loky.backend import resource_tracker as loky_tracker

    # Their start would let interrupts through again.
    resource_tracker.ensure_running()
    loky_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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


def _work(function: Callable, task: dict) -> tuple[Any, str | None]:
    """`_attempt` in a process, where it may be interrupted."""
    global _under_way
    try:
        _under_way = True
        return _attempt(task, function)
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
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
    else:
        import _thread

        _thread.interrupt_main(signal.SIGTERM)


def _leave(*_) -> None:
    if _under_way:
        raise _Stopped


def _in_cluster(client: Any, function: Callable, tasks: list[dict]) -> Iterator[Answer]:
    if isinstance(function, partial):
        # What is bound to it may be large, and goes to every worker once.
        function = client.scatter(function, broadcast=True, hash=False)
    suspects = []
    for answer in _sent(client, function, dict(enumerate(tasks))):
        if answer.error == _DIED:
            suspects.append(answer.number)
        else:
            yield answer
    # A scheduler suspects all tasks that waited for a worker that died; one at a time, only those that are to blame.
    for number in suspects:
        yield from _sent(client, function, {number: tasks[number]})


def _sent(client: Any, function: Any, tasks: dict[int, dict]) -> Iterator[Answer]:
    """The answers to some tasks, by their numbers, in the order in which they end."""
    from distributed import KilledWorker, as_completed

    futures = client.map(_attempt, list(tasks.values()), function=function, pure=False)
    numbers = dict(zip(futures, tasks, strict=True))
    try:
        for future, result in as_completed(futures, loop=client.loop, with_results=True, raise_errors=False):
            number = numbers.pop(future)
            if future.status == "finished":
                yield Answer(number, *result)
            elif future.status == "error" and isinstance(result[1], KilledWorker):
                yield Answer(number, None, _DIED)
            elif future.status == "error":
                raise result[1].with_traceback(result[2])
            else:
                raise ConnectionError(f"the cluster lost a task ({future.status}); does its scheduler still run?")
            future.release()
    finally:
        if numbers:
            client.cancel(list(numbers))


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    """A client of a scheduler that has workers."""
    try:
        from distributed import Client, TimeoutError
    except ImportError:
        raise ImportError("a cluster needs Dask: pip install 'keras-wcd[cluster]'") from None
    file = str(address).endswith(".json")
    if file and not os.path.isfile(address):
        raise ConnectionError(f"cluster {address}: there is no such scheduler file")
    place = {"scheduler_file": address} if file else {"address": address}
    try:
        client = Client(**place, timeout=_REACH, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConnectionError(f"cluster {address}: no Dask scheduler answers there ({error})") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_REACH)
        except TimeoutError:
            raise ConnectionError(f"cluster {address}: the scheduler has no workers; start some") from None
        yield client
