"""Small faults put into the core, one at a time: how many of them its tests notice.

A mutant is one change of an expression or a statement: a comparison turned, an operator or a number exchanged, a
condition negated, a minimum for a maximum, a keyword or a statement dropped. For each, the tests of that file run until
the first failure, in a process forked after TensorFlow was imported; the mutant is in memory, no file is changed. A
survivor is a mutant under which every test passes; those that change nothing are listed in `EQUIVALENT`, each with its
reason. Mutants whose tests do not end are counted by themselves: on a busy machine that proves little.

    python benchmarks/mutation.py                            # all targets, a fixed choice of mutants of each
    python benchmarks/mutation.py keras_wcd/losses/info.py --most 50
    python benchmarks/mutation.py --list                     # the mutants, nothing run
"""

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.util
import json
import math
import os
import pathlib
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = {"models": "keras_wcd.models", "export": "keras_wcd.export", "keras_wcd": "keras_wcd"}
TESTS = {
    "keras_wcd/losses": ["tests/losses/*.py"],
    "keras_wcd/weighting.py": ["tests/test_weighting.py"],
    "keras_wcd/ops": ["tests/ops/test_[!t]*.py", "tests/metrics/*.py"],
    "keras_wcd/ops/clouds.py": ["tests/ops/test_clouds.py", "tests/metrics/*.py", "tests/losses/test_[!c]*.py"],
    "keras_wcd/ops/flow.py": ["tests/ops/test_transport.py"],
    "keras_wcd/ops/kd_tree.py": ["tests/ops/test_neighbors.py", "tests/metrics/*.py", "tests/ops/test_[!t]*.py"],
    "keras_wcd/ops/matching.py": ["tests/metrics/*.py", "tests/losses/test_[!c]*.py"],
    "keras_wcd/ops/pairwise.py": ["tests/ops/test_transport.py"],
    "keras_wcd/ops/sinkhorn.py": ["tests/ops/test_transport.py"],
    "keras_wcd/ops/transport.py": ["tests/ops/test_transport.py"],
    "keras_wcd/metrics": ["tests/metrics/*.py"],
    "keras_wcd/distill": ["tests/distill/*.py"],
    "keras_wcd/frames.py": ["tests/test_frames.py", "tests/models/test_inference.py", "tests/data/test_resampling.py"],
    "models/stages.py": ["tests/models/test_completion_model.py"],
}
"""The tests of each folder of the core; those of a file by itself, where they are others or the soonest come first."""
PASSED_OVER = {"__init__.py", "host.py", "simulation.py", "plots.py"}
"""No core arithmetic: names, how work is spread, made-up data, drawing."""
LIMIT = 60
"""Seconds that the tests of a mutant have beyond twice what they take without a fault."""
NOTICED, SURVIVED, ENDLESS = "noticed", "survived", "endless"
EQUIVALENT: dict[str, str] = json.loads((pathlib.Path(__file__).parent / "mutation_equivalent.json").read_text())
"""Mutants that no test can notice, by their description: why."""

COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
SWAPPED = {"minimum": "maximum", "maximum": "minimum", "min": "max", "max": "min", "mean": "sum", "sum": "mean"}
SWAPPED |= {"argmin": "argmax", "argmax": "argmin", "all": "any", "any": "all", "floor": "ceil", "ceil": "floor"}
SWAPPED |= {"logical_and": "logical_or", "logical_or": "logical_and", "zeros_like": "ones_like", "sqrt": "square"}
SWAPPED |= {"ones_like": "zeros_like", "square": "sqrt", "exp": "expm1", "expm1": "exp"}
NEUTRAL = {ast.Add: 0, ast.Sub: 0, ast.Mult: 1, ast.Div: 1}
KEPT = {"strict", "name", "encoding", "thread_name_prefix", "stacklevel"}
"""Keywords that change no value of what runs."""


class Mutant(NamedTuple):
    """One fault: the file, the line, what was written there and what stands there instead, and the whole source."""

    file: str
    line: int
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.file}: {self.before}  ->  {self.after}"


def mutants(file: str) -> Iterator[Mutant]:
    """Every mutant of a file, in the order of its lines."""
    tree = ast.parse((ROOT / file).read_text())
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    kinds = (ast.expr, ast.AugAssign, ast.Expr)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds) and not _is_told(node, parents)]
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
        for change in _changes(node):
            copied = copy.deepcopy(tree)
            twin = _twin(tree, copied, node)
            before = ast.unparse(_context(node, parents))
            change(twin)
            after = ast.unparse(_twin(tree, copied, _context(node, parents)))
            yield Mutant(file, node.lineno, before, after, ast.unparse(ast.fix_missing_locations(copied)))


