"""LZF, the compression of binary_compressed PCD files: blocks of literals and of references backward."""

from keras_wcd.data.io.limits import FormatError

MAX_LITERAL = 32
MAX_REFERENCE = 264
MAX_DISTANCE = 8192
SKIP_AFTER = 6
"""Steps grow by one byte for every 2^6 bytes in which nothing was found to repeat."""
MAX_RATIO = MAX_REFERENCE / 3
"""A reference of three bytes stands for at most 264: no honest stream expands more."""


def decompress(data: bytes, size: int) -> bytes:
    """The `size` bytes that `data` stands for; memory grows with what is decoded, never with `size`.

    Raises:
        FormatError: for a stream that ends early, points before its start or yields another size.
    """
    output, position = bytearray(), 0
    try:
        while position < len(data) and len(output) <= size:
            control = data[position]
            position += 1
            if control < MAX_LITERAL:
                end = position + control + 1
                if end > len(data):
                    raise IndexError
                output += data[position:end]
                position = end
                continue
            length = control >> 5
            if length == 7:
                length += data[position]
                position += 1
            start = len(output) - ((control & 31) << 8) - data[position] - 1
            position += 1
            if start < 0:
                raise FormatError("corrupt compressed data (a reference points before its start)")
            _repeat(output, start, length + 2)
    except IndexError:
        raise FormatError("truncated compressed data") from None
    if len(output) != size:
        raise FormatError(f"compressed data holds {len(output)} bytes or more where its header says {size}")
    return bytes(output)


def _repeat(output: bytearray, start: int, length: int) -> None:
    """Append `length` bytes from `start` on; they may overlap what is being appended."""
    piece = output[start : start + length]
    output += (piece * (length // len(piece) + 1))[:length]


def compress(data: bytes) -> bytes:
    """`data` as an LZF stream: greedy, the last place of every three bytes is remembered."""
    output, seen = bytearray(), {}
    position = literal = 0
    while position < len(data):
        key = data[position : position + 3]
        found = seen.get(key, -1) if len(key) == 3 else -1
        seen[key] = position
        if found < 0 or position - found > MAX_DISTANCE:
            # The longer nothing repeats, the longer the steps: floats of noise would take a second per megabyte.
            position += 1 + (position - literal >> SKIP_AFTER)
            continue
        length = 3
        limit = min(MAX_REFERENCE, len(data) - position)
        while length < limit and data[found + length] == data[position + length]:
            length += 1
        _literals(output, data[literal:position])
        high, low = divmod(position - found - 1, 256)
        if length - 2 < 7:
            output += bytes(((length - 2) << 5 | high, low))
        else:
            output += bytes((7 << 5 | high, length - 9, low))
        position += length
        literal = position
    _literals(output, data[literal:])
    return bytes(output)


def _literals(output: bytearray, data: bytes) -> None:
    for start in range(0, len(data), MAX_LITERAL):
        piece = data[start : start + MAX_LITERAL]
        output.append(len(piece) - 1)
        output += piece
