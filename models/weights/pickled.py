"""Reads a pickle of plain values, calling nothing that it names, in time and memory that its size bounds.

A pickle is a program for a machine with a stack; Python's own may be told to call any function, to build objects
that take exponential time to compare or print, and to set attributes. The machine here knows numbers, text, lists,
tuples, dictionaries, sets, and the few names that its user gives it.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

MAX_STEPS = 2_000_000
"""Steps of one pickle, a few seconds; a checkpoint with an optimizer takes some 40 for each of its tensors."""
MAX_LINE = 2**16
MAX_WHOLE = 2**60
"""Whole numbers that name entries: beyond it different ones may be given the same place in a dictionary."""
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
CONTAINERS = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
GATHERED = {"LIST": list, "TUPLE": tuple}
SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
"""Steps that push the value written with them."""


class Refused(ValueError):
    """The file holds what plain data does not need, or too much; the message follows on "it"."""


@dataclass(frozen=True)
class Name:
    """A function or class that a pickle names: a word here, and no more."""

    text: str


class Machine:
    """Runs pickles from a file, one by one.

    Args:
        file: Positioned at a pickle; read up to its end and no further.
        size: Bytes of the file.
        names: What stands for the functions and classes that may be called; None for one that is only passed on.
        reference: Value of a persistent reference, from the tuple that is written for it.
    """

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        names: Mapping[str, Callable | None],
        reference: Callable[[Any], Any] | None = None,
    ):
        self.reader, self.names, self.reference = _Reader(file, size), names, reference
        self.stack, self.below, self.memo = [], [], {}

    def load(self) -> Any:
        """The value of the next pickle.

        Raises:
            Refused: for names that are not known, values that are not plain, or too many steps.
            ValueError, IndexError, KeyError, TypeError: for a pickle that is nonsense or cut short.
        """
        self.stack, self.below, self.memo = [], [], {}
        file = cast("IO[bytes]", self.reader)  # genops reads bytes and lines, no more.
        for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if number >= MAX_STEPS:
                raise Refused(f"takes more than {MAX_STEPS} steps to read")
            self._step(opcode.name, argument)
        return self.stack.pop()

    def _step(self, name: str, argument: Any) -> None:
        if name in VALUES:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in CONTAINERS:
            self.stack.append(CONTAINERS[name]())
        elif name in GATHERED:
            items = GATHERED[name](self._gathered())
            self.stack.append(items)
        elif name in SHORT_TUPLES:
            items = tuple(self.stack[-SHORT_TUPLES[name] :])
            if len(items) < SHORT_TUPLES[name]:
                raise IndexError("pop from an empty stack")
            self.stack[-SHORT_TUPLES[name] :] = [items]
        else:
            step = STEPS.get(name)
            if step is None:
                raise Refused(f"takes the step {name}, which plain data does not need")
            step(self, argument)

    def _gathered(self) -> list:
        """What was pushed since the last mark."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def _mark(self, _: None) -> None:
        self.below.append(self.stack)
        self.stack = []

    def _pop(self, _: None) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._gathered()

    def _pop_mark(self, _: None) -> None:
        self._gathered()

    def _duplicate(self, _: None) -> None:
        self.stack.append(self.stack[-1])

    def _put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def _memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, place: int) -> None:
        self.stack.append(self.memo[place])

    def _append(self, _: None) -> None:
        value = self.stack.pop()
        self._top(list).append(value)

    def _append_all(self, _: None) -> None:
        values = self._gathered()
        self._top(list).extend(values)

    def _set_item(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._top(dict)[checked_key(key)] = value

    def _set_items(self, _: None) -> None:
        items = self._gathered()
        self._top(dict).update(paired(items))

    def _dictionary(self, _: None) -> None:
        self.stack.append(paired(self._gathered()))

    def _add_all(self, _: None) -> None:
        items = self._gathered()
        self._top(set).update(map(checked_key, items))

    def _frozen_set(self, _: None) -> None:
        self.stack.append(frozenset(map(checked_key, self._gathered())))

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise Refused(f"adds to {_kind(self.stack[-1])} as if to a {kind.__name__}")
        return self.stack[-1]

    def _global(self, text: str) -> None:
        self._name(text.replace(" ", ".", 1))

    def _stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise Refused(f"names a function by {_kind(module)} and {_kind(name)}")
        self._name(f"{module}.{name}")

    def _name(self, text: str) -> None:
        if text not in self.names:
            raise Refused(f"names {text[:80]}, which a file of weights does not need")
        self.stack.append(Name(text))

    def _call(self, _: None) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        function = self.names[name.text] if type(name) is Name else None
        if function is None or type(arguments) is not tuple:
            raise Refused(f"calls {name.text if type(name) is Name else _kind(name)}")
        self.stack.append(function(*arguments))

    def _build(self, _: None) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        # Of a dictionary the entries are all that counts; PyTorch pickles attributes with it.
        if type(target) is not dict:
            build = getattr(type(target), "build", None)
            if build is None:
                raise Refused(f"sets attributes of {_kind(target)}")
            build(target, state)

    def _persistent(self, _: None) -> None:
        if self.reference is None:
            raise Refused("holds a reference where none belongs")
        self.stack.append(self.reference(self.stack.pop()))

    def _nothing(self, _: Any) -> None:
        """Steps of the format alone."""


STEPS: dict[str, Callable[[Machine, Any], None]] = {
    "MARK": Machine._mark,
    "POP": Machine._pop,
    "POP_MARK": Machine._pop_mark,
    "DUP": Machine._duplicate,
    "PUT": Machine._put,
    "BINPUT": Machine._put,
    "LONG_BINPUT": Machine._put,
    "MEMOIZE": Machine._memoize,
    "GET": Machine._get,
    "BINGET": Machine._get,
    "LONG_BINGET": Machine._get,
    "APPEND": Machine._append,
    "APPENDS": Machine._append_all,
    "SETITEM": Machine._set_item,
    "SETITEMS": Machine._set_items,
    "DICT": Machine._dictionary,
    "ADDITEMS": Machine._add_all,
    "FROZENSET": Machine._frozen_set,
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    "REDUCE": Machine._call,
    "NEWOBJ": Machine._call,
    "BUILD": Machine._build,
    "BINPERSID": Machine._persistent,
    "PROTO": Machine._nothing,
    "FRAME": Machine._nothing,
    "STOP": Machine._nothing,
}


def checked_key(key: Any) -> Any:
    """A key of a dictionary: text, a number, or a flat tuple of those; others take unbounded time to compare.

    Raises:
        Refused: for any other.
    """
    parts = key if type(key) is tuple else (key,)
    if len(parts) > 8 or not all(_plain(part) for part in parts):
        raise Refused(f"names an entry of a dictionary by {_kind(key)}")
    return key


def paired(items: list) -> dict:
    """The dictionary of keys and values that follow each other.

    Raises:
        Refused: for a key without a value, or one that `checked_key` refuses.
    """
    if len(items) % 2:
        raise Refused("holds a key without a value")
    return {checked_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _plain(part: Any) -> bool:
    if type(part) is int:
        return abs(part) < MAX_WHOLE
    return part is None or type(part) in (str, bytes, bool)


def _kind(value: Any) -> str:
    """A word for any value; the value itself may take exponential space to write."""
    return value.text if type(value) is Name else f"a {type(value).__name__}"


class _Reader:
    """The file as `pickletools` reads it, which trusts the lengths that are written: no more than is there."""

    def __init__(self, file: BinaryIO, size: int):
        self.file, self.size = file, size
        self.tell = file.tell

    def read(self, count: int) -> bytes:
        return self.file.read(max(0, min(count, self.size - self.file.tell())))

    def readline(self) -> bytes:
        return self.file.readline(MAX_LINE)
