"""Damaged files by the million for every parser: `python benchmarks/fuzz.py --count 1000000 [.ply .pth ...]`.

The inputs are shared among the kinds of files. Each kind runs in a process of its own with a gigabyte to spend, so that
a fault in a library shows as well: one that ends the process, or takes longer than a minute, counts as a crash and the
rest goes on behind it. An input is a function of the seed, its kind and its number. What brings about anything but a
value or one clear error is kept under the folder of the results with its message; a second run of the same command
goes on where the first was stopped.
"""

import argparse
import collections
import contextlib
import json
import math
import mmap
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "helpers"))

import fuzzing
import model_files
import run_files
from fuzzing import memory_limit

KINDS = {**fuzzing.KINDS, **model_files.KINDS, **run_files.KINDS}
MEMORY = 2**30
LONGEST = 60
"""Seconds after which an input counts as one that hangs."""
EVERY = 500
"""Inputs after which the figures are written."""
NONE = {"tried": 0, "read": 0, "refused": 0, "crashes": 0, "ended": [], "messages": {}}
NONE |= {"slowest": 0.0, "seconds": 0.0, "peak": 0}
"""Figures of a kind: `ended` and `messages` hold numbers of inputs."""


class Fuzzed:
    """The figures of a kind in a file, and in another the number of the input at work: both outlive a process."""

    def __init__(self, folder, ending, seed):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.ending, self.path = folder, ending, folder / f"figures{ending}.{seed}.json"
        self.figures = json.loads(self.path.read_text()) if self.path.exists() else json.loads(json.dumps(NONE))
        self.at_work = folder / f"at_work{ending}.{seed}"
        if not self.at_work.exists():
            self.at_work.write_bytes((self.figures["tried"]).to_bytes(8, "little"))

    def number(self):
        """The input at work."""
        return int.from_bytes(self.at_work.read_bytes(), "little")

    def write(self):
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.figures, indent=1))
        new.replace(self.path)

    def crashed(self, number, content, what):
        """Keep an input of a message, the first of its kind."""
        self.figures["crashes"] += 1
        if what not in self.figures["messages"]:
            self.figures["messages"][what] = number
            path = self.folder / f"{len(self.figures['messages'])}_{number}{self.ending}"
            path.write_bytes(content)
            print(f"{path}: {what}", flush=True)


def content_of(ending, seed, number):
    return KINDS[ending].damaged(f"{seed} {ending} {number}")


def work(folder, ending, seed, count):
    """Try the inputs of a kind from where its figures stand up to `count`."""
    kind, fuzzed = KINDS[ending], Fuzzed(folder, ending, seed)
    figures = fuzzed.figures
    with tempfile.TemporaryDirectory() as place, open(fuzzed.at_work, "r+b") as file:
        memory = mmap.mmap(file.fileno(), 8)
        path = pathlib.Path(place) / f"c{ending}"
        for content in kind.seeds():
            kind.put(path, content)
            if not kind.try_to_read(path):  # What loads at first use is no part of an input's memory.
                sys.exit(f"{ending}: a whole file is refused")
        before, start, spent = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic(), figures["seconds"]
        with memory_limit(MEMORY):
            while figures["tried"] < count:
                number = figures["tried"]
                if number in figures["ended"]:
                    figures["tried"] += 1
                    continue
                memory[:] = number.to_bytes(8, "little")
                content = content_of(ending, seed, number)
                kind.put(path, content)
                began = time.perf_counter()
                try:
                    figures["read" if kind.try_to_read(path) else "refused"] += 1
                except Exception as error:
                    what = f"{type(error).__name__}: {str(error)[:160]}".replace(place, "")
                    fuzzed.crashed(number, content, what)
                figures["tried"] += 1
                figures["slowest"] = max(figures["slowest"], time.perf_counter() - began)
                if figures["tried"] % EVERY == 0 or figures["tried"] == count:
                    figures["seconds"] = spent + time.monotonic() - start
                    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
                    figures["peak"] = max(figures["peak"], grown)
                    fuzzed.write()


def watch(folder, ending, seed, count):
    """Run `work` in processes of its own until it has tried all, and tell of those that ended or hung."""
    fuzzed = Fuzzed(folder, ending, seed)
    while fuzzed.figures["tried"] < count:
        command = [
            sys.executable,
            __file__,
            ending,
            "--count",
            str(count),
            "--seed",
            str(seed),
            "--output",
            str(folder),
        ]
        process, last, since = subprocess.Popen([*command, "--here"]), None, time.monotonic()
        while process.poll() is None:
            time.sleep(0.2)
            if (now := fuzzed.number()) != last:
                last, since = now, time.monotonic()
            if time.monotonic() - since > 2 * LONGEST:  # The first includes what the process imports.
                process.kill()
                process.wait()
        stopped, fuzzed = fuzzed.number(), Fuzzed(folder, ending, seed)
        if process.returncode == 0:
            continue
        if process.returncode > 0 or process.returncode == -signal.SIGINT:
            sys.exit(f"{ending}: the process ended with {process.returncode}")
        how = "hangs" if time.monotonic() - since > LONGEST else f"ended the process with {-process.returncode}"
        fuzzed.crashed(stopped, content_of(ending, seed, stopped), how)
        fuzzed.figures["ended"].append(stopped)
        fuzzed.write()
    return fuzzed.figures


def shares(endings, count):
    """How many of `count` inputs each kind takes."""
    total = sum(KINDS[ending].share for ending in endings)
    return {ending: math.ceil(count * KINDS[ending].share / total) for ending in endings}


def table(rows):
    lines = ["| kind | inputs | read | refused | slowest, s | memory, MB | per second | crashes |", "|" + "---|" * 8]
    sums = collections.Counter()
    for row in rows.values():
        sums.update({key: row[key] for key in ("tried", "read", "refused", "crashes", "seconds")})
    sums |= {key: max(row[key] for row in rows.values()) for key in ("slowest", "peak")}
    for name, f in [*rows.items(), ("all", sums)]:
        per_second = f["tried"] / max(f["seconds"], 1e-9)
        lines.append(f"| {name} | {f['tried']} | {f['read']} | {f['refused']} | {f['slowest']:.2f} | "
                     f"{f['peak'] / 1024:.0f} | {per_second:.0f} | {f['crashes']} |")  # fmt: skip
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help=f"of {' '.join(KINDS)}; all by default")
    parser.add_argument("--count", type=int, default=20_000, help="inputs of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/fuzz"), help="folder of the results")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    for ending in given.kinds:
        if ending not in KINDS:
            parser.error(f"unknown kind {ending!r}; known are {' '.join(KINDS)}")
    if given.here:
        with contextlib.suppress(KeyboardInterrupt):
            work(given.output, given.kinds[0], given.seed, given.count)
            return 0
        return 130
    endings = [ending for ending in given.kinds or KINDS if KINDS[ending].seeds()]
    rows = {ending: watch(given.output, ending, given.seed, n) for ending, n in shares(endings, given.count).items()}
    print(table(rows))
    return int(any(row["crashes"] for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
