"""Tasks on the workers of a Dask cluster."""

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from keras_wcd.parallel.tasks import Answer, attempt

_REACH = 5.0
"""Seconds to wait for a scheduler, and for a first worker of it."""
_DIED = "the workers of the cluster that worked on it ended, one after the other"


def in_cluster(client: Any, function: Callable, tasks: list[dict]) -> Iterator[Answer]:
    """The answers to all tasks, by the workers that a client reaches, in the order in which tasks end."""
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

    futures = client.map(attempt, list(tasks.values()), function=function, pure=False)
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
def connected(address: str) -> Iterator[Any]:
    """A client of a scheduler that has workers."""
    try:
        from distributed import Client, TimeoutError
    except ImportError:
        raise ImportError("a cluster needs Dask: pip install 'keras-wcd[cluster]'") from None
    file = str(address).endswith(".json")
    if file and not os.path.isfile(address):
        raise ConnectionError(f"cluster {address}: there is no such scheduler file")
    place: dict[str, Any] = {"scheduler_file": address} if file else {"address": address}
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
