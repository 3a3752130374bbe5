"""The floors of the library and of the rooms in `data`, no circle of files, and a wheel that holds every file."""

import ast
import fnmatch
import functools
import importlib.metadata
import json
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FOLDERS = {"keras_wcd": "keras_wcd", "models": "keras_wcd.models", "export": "keras_wcd.export"}

PARTS = (
    ("types", "files", "heaps", "names", "parallel"),
    ("ops",),
    ("frames", "record", "saving"),
    ("weighting", "visual", "data", "export"),
    ("losses", "pictures", "plotting"),
    ("models",),
    ("metrics", "distill", "predictors"),
    ("complete",),
    ("evaluation", "completing"),
    ("training",),
    ("demo",),
    ("commands",),
    ("cli",),
)
"""Parts of the library, lowest floor first: a file imports from its own part or from a lower floor."""

ROOMS = (
    ("io", "categories", "contract", "resampling", "augment", "artifacts"),
    ("cache", "scanner"),
    ("pipeline", "procedural"),
    ("from_meshes",),
    ("datasets",),
)
"""The rooms of `keras_wcd.data`, by the same rule."""


@functools.cache
def modules():
    """Every file of the library, by the name it is imported under."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *(p for p in parts if p != "__init__")])] = path
    return found


@functools.cache
def homes(package):
    """Names that a package's stub promises, and the modules they come from."""
    stub = modules()[package].with_suffix(".pyi")
    if not stub.is_file() or stub.stem != "__init__":
        return {}
    nodes = [node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)]
    return {alias.name: f"{package}.{node.module or alias.name}" for node in nodes for alias in node.names}


def imports(path):
    """The names a file imports, at its top or inside functions, and the text of imports by name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            yield from (part.value for part in node.args[:1] if isinstance(part, ast.Constant))


def home(target):
    """The file that an imported name lies in; None where it is not the library's."""
    package, _, name = target.rpartition(".")
    if target in modules():
        return target
    if package in modules():
        return homes(package).get(name, package)
    return None


@functools.cache
def needed(module):
    """The other files of the library that a file imports."""
    return sorted({home(target) for target in imports(modules()[module])} - {None, module})


def floor_of(module, floors, package):
    """The part of `package` that a module lies in, and the number of its floor; None for one outside."""
    name = module.removeprefix(f"{package}.").partition(".")[0]
    floor = next((number for number, parts in enumerate(floors) if name in parts), None)
    return None if floor is None or not module.startswith(f"{package}.") else (name, floor)


@pytest.mark.parametrize("module", modules())
def test_imports_from_its_own_part_or_below(module):
    for floors, package in ((PARTS, "keras_wcd"), (ROOMS, "keras_wcd.data")):
        here = floor_of(module, floors, package)
        assert here or module == package or not module.startswith(f"{package}."), f"{module} stands on no floor"
        for target in needed(module):
            there = floor_of(target, floors, package)
            if here and there and here[0] != there[0]:
                assert there[1] < here[1], f"{module} imports {target}"


def test_every_part_that_stands_on_a_floor_exists():
    for floors, package in ((PARTS, "keras_wcd"), (ROOMS, "keras_wcd.data")):
        for part in (part for parts in floors for part in parts):
            assert f"{package}.{part}" in modules()


def circles(graph):
    """Sets of two or more files that reach each other by imports (Kosaraju's two sweeps)."""
    order, seen = [], set()

    def sweep(start, edges, done):
        stack = [(start, iter(edges[start]))]
        seen.add(start)
        while stack:
            file, rest = stack[-1]
            following = next((other for other in rest if other not in seen), None)
            if following is None:
                done.append(stack.pop()[0])
            else:
                seen.add(following)
                stack.append((following, iter(edges[following])))

    for file in graph:
        if file not in seen:
            sweep(file, graph, order)
    back = {file: [other for other in graph if file in graph[other]] for file in graph}
    found = []
    seen.clear()
    for file in reversed(order):
        if file not in seen:
            sweep(file, back, members := [])
            found.append(sorted(members))
    return [members for members in found if len(members) > 1]


def test_circles_are_found():
    graph = {"a": ["b"], "b": ["c"], "c": ["b", "d"], "d": [], "e": ["f", "a"], "f": ["g"], "g": ["e"]}
    assert sorted(circles(graph)) == [["b", "c"], ["e", "f", "g"]]


def test_no_files_import_each_other_in_a_circle():
    assert circles({module: needed(module) for module in modules()}) == []


def test_names_of_a_lazy_package_count_as_imports_of_their_files():
    assert home("keras_wcd.data.Camera") == "keras_wcd.data.scanner.camera"
    assert home("keras_wcd.data.scanner.camera.Camera") == "keras_wcd.data.scanner.camera"
    assert home("keras_wcd.losses.CD") == "keras_wcd.losses"
    assert home("keras_wcd.__version__") == "keras_wcd"
    assert home("numpy.random") is None


def settings():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def data_files():
    """Files beside the modules: the package they belong to, and their path inside it."""
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                inside = path.parent
                while not (inside / "__init__.py").is_file():
                    inside = inside.parent
                parts = inside.relative_to(ROOT / folder).parts
                yield ".".join([package, *parts]), path.relative_to(inside).as_posix()


def test_every_package_is_in_the_wheel():
    found = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert set(settings()["packages"]) == found


def test_every_file_beside_the_modules_is_in_the_wheel():
    patterns = settings()["package-data"]
    found = list(data_files())
    assert ("keras_wcd", "py.typed") in found
    assert ("keras_wcd", "__init__.pyi") in found
    assert ("keras_wcd.models", "preset-default/model.weights.h5") in found
    for package, path in found:
        fitting = [*patterns["*"], *patterns.get(package, [])]
        # A pattern's star does not cross folders.
        assert any(fnmatch.fnmatchcase(path, p) and path.count("/") == p.count("/") for p in fitting), (package, path)


def test_an_installed_wheel_holds_what_the_checkout_holds():
    distribution = importlib.metadata.distribution("keras-wcd")
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        pytest.skip("the checkout itself is installed")
    expected = {f"{package.replace('.', '/')}/{path}" for package, path in data_files()}
    for name, path in modules().items():
        expected.add(f"{name.replace('.', '/')}{'/__init__' if path.name == '__init__.py' else ''}.py")
    found = {str(path).replace("\\", "/") for path in distribution.files}
    assert {path for path in found if path.startswith("keras_wcd/") and not path.endswith(".pyc")} == expected
