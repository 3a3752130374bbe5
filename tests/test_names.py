"""One rule finds every name, and says what was probably meant."""

import re

import pytest

from keras_wcd.names import UnknownArgumentError, arguments_of, find, key_of, plain, refuse_unknown

TABLE = {"cd": 1, "landau_cd": 2, "hyper_cd": 3, "shapenet-55": 4}


@pytest.mark.parametrize("name", ["landau_cd", "LandauCD", "keras_wcd>LandauCD", "LANDAU-CD", " landau cd "])
def test_finds_a_row_however_its_name_is_spelled(name):
    assert find(TABLE, name, "loss") == 2
    assert key_of(TABLE, name, "loss") == "landau_cd"


def test_a_table_may_spell_its_names_in_any_way():
    assert find(TABLE, "ShapeNet55", "data set") == 4


def test_a_row_whose_name_is_spelled_exactly_comes_first():
    assert find({"Half": 1, "half": 2}, "Half", "family") == 1
    assert find({"Half": 1, "half": 2}, "half", "family") == 2


def test_asks_for_the_nearest_name_and_lists_all():
    expected = "unknown loss 'landu_cd'; did you mean landau_cd? known are cd, hyper_cd, landau_cd, shapenet-55"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        find(TABLE, "landu_cd", "loss")


@pytest.mark.parametrize("name", ["zzzzzz", "", 3, None, ["cd"]])
def test_asks_nothing_where_no_name_is_near(name):
    expected = f"unknown loss {name!r}; known are cd, hyper_cd, landau_cd, shapenet-55"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        find(TABLE, name, "loss")


def test_says_so_where_a_table_is_empty():
    with pytest.raises(ValueError, match="unknown preset 'x'; known are none"):
        find({}, "x", "preset")


class Base:
    def __init__(self, *, weight=1.0, name=None):
        pass


class Closed(Base):
    def __init__(self, alpha, **kwargs):
        super().__init__(**kwargs)


class Silent(Closed):
    pass


@pytest.mark.parametrize("kind", [Closed, Silent])
def test_arguments_are_those_of_the_class_and_of_its_bases(kind):
    assert arguments_of(kind) == ("alpha", "weight", "name")


@pytest.mark.parametrize("kind", [TypeError, ValueError, UnknownArgumentError])
def test_refuses_an_argument_that_a_class_has_not(kind):
    expected = "Closed has no argument 'alhpa'; did you mean alpha? known are alpha, weight, name"
    with pytest.raises(kind, match=re.escape(expected)):
        refuse_unknown(Closed, ["weight", "alhpa"])
    refuse_unknown(Closed, ["weight", "alpha"])


class Bound(Closed):
    def __init__(self, alpha, /, beta=1.0, **kwargs):
        super().__init__(alpha, **kwargs)


class Leaf(Bound):
    def __init__(self, beta=2.0, **kwargs):
        super().__init__(3.0, beta, **kwargs)


def test_what_a_base_takes_by_position_only_is_no_argument():
    assert arguments_of(Leaf) == ("beta", "weight", "name")


@pytest.mark.parametrize(("given", "meant"), [("a", "alpha"), ("wei", "weight"), ("alpah", "alpha")])
def test_asks_for_the_argument_that_was_begun_or_misspelled(given, meant):
    with pytest.raises(UnknownArgumentError, match=f"did you mean {meant}"):
        refuse_unknown(Closed, [given])


def test_plain_keeps_what_tells_names_apart():
    assert plain("keras_wcd>ShapeNet-55 ") == "shapenet55"
