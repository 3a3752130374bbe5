"""The floors: a file imports from its own part or from a lower floor."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FLOORS = {
    "keras_wcd.files": 0,
    "keras_wcd.names": 0,
    "keras_wcd.types": 0,
    "keras_wcd.parallel": 0,
    "keras_wcd.ops": 1,
    "keras_wcd.frames": 1,
    "keras_wcd.weighting": 2,
    "keras_wcd.visual": 2,
    "keras_wcd.data": 2,
    "keras_wcd.export": 2,
    "keras_wcd.losses": 3,
    "keras_wcd.models": 3,
    "keras_wcd.metrics": 4,
    "keras_wcd.distill": 4,
    "keras_wcd.predictors": 4,
    "keras_wcd.complete": 5,
    "keras_wcd.completing": 6,
    "keras_wcd.pictures": 6,
    "keras_wcd.plotting": 6,
    "keras_wcd.training": 5,
    "keras_wcd.evaluation": 5,
    "keras_wcd.demo": 6,
    "keras_wcd.commands": 7,
    "keras_wcd.cli": 8,
}
FOLDERS = {"keras_wcd": "keras_wcd", "models": "keras_wcd.models", "export": "keras_wcd.export"}


def modules():
    """Every file of the library, by the name it is imported under."""
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            yield ".".join([package, *(p for p in parts if p != "__init__")]), path


def part_of(module):
    """The longest entry of FLOORS that the module lies in; None for the package itself."""
    fitting = [part for part in FLOORS if f"{module}.".startswith(f"{part}.")]
    return max(fitting, key=len, default=None)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda v: v if isinstance(v, str) else "")
def test_imports_from_its_own_part_or_below(module, path):
    part = part_of(module)
    assert part or module == "keras_wcd", f"{module} stands on no floor"
    for target in imports(path):
        other = part_of(target)
        if part and other and other != part:
            assert FLOORS[other] < FLOORS[part], f"{module} imports {target}"


def test_every_package_is_in_the_wheel():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {name for name, path in modules() if path.name == "__init__.py"}
    assert set(settings["packages"]) == found
