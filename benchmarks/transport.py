"""Accuracy and time of the earth mover's distance by the size of the clouds: `python benchmarks/transport.py`.

The exact cost is SciPy's assignment, for sizes up to `--exact`; beyond, the bound that the transport itself proves says
how far it is from the cheapest at most. Seconds are the processor's, of all threads together: other work on the machine
does not count.
"""

import argparse
import time

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from keras_wcd.ops.transport import transport_cost


def box(rng, points, dense=1):
    """A sample of a box's surface, one face denser than the others."""
    side = np.array([1.0, 0.6, 0.8])
    face = rng.choice(6, points, p=np.array([dense, 1, 1, 1, 1, 1]) / (dense + 5))
    cloud = rng.uniform(size=(points, 3)) * side
    cloud[np.arange(points), face // 2] = (face % 2) * side[face // 2]
    return cloud


def with_outliers(cloud, rng):
    """The cloud with one of a hundred points up to ten times as far."""
    far = rng.choice(len(cloud), max(1, len(cloud) // 100), replace=False)
    cloud[far] *= rng.uniform(2, 10, (len(far), 1))
    return cloud


CASES = {
    "two samples of a box": lambda r, n: (box(r, n), box(r, n)),
    "a face five times as dense": lambda r, n: (box(r, n), box(r, n, 5)),
    "one of 100 points far off": lambda r, n: (box(r, n), with_outliers(box(r, n), r)),
    "half as many points": lambda r, n: (box(r, n // 2), box(r, n)),
}


def exact(x, y):
    """The cheapest transport of equal masses, by copies of the points of the smaller cloud."""
    x = np.repeat(x, len(y) // len(x), axis=0)
    cost = cdist(x, y)
    return cost[linear_sum_assignment(cost)].mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8192, 16384])
    parser.add_argument("--exact", type=int, default=4096, help="largest cloud that is assigned as well")
    given = parser.parse_args()
    print("| points | clouds | above the cheapest, % | proved, % | seconds | assignment, seconds |")
    print("|---|---|---|---|---|---|")
    for size in given.sizes:
        for name, clouds in CASES.items():
            x, y = clouds(np.random.default_rng(0), size)
            start = time.process_time()
            found = transport_cost(x, y)
            middle = time.process_time()
            cheapest = exact(x, y) if size <= given.exact else None
            seconds = time.process_time() - middle
            above = "-" if cheapest is None else f"{100 * (found.upper / cheapest - 1):.2f}"
            proved = 100 * (1 - found.lower / found.upper)
            print(
                f"| {size} | {name} | {above} | {proved:.2f} | {middle - start:.2f} | "
                f"{'-' if cheapest is None else f'{seconds:.2f}'} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
