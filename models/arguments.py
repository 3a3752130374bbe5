"""Checks of the networks' constructor arguments."""

from collections.abc import Sequence


def positive(value: int, name: str) -> int:
    """`value` as an int >= 1, or a `ValueError` that names the argument."""
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"{name} must be a whole number >= 1, got {value!r}")
    return int(value)


def widths_of(widths: Sequence[int], count: int, name: str) -> tuple[int, ...]:
    """`widths` as a tuple of `count` ints >= 1, or a `ValueError` that names the argument."""
    widths = tuple(widths)
    if len(widths) != count or not all(isinstance(w, int) and w >= 1 for w in widths):
        raise ValueError(f"{name} must be {count} whole numbers >= 1, got {widths}")
    return widths