def _changes(node: ast.AST) -> Iterator[Callable]:
    """Functions that put one fault into a copy of the node."""
    if isinstance(node, ast.Call):
        for place, keyword in enumerate(node.keywords):
            if keyword.arg not in KEPT | {None}:
                yield lambda n, place=place: n.keywords.pop(place)
    if isinstance(node, ast.AugAssign) and type(node.op) in COMPUTED:
        yield lambda n: setattr(n, "op", COMPUTED[type(n.op)]())
        yield lambda n: setattr(n, "value", ast.Constant(NEUTRAL[type(n.op)]))
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield lambda n: setattr(n, "value", ast.Constant(None))
    yield from _changes_of_value(node)


def _changes_of_value(node: ast.AST) -> Iterator[Callable]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        yield lambda n: n.ops.__setitem__(0, COMPARED[type(n.ops[0])]())
    elif isinstance(node, ast.BinOp) and type(node.op) in COMPUTED:
        yield lambda n: setattr(n, "op", COMPUTED[type(n.op)]())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield lambda n: setattr(n, "op", ast.UAdd())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield lambda n: setattr(n, "operand", ast.UnaryOp(ast.Not(), n.operand))
    elif isinstance(node, ast.BoolOp):
        yield lambda n: setattr(n, "op", ast.Or() if isinstance(n.op, ast.And) else ast.And())
    elif isinstance(node, ast.IfExp):
        yield lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield lambda n: setattr(n, "value", n.value * 2 if n.value else 1)
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield lambda n: setattr(n, "value", not n.value)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SWAPPED:
        yield lambda n: setattr(n.func, "attr", SWAPPED[n.func.attr])
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SWAPPED:
        yield lambda n: setattr(n.func, "id", SWAPPED[n.func.id])


def _is_told(node: ast.AST, parents: dict) -> bool:
    """Whether a node is part of what is said, not done: messages, annotations, docstrings, decorators."""
    while node in parents:
        parent = parents[node]
        if isinstance(parent, ast.Raise | ast.JoinedStr) or (
            isinstance(parent, ast.FunctionDef) and node in (parent.returns, *parent.decorator_list)
        ):
            return True
        if isinstance(parent, ast.arg | ast.AnnAssign) and node is parent.annotation:
            return True
        node = parent
    return False


def _context(node: ast.AST, parents: dict) -> ast.AST:
    """The statement around an expression, its body left out."""
    while not isinstance(node, ast.stmt):
        if isinstance(parents[node], ast.FunctionDef | ast.If | ast.For | ast.While | ast.With | ast.ClassDef):
            return node
        node = parents[node]
    return node


def _twin(tree: ast.AST, copied: ast.AST, node: ast.AST) -> ast.AST:
    """The node of a copied tree that stands where `node` stands in the tree."""
    return next(b for a, b in zip(ast.walk(tree), ast.walk(copied), strict=True) if a is node)


def targets(names: list[str]) -> list[str]:
    """The files of the core, or those named."""
    files = []
    for name in names or TESTS:
        path = ROOT / name
        files += sorted(path.glob("*.py")) if path.is_dir() else [path]
    return [str(path.relative_to(ROOT)) for path in dict.fromkeys(files) if path.name not in PASSED_OVER]


def tests_of(file: str) -> list[str]:
    """The tests that should notice a fault in a file."""
    part = max((part for part in TESTS if file.startswith(part)), key=len)
    found = list(dict.fromkeys(path for pattern in TESTS[part] for path in sorted(ROOT.glob(pattern))))
    words = set(pathlib.Path(file).stem.split("_"))
    # First those that bear its name, last those that compile: most faults are seen soon.
    found.sort(key=lambda path: ("compiled" in path.name, not words & set(path.stem.split("_"))))
    return [str(path.relative_to(ROOT)) for path in found]


def verdict_of(mutant: Mutant, expression: str = "", limit: float = math.inf) -> str:
    """Run the tests of a mutant, those of an expression, in a forked process for no longer than a limit in seconds."""
    child = os.fork()
    if not child:
        os.setsid()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os._exit(_run(mutant, expression))
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return NOTICED if status else SURVIVED
        time.sleep(0.1)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return ENDLESS


