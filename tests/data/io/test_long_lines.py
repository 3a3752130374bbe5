"""Lines of a text that are as long as the file: read or refused in the time that their length takes, not its square."""

import contextlib
import time

import pytest

from keras_wcd.complete import ROW
from keras_wcd.data.io.formats import read_cloud

LINES = {
    "digits": b"9" * 40_000 + b" " + b"9" * 40_000 + b" 9x\n",
    "blanks among names": b"x" + b" " * 60_000 + b"y z\n1 2 3\n",
    "brackets left open": b"x" + b"[" * 60_000 + b" y z\n1 2 3\n",
    "names in brackets": b"x," + b"(" * 60_000 + b",y,z\n1,2,3\n",
    "no numbers left open": b"nan(" * 100_000,
    "blanks": b" " * 60_000 + b"1 2 3\n",
    "commas": b"1," * 30_000,
    "thousands": b"1,234.5, " * 6_000 + b"x\n",
}
SECONDS = 1.5
"""Of the processor; each takes some hundredths."""


@pytest.mark.parametrize("extension", [".csv", ".xyz"])
@pytest.mark.parametrize("case", LINES)
def test_a_long_line_takes_the_time_of_its_length(tmp_path, case, extension):
    path = tmp_path / f"c{extension}"
    path.write_bytes(LINES[case])
    start = time.process_time()
    with contextlib.suppress(ValueError):
        read_cloud(path)
    assert time.process_time() - start < SECONDS


@pytest.mark.parametrize(
    "text", ["9" * 20_000, "9" * 9000 + " " + "9" * 9000 + " x", " " * 20_000, "1 " * 10_000 + "x"]
)
def test_prose_is_told_from_rows_in_the_time_of_its_length(text):
    start = time.process_time()
    ROW.search(text)
    assert time.process_time() - start < SECONDS / 3
