import math

import pytest

from keras_wcd.visual.tables import aligned, number


def test_the_first_column_stands_to_the_left_and_the_others_to_the_right():
    table = aligned(["who", "how much"], [["a", "1.5"], ["longer", "22.25"]])
    assert table == "who     how much\na            1.5\nlonger     22.25"


def test_columns_of_words_can_stand_to_the_left():
    table = aligned(["", "family", "E"], [["1", "x", "2.00"], ["10", "wide word", "3"]], left=(1,))
    assert table == "    family        E\n 1  x          2.00\n10  wide word     3"


def test_a_table_without_rows_is_its_header():
    assert aligned(["a", "bc"], []) == "a  bc"


def test_no_line_ends_in_blanks():
    assert aligned(["a", "b"], [["1", ""], ["22", "x"]]).splitlines() == ["a   b", "1", "22  x"]


@pytest.mark.parametrize("row", [["1"], ["1", "2", "3"], []])
def test_a_row_of_another_length_is_refused(row):
    with pytest.raises(ValueError, match="rows must have 2 cells each"):
        aligned(["a", "b"], [row])


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(None, 3, "-"), (math.nan, 3, "nan"), (1.23456, 3, "1.235"), (2, 0, "2"), (math.inf, 2, "inf"), (-0.5, 1, "-0.5")],
)
def test_a_number_is_written_with_its_decimals(value, digits, text):
    assert number(value, digits) == text
