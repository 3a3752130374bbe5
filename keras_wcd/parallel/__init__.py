"""The one door to many processes and many machines: the same tasks, here or on a Dask cluster."""

import contextlib
import contextvars
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from tqdm import tqdm

from keras_wcd.parallel import interrupts
from keras_wcd.parallel.machines import connected, in_cluster
from keras_wcd.parallel.processes import in_processes
from keras_wcd.parallel.tasks import Answer, attempt, message

__all__ = ["Answer", "clustered", "cores", "message", "on_cluster", "results", "run"]

_Answers = Generator[Answer, None, None]
_cluster = contextvars.ContextVar("keras_wcd_cluster", default=None)


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
) -> _Answers:
    """Call `function(**task)` for every task, in processes of this machine or on a cluster.

    A process that dies costs one task, which is tried again; a task that takes two processes with it has failed. When
    the generator is closed or the caller interrupted, no process is left. What a task prints in a process is dropped.

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
        A generator of the answers, in the order in which tasks end. ValueError, OSError and MemoryError of a task
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
    with connected(address) as client:
        token = _cluster.set(client)
        try:
            yield
        finally:
            _cluster.reset(token)


def clustered() -> bool:
    """Whether `run` sends its tasks to a cluster here."""
    return _cluster.get() is not None


def _answers(function: Callable, tasks: list[dict], workers: int | None, cluster: str | None) -> _Answers:
    if not tasks:
        return
    if cluster is not None:
        with connected(cluster) as client:
            yield from in_cluster(client, function, tasks)
    elif clustered():
        yield from in_cluster(_cluster.get(), function, tasks)
    else:
        count = min(workers or cores(), len(tasks))
        if count == 1 or not sys.executable or getattr(sys, "frozen", False):
            yield from (Answer(number, *attempt(task, function)) for number, task in enumerate(tasks))
        else:
            yield from in_processes(function, tasks, count)


def _with_bar(answers: _Answers, total: int, desc: str, unit: str) -> _Answers:
    with interrupts.deferred():
        bar = tqdm(total=total, desc=desc, unit=unit, delay=1, mininterval=0.5)
    with contextlib.closing(answers), bar:
        for answer in answers:
            bar.update()
            yield answer
