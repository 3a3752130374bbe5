"""Point cloud completion with weighted Chamfer distances, for Keras 3.

The names are those of `__init__.pyi`, which editors and type checkers read; each is resolved at first use, so that
what needs no framework loads none. The losses are those of `losses/table.py`, which is read here and not run.
"""

import ast
import pathlib

import lazy_loader

__version__ = "0.1.0"


def _names(file: str, module: str | None = None) -> list[str]:
    """Names that a file of this folder takes `as` themselves, from one module or from any, and those it assigns."""
    names = []
    for node in ast.parse((pathlib.Path(__file__).parent / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and module in (None, node.module or "."):
            names += [alias.name for alias in node.names if alias.asname == alias.name]
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return names


__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, _names("__init__.pyi", "."), {"losses": _names("losses/table.py")}
)
