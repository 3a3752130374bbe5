"""How everything that has a name is found in its table, and what the errors say where nothing has that name."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class UnknownArgumentError(TypeError, ValueError):
    """A keyword that a class does not take: a TypeError as Python's own, a ValueError as every mistake in a value."""


def find(table: Mapping[str, T], name: str, what: str) -> T:
    """The row of a table by its name, however it is spelled.

    Args:
        table: Rows by name.
        name: A name; case, `_`, `-`, blanks and a prefix such as `keras_wcd>` do not matter.
        what: What a row is, for the error: "loss", "network".

    Raises:
        ValueError: `unknown loss 'landu_cd'; did you mean landau_cd? known are cd, dcd, ...`.
    """
    return table[key_of(table, name, what)]


def key_of(table: Iterable[str], name: str, what: str) -> str:
    """The name of a row as its table spells it; arguments and errors as of `find`."""
    if isinstance(name, str) and name in table:
        return name
    keys = {plain(key): key for key in table}
    if not isinstance(name, str) or plain(name) not in keys:
        raise ValueError(f"unknown {what} {_shown(name)}; {suggestion(name, sorted(keys.values()))}")
    return keys[plain(name)]


def _shown(name: Any) -> str:
    """A name as it was given, or the beginning of a long one."""
    return repr(name) if len(repr(name)) <= 100 else f"{repr(name)[:100]}..."


def plain(name: str) -> str:
    """A name without what does not tell names apart: `keras_wcd>LandauCD` and `landau-cd` are `landaucd`."""
    return "".join(c for c in name.rpartition(">")[2].lower() if c not in "_-" and not c.isspace())


def suggestion(name: Any, known: Iterable[str]) -> str:
    """`did you mean landau_cd? known are cd, dcd, ...`, the question only where a known name is near."""
    # No name is as long as what a damaged file may give.
    keys, wanted = {plain(key): key for key in known}, plain(str(name)[:100])
    begun = [key for key in keys if wanted and key.startswith(wanted)]
    near = difflib.get_close_matches(wanted, keys, n=1) or begun
    question = f"did you mean {keys[near[0]]}? " if near else ""
    return f"{question}known are {', '.join(keys.values()) or 'none'}"


def arguments_of(kind: type, *, last: type | None = None) -> tuple[str, ...]:
    """Names of all arguments that a class takes: its constructor's, and those its `**kwargs` hands to its bases.

    What a base takes by position only is for its subclasses to set: no caller can name it, here or further down.

    Args:
        kind: The class.
        last: The last of its bases to ask; by default the first whose constructor takes no `**kwargs`.
    """
    names: dict[str, bool] = {}
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]
        for p in parameters:
            if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
                names.setdefault(p.name, p.kind is not p.POSITIONAL_ONLY)
        if base is last or not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return tuple(name for name, open_ in names.items() if open_)


def refuse_unknown(kind: type, given: Iterable[str], known: Iterable[str] | None = None) -> None:
    """Raise where a keyword is none of a class's arguments.

    Args:
        kind: The class.
        given: Keywords that were given.
        known: Its arguments; those of `arguments_of` by default.

    Raises:
        UnknownArgumentError: `HyperCD has no argument 'alpah'; did you mean alpha? known are alpha, ...`.
    """
    known = tuple(arguments_of(kind) if known is None else known)
    for name in given:
        if name not in known:
            raise UnknownArgumentError(f"{kind.__name__} has no argument {name!r}; {suggestion(name, known)}")
