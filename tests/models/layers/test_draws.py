"""Draws that a caller gives in the place of a network's own."""

import re

import numpy as np
import pytest
from keras import ops

from keras_wcd.models.layers import draws

pytestmark = pytest.mark.backend


def test_what_is_given_is_found_by_its_key_inside_the_context_alone():
    assert draws.given("rows") is None
    with draws.giving({"rows": np.ones((2, 3))}):
        assert draws.given("other") is None
        np.testing.assert_array_equal(ops.convert_to_numpy(draws.given("rows")), np.ones((2, 3)))
        with draws.giving({}):
            assert draws.given("rows") is None
    assert draws.given("rows") is None


@pytest.mark.parametrize("expected", [(2, 3), (None, 3), ("B", 3), (2, None), ("B", "N")])
def test_a_value_of_the_expected_shape_is_cast(expected):
    with draws.giving({"rows": np.ones((2, 3), "float32")}):
        assert "int32" in str(draws.given("rows", expected, "int32").dtype)


@pytest.mark.parametrize(
    ("expected", "shown"),
    [((2, 4), "(2, 4)"), ((None, 4), "(any, 4)"), (("B", 4), "(B, 4)"), ((2,), "(2)"), ((2, 3, 1), "(2, 3, 1)")],
)
def test_a_value_of_another_shape_is_named(expected, shown):
    with draws.giving({"rows": np.ones((2, 3), "float32")}):
        with pytest.raises(ValueError, match=re.escape(f"noise['rows'] must have shape {shown}, got (2, 3)")):
            draws.given("rows", expected)
        with pytest.raises(ValueError, match="^mean must have shape"):
            draws.given("rows", expected, name="mean")