def _run(mutant: Mutant, expression: str) -> int:
    import pytest

    folder, *rest = pathlib.Path(mutant.file).with_suffix("").parts
    name = ".".join([PACKAGES[folder], *rest])

    class Finder:
        @staticmethod
        def find_spec(fullname: str, path: object = None, target: object = None) -> object:
            if fullname != name:
                return None

            class Loader(importlib.abc.SourceLoader):
                def get_data(self, path: str) -> bytes:
                    return mutant.source.encode()

                def get_filename(self, fullname: str) -> str:
                    return str(ROOT / mutant.file)

            return importlib.util.spec_from_loader(name, Loader())

    sys.meta_path.insert(0, Finder)
    os.chdir(ROOT)
    # What pytest and its plugins do for a reader would take most of the time.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    quiet = ["-x", "-q", "--assert=plain", "--no-summary", "--tb=no", "-p", "no:unraisableexception"]
    return int(pytest.main([*quiet, "-p", "no:cacheprovider", "-k", expression, *tests_of(mutant.file)]))


def main() -> None:
    """Run the mutants and print how many were noticed, and the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="files or folders of the core  [default: all of it]")
    parser.add_argument("--most", type=int, default=10, help="mutants of each file, chosen by the seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("-k", default="", help="tests of an expression as pytest takes it, sooner than all of them")
    parser.add_argument("--again", action="store_true", help="with --log: try those that were not noticed again")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    parser.add_argument("--log", type=pathlib.Path, help="file that keeps every verdict; a second run goes on there")
    given = parser.parse_args()
    chosen = []
    for file in targets(given.files):
        every = list(mutants(file))
        chosen += random.Random(f"{given.seed} {file}").sample(every, min(given.most, len(every)))
    if given.list:
        print(*chosen, sep="\n")
        return
    known = json.loads(given.log.read_text()) if given.log and given.log.exists() else {}
    if given.again:
        known = {name: value for name, value in known.items() if value == NOTICED}
    # Imported once, before the forks; nothing is computed yet.
    for name in ("keras", "tensorflow", "scipy.stats", "scipy.spatial", "scipy.optimize", "pykdtree.kdtree", "pytest"):
        importlib.import_module(name)
    lock = threading.Lock()

    def keep(name: str, value: Any) -> None:
        with lock:
            known[name] = value
            if given.log:
                given.log.write_text(json.dumps(known, indent=1))

    def measure(file: str) -> None:
        start = time.monotonic()
        if verdict_of(Mutant(file, 0, "", "", (ROOT / file).read_text()), given.k) != SURVIVED:
            raise SystemExit(f"{file}: its tests fail without any fault; mend that first")
        keep(_whole(file), time.monotonic() - start)
        print(f"{known[_whole(file)]:.0f} s without a fault: {file}", flush=True)

    def verdict(mutant: Mutant) -> str:
        if str(mutant) not in known:
            keep(str(mutant), verdict_of(mutant, given.k, LIMIT + 2 * known[_whole(mutant.file)]))
            print(f"{known[str(mutant)]:8} {mutant.file}:{mutant.line}", flush=True)
        return known[str(mutant)]

    left = {_whole(mutant.file): mutant.file for mutant in chosen if str(mutant) not in known}
    with ThreadPoolExecutor(given.processes) as pool:
        list(pool.map(measure, [file for tests, file in left.items() if tests not in known]))
        print(report(dict(zip(chosen, pool.map(verdict, chosen), strict=True))))


def _whole(file: str) -> str:
    """What the log calls the seconds of a file without a fault: files of the same tests share them."""
    return " ".join(sorted(tests_of(file)))


def report(verdicts: dict[Mutant, str]) -> str:
    """Figures by file, then of all, then the mutants that were not noticed."""
    equal = {mutant for mutant, found in verdicts.items() if found != NOTICED and str(mutant) in EQUIVALENT}
    lines = []
    for file in dict.fromkeys(mutant.file for mutant in verdicts):
        of_file = [found for mutant, found in verdicts.items() if mutant.file == file and mutant not in equal]
        lines.append(f"{file:45} {of_file.count(NOTICED):4d} of {len(of_file)}")
    tried, caught = len(verdicts) - len(equal), sum(found == NOTICED for found in verdicts.values())
    endless = [mutant for mutant, found in verdicts.items() if found == ENDLESS and mutant not in equal]
    lines.append(
        f"{caught} of {tried} noticed ({100 * caught / tried:.1f} %), {len(equal)} further change nothing, "
        f"{len(endless)} did not end"
    )
    for mutant, found in verdicts.items():
        if found != NOTICED:
            lines.append(f"{found}: {mutant}" + (f"   [{EQUIVALENT[str(mutant)]}]" if mutant in equal else ""))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
