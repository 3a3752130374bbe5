"""Tasks for processes and clusters, which find them by name."""

import os
import pathlib
import signal
import sys
import time

import numpy as np


def square(n):
    return n * n


def fail(n):
    raise [ValueError(f"{n} is bad\nand more"), FileNotFoundError(2, "No such file"), MemoryError()][n]


def err(n):
    raise KeyError(n)


def die(n, marker=None, code=signal.SIGKILL):
    """Kill the process of the first task, once where there is a file to mark it by."""
    if n == 0 and not (marker and pathlib.Path(marker).exists()):
        if marker:
            pathlib.Path(marker).touch()
        os.kill(os.getpid(), code)
        time.sleep(30)
    return n


def die_among(n, bad, folder):
    """Mark every time that a task is tried, and kill the process of one of them."""
    with open(pathlib.Path(folder) / str(n), "a") as file:
        file.write("x")
    if n == bad:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(30)
    return n


def leave(n):
    os._exit(3 + n)


def rest(n, folder, seconds=0.5):
    """Sleep, with a file that is there meanwhile."""
    path = pathlib.Path(folder) / f"{n}-{os.getpid()}"
    path.touch()
    try:
        time.sleep(seconds)
    finally:
        path.unlink()
    return os.getpid()


def shout(n):
    print("out")
    print("err", file=sys.stderr)
    os.write(1, b"raw")
    return n


def surroundings(n):
    """What is loaded here, and how many threads a matrix product and a nested run may take."""
    from threadpoolctl import threadpool_info

    from keras_wcd import parallel

    np.ones((4, 4)) @ np.ones((4, 4))
    heavy = {"tensorflow", "keras", "jax", "torch", "trimesh", "matplotlib"} & set(sys.modules)
    return sorted(heavy), max([info["num_threads"] for info in threadpool_info()], default=1), parallel.cores()


def noise(n):
    """An array that depends on the number alone."""
    time.sleep(0.05)
    return np.random.default_rng(n).normal(size=(1000, 3)).astype(np.float32)


def killed_once(marker, **task):
    """Write the files of a mesh; the first process that does so dies of it."""
    from keras_wcd.data.from_meshes.make import make_shape

    make_shape(**task)
    die(0, marker)


def gone(path, up):
    raise OSError("the disk is away")


def no_paper(**item):
    raise ValueError("out of paper")


def no_process(**item):
    os._exit(3)


def who(number):
    """A cloud that holds the number of the process."""
    return np.full((1, 3), os.getpid(), np.float32)


def shrink(scans):
    """A network of a kind."""
    return 0.9 * scans[:, :256]
