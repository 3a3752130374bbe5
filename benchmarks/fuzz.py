"""Damaged files by the thousand for every parser: `python benchmarks/fuzz.py --seconds 60 [.ply .h5 ...]`.

Every format runs in a process of its own with a gigabyte to spend, so that a fault in a library shows as well. An input
that brings about anything but a cloud or one clear error is kept under `runs/fuzz/` and named.
"""

import argparse
import collections
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "helpers"))

import fuzzing
import model_files
from fuzzing import memory_limit
from hypothesis import HealthCheck, Phase, given, seed, settings

EXTENSIONS = (*fuzzing.EXTENSIONS, *model_files.KINDS)
KEPT = pathlib.Path("runs/fuzz")
MEMORY = 2**30
SLOW = 10.0
ROUND = 1000


def tools(extension):
    """Damaged files, what puts one at a path, and what reads it there."""
    kind = model_files.KINDS.get(extension)
    if kind is None:
        return fuzzing.inputs(extension), pathlib.Path.write_bytes, fuzzing.try_to_read
    for content in kind.seeds():
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / f"c{extension}"
            kind.put(path, content)
            model_files.try_to_read(kind, path)  # What loads at first use is no part of an input's memory.
    return model_files.inputs(kind), kind.put, lambda path: model_files.try_to_read(kind, path)


def fuzz(extension, seconds, first):
    """Inputs tried and outcomes of one format; prints them as they stand when the time is over."""
    damaged_files, put, try_to_read = tools(extension)
    counts, known, start = collections.Counter(), set(), time.monotonic()
    KEPT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, memory_limit(MEMORY):
        path = pathlib.Path(folder) / f"c{extension}"

        def attempt(content):
            if time.monotonic() - start > seconds:
                return
            put(path, content)
            (KEPT / f"last{extension}").write_bytes(content)
            began = time.monotonic()
            try:
                outcome = "read" if try_to_read(path) else "refused"
            except BaseException as error:
                what = f"{type(error).__name__}: {str(error)[:120]}".replace(folder, "")
                if what not in known:
                    known.add(what)
                    name = KEPT / f"{type(error).__name__}_{len(known)}{extension}"
                    name.write_bytes(content)
                    print(f"{name}: {what}", flush=True)
                outcome = "crashes"
            counts[outcome] += 1
            counts["slow"] += time.monotonic() - began > SLOW

        while time.monotonic() - start < seconds:
            run = settings(
                max_examples=ROUND, database=None, deadline=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(given(damaged_files)(attempt))  # fmt: skip
            seed(first)(run)()
            first += 1
    (KEPT / f"last{extension}").unlink()
    tried = counts["read"] + counts["refused"] + counts["crashes"]
    print(f"{extension:>15} {tried:>8} tried {counts['read']:>8} read {counts['refused']:>8} refused "
          f"{counts['crashes']:>4} crashes {counts['slow']:>4} slow", flush=True)  # fmt: skip
    return counts["crashes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extensions", nargs="*", help=f"of {' '.join(EXTENSIONS)}; all by default")
    parser.add_argument("--seconds", type=float, default=60, help="for each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given_ = parser.parse_args()
    if given_.here:
        return int(fuzz(given_.extensions[0], given_.seconds, given_.seed) > 0)
    failed = 0
    for extension in given_.extensions or EXTENSIONS:
        if extension not in EXTENSIONS:
            parser.error(f"unknown extension {extension!r}; known are {' '.join(EXTENSIONS)}")
        command = [sys.executable, __file__, extension, "--seconds", str(given_.seconds), "--seed", str(given_.seed)]
        try:
            code = subprocess.run([*command, "--here"], timeout=given_.seconds + 120).returncode
        except subprocess.TimeoutExpired:
            code = "it hangs"
        if code not in (0, 1):
            print(f"{extension:>15} the process ended with {code}; the input is {KEPT / f'last{extension}'}")
        failed += code != 0
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
