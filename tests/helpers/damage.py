"""Valid files damaged in every way, each damage drawn from a number: what the tests of parsers and benchmarks share."""

import random
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NUMBERS = (b"0", b"-1", b"1", b"3", b"255", b"65536", b"2147483648", b"1000000000000000", b"1e400", b"nan", b"x")
BYTES = (0, 1, 2, 3, 4, 8, 31, 32, 127, 128, 254, 255)
WORDS = [
    struct.pack(kind, number)
    for kind in ("<i", ">i", "<q", ">q")
    for number in (0, -1, 1, 2**31 - 1, -(2**31), 2**24, 65535)
] + [struct.pack(kind, number) for kind in ("<f", "<d", ">f") for number in (float("nan"), float("inf"), 1e38, -1e-38)]
TOKENS = (
    *(b"null", b"true", b"[]", b"{}", b'""', b'"x"', b"[1, [2]]", b'{"a": 1}', b"-0.0", b"1e400", b"NaN", b"Infinity"),
    *(b".nan", b"-.inf", b"2001-99-99", b"0b", b"0x", b"1:60", b"&a [*a]", b"!!set {a}", b"!!python/name:os.system x"),
    *(b"!!binary x", b"!!float x", b"!!int 0x", b"? [1]", b"<<: 1", b"\xff", b"\x00", b"\xc3\xa9", b"9" * 5000),
)
"""What stands in the place of a value of YAML or JSON."""
NESTS = (b"[", b"{", b'{"a":', b"- ", b"(", b"[[1],")
HEAD = 400
"""Half of the edits hit the first bytes of a file, where its header lies, or so many around a place."""
VALUE = re.compile(rb'"[^"\n]*"|[-+.\w]+')
NUMBER = re.compile(rb"-?\d+(\.\d+)?")
COUNTS = (1, 1, 1, 2, 2, 3, 5)
"""Edits of a file: after many, most are refused at their head."""
LONGEST = 600
"""Characters of a message, beside the path."""


@dataclass(frozen=True)
class Kind:
    """A kind of file: whole ones as bytes, how they are put at a path, and what reads that path."""

    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    put: Callable[[Path, bytes], object] = Path.write_bytes
    inner: Callable[[], list[bytes]] = list
    """Parts of whole files."""
    pack: Callable[[bytes], bytes] = bytes
    """Puts a damaged part into a whole file again, where damage from outside is seen by a checksum."""
    share: float = 1.0
    """Of the inputs of a long run; slow kinds take fewer."""

    def damaged(self, number: object) -> bytes:
        """The damaged file of a number, always the same one."""
        dice, inner = random.Random(str(number)), self.inner()
        if inner and dice.random() < 0.5:
            return self.pack(damaged(dice, inner))
        return damaged(dice, self.seeds())

    def try_to_read(self, path: Path) -> bool:
        """Whether a damaged file could be read; anything but a value or one clear error is an AssertionError."""
        try:
            self.read(path)
        except ValueError as error:
            message = str(error)
            assert str(path) in message, f"does not name the file: {message[:200]}"
            assert len(message) - len(str(path)) < LONGEST, f"is too long: {message[:200]}"
            return False
        return True


def damaged(dice: random.Random, files: list[bytes]) -> bytes:
    """One of `files` with a few edits, or bytes at random."""
    if dice.random() < 1 / 16:
        return dice.choice(files)[: dice.randint(0, 12)] + dice.randbytes(dice.randint(0, 300))
    data = bytearray(dice.choice(files))
    for _ in range(dice.choice(COUNTS)):
        end = min(len(data), HEAD) if dice.random() < 0.5 else len(data)
        place = dice.randint(0, max(end - 1, 0))
        edit = dice.choice(EDITS)
        if edit is splice:
            splice(dice, data, place, files)
        else:
            edit(dice, data, place)
    return bytes(data)


def flip(dice, data, place):
    if data:
        data[place] ^= 1 << dice.randint(0, 7)


def put(dice, data, place):
    data[place : place + 1] = bytes([dice.choice(BYTES)])


def put_word(dice, data, place):
    number = dice.choice(WORDS)
    data[place : place + len(number)] = number


def truncate(dice, data, place):
    del data[place:]


def insert(dice, data, place):
    data[place:place] = dice.randbytes(dice.randint(1, 12))


def remove(dice, data, place):
    del data[place : place + dice.randint(1, 40)]


def repeat(dice, data, place):
    data[place:place] = data[place : place + dice.randint(1, 60)] * dice.randint(1, 20)


def renumber(dice, data, place):
    """Another number in the place of one that is written in letters."""
    if match := _one(dice, NUMBER, data, place):
        data[match[0] : match[1]] = dice.choice(NUMBERS)


def exchange(dice, data, place):
    """Two values that are written in letters, each in the place of the other."""
    first, second = (_one(dice, VALUE, data, place) for _ in range(2))
    if first and second and first[1] <= second[0]:
        a, b = (bytes(data[start:end]) for start, end in (first, second))
        data[second[0] : second[1]] = a
        data[first[0] : first[1]] = b


def respell(dice, data, place):
    """Something else in the place of a value of a text."""
    if match := _one(dice, VALUE, data, place):
        data[match[0] : match[1]] = dice.choice(TOKENS)


def nest(dice, data, place):
    """More brackets than a stack holds, at a place or at the next value."""
    match = _one(dice, VALUE, data, place) or (place, place)
    data[match[0] : match[1]] = dice.choice(NESTS) * dice.choice((3, 100, 3000))


def swap_lines(dice, data, place):
    lines = bytes(data).split(b"\n")
    i, j = dice.randint(0, len(lines) - 1), dice.randint(0, len(lines) - 1)
    lines[i], lines[j] = lines[j], lines[i]
    data[:] = b"\n".join(lines)


def splice(dice, data, place, files):
    """A part of another file, in the place of as much or of the rest."""
    other = dice.choice(files)
    start = dice.randint(0, max(len(other) - 1, 0))
    part = other[start : start + dice.choice((8, 64, 512, len(other)))]
    data[place : place + dice.choice((0, len(part), len(data)))] = part


def _one(dice, pattern, data, place):
    """The ends of a match near the head or the place."""
    start = 0 if dice.random() < 0.5 else max(0, place - HEAD // 2)
    found = list(pattern.finditer(bytes(data[start : start + HEAD])))
    if not found:
        return None
    match = dice.choice(found)
    return start + match.start(), start + match.end()


IN_PLACE = (flip, put, put_word, renumber, exchange, respell)
EDITS = (*IN_PLACE, *IN_PLACE, truncate, insert, remove, repeat, swap_lines, nest, splice)
"""Those that leave the rest where it is lead further into a file."""
