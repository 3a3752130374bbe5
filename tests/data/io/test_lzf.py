import os

import numpy as np
import pytest

from keras_wcd.data.io import lzf
from keras_wcd.data.io.limits import FormatError


@pytest.mark.parametrize(
    "data",
    [b"", b"a", b"abc" * 1000, bytes(5000), os.urandom(3000), b"abcdefghij" * 3 + os.urandom(9000) + b"abcdefghij"],
)
def test_lzf_round_trips(data):
    assert lzf.decompress(lzf.compress(data), len(data)) == data


def test_lzf_decodes_a_stream_written_by_hand():
    # Two literals "ab", then 7 + 2 + 5 bytes from two back, overlapping, then the literal "c".
    assert lzf.decompress(bytes([1, 97, 98, 7 << 5, 5, 1, 0, 99]), 17) == b"ab" + b"ab" * 7 + b"c"


@pytest.mark.parametrize("data", [bytes([31, 1]), bytes([0x20]), bytes([0, 1, 0x20, 9]), bytes([0, 1, 0])])
def test_lzf_refuses_what_is_corrupt(data):
    with pytest.raises(FormatError):
        lzf.decompress(data, 300)


def test_noise_costs_little_more_than_itself():
    data = np.random.default_rng(0).integers(0, 256, 10**5, dtype=np.uint8).tobytes()
    packed = lzf.compress(data)
    assert len(packed) <= len(data) * 33 / 32 + 1
    assert lzf.decompress(packed, len(data)) == data


def test_what_repeats_is_found_again_after_noise():
    data = os.urandom(5000) + bytes(20000)
    packed = lzf.compress(data)
    assert len(packed) < 5700
    assert lzf.decompress(packed, len(data)) == data
