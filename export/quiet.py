"""Silence while a converter runs: TensorFlow's C++ side writes to the descriptors, not to `sys.stderr`."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

_LOGGERS = ("absl", "tensorflow")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send standard output and error to nowhere inside; exceptions pass through as they are."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
            stack.enter_context(_to_nowhere(descriptor, stream))
        try:
            for name in _LOGGERS:
                logging.getLogger(name).setLevel(logging.ERROR)
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def _to_nowhere(descriptor: int, stream) -> Iterator[None]:
    stream.flush()
    kept = os.dup(descriptor)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), descriptor)
        yield
    finally:
        stream.flush()
        os.dup2(kept, descriptor)
        os.close(kept)
