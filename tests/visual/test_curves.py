"""Curves of several runs in panels."""

import math

import numpy as np
import pytest

from keras_wcd.visual.curves import panels
from keras_wcd.visual.pictures import figure_png


def axes_of(quantities, **options):
    figure = panels(quantities, "epoch", **options)
    assert figure_png(figure).startswith(b"\x89PNG")
    return figure.axes


def test_every_quantity_has_a_panel_with_its_curves():
    one, two = axes_of({"loss": {"a": ([1, 2], [3.0, 2.0]), "b": ([1], [5.0])}, "rate": {"rate": ([1, 2], [0.1, 0.2])}})
    assert [line.get_label() for line in one.lines] == ["a", "b"]
    np.testing.assert_array_equal(one.lines[0].get_xydata(), [[1, 3], [2, 2]])
    assert [text.get_text() for text in one.get_legend().get_texts()] == ["a", "b"]
    assert two.get_legend() is None
    assert (two.get_title(), two.get_xlabel()) == ("rate", "epoch")


@pytest.mark.parametrize(
    ("values", "scale"),
    [([1.0, 30.0], "log"), ([1.0, 10.0], "linear"), ([0.0, 30.0], "linear"), ([1e-5, math.nan, 1e-3], "log")],
)
def test_a_wide_range_of_positive_values_is_logarithmic(values, scale):
    (axis,) = axes_of({"loss": {"a": (range(len(values)), values)}})
    assert axis.get_yscale() == scale


def test_values_that_are_not_finite_are_left_out():
    (axis,) = axes_of({"loss": {"a": ([1, 2, 3, 4], [1.0, math.nan, math.inf, 2.0])}})
    np.testing.assert_array_equal(axis.lines[0].get_xydata(), [[1, 1], [4, 2]])


@pytest.mark.parametrize("value", [1e-4, 0.0, -3.0])
def test_a_constant_is_drawn_as_one(value):
    (axis,) = axes_of({"rate": {"rate": ([1, 2, 3], [value, value * (1 + 1e-9), value])}})
    low, high = axis.get_ylim()
    assert high - low >= 2 * abs(value)
    assert low <= value <= high


def test_many_runs_are_told_apart_beside_the_panel():
    lines = {f"run{i}": ([1, 2], [float(i), i + 1.0]) for i in range(24)}
    (axis,) = axes_of({"CD-L1": lines}, columns=1)
    assert (
        len(
            {
                (line.get_color(), str(line.get_dashes() if hasattr(line, "get_dashes") else line._dash_pattern))
                for line in axis.lines
            }
        )
        == 24
    )
    assert axis.get_legend()._loc_real is not None
