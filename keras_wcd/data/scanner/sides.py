"""A scan from a random side that shows something of the shape."""

from collections.abc import Callable

import numpy as np

MIN_SEEN = 64
"""Points that a scan should have; a rod seen end on shows next to nothing."""
_TRIES = 20


def seen_well(look: Callable[[], np.ndarray]) -> np.ndarray:
    """The first scan `(N, 3)` of at least `MIN_SEEN` points that `look` takes, each time from another side.

    Where none of 20 has as many it is the largest of them, which may be empty.
    """
    best = look()
    for _ in range(_TRIES - 1):
        if len(best) >= MIN_SEEN:
            break
        best = max(best, look(), key=len)
    return best
