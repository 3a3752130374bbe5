import numpy as np
import pytest

from keras_wcd.data.scanner.sides import MIN_SEEN, seen_well


def looks(sizes):
    """Scans of these sizes, one after the other; each holds its place in the list."""
    return iter([np.full((size, 3), place, float) for place, size in enumerate(sizes)])


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([MIN_SEEN, 500], 0),
        ([MIN_SEEN - 1, 0, MIN_SEEN, 500], 2),
        ([3, 9, 5, 9] + [0] * 16, 1),
        ([0] * 20, 0),
        ([1] * 19 + [2, 500], 19),
    ],
)
def test_the_first_scan_with_enough_points_is_taken_or_else_the_largest_of_twenty(sizes, chosen):
    left = looks(sizes)
    seen = seen_well(lambda: next(left))
    assert len(seen) == sizes[chosen]
    assert (seen == chosen).all()


def test_no_side_is_looked_at_in_vain():
    left = looks([5, MIN_SEEN, 7])
    seen_well(lambda: next(left))
    assert len(next(left)) == 7
