"""A task, and what comes of it."""

from collections.abc import Callable
from typing import Any, NamedTuple


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


def message(error: BaseException) -> str:
    """The first line of what an error says, or its name."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def attempt(task: dict, function: Callable) -> tuple[Any, str | None]:
    """The result of a task and the message of its error."""
    try:
        return function(**task), None
    except (ValueError, OSError, MemoryError) as error:
        return None, message(error)
