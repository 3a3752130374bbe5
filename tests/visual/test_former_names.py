import importlib

import pytest

import keras_wcd
from keras_wcd.visual import pictures, plots


@pytest.mark.parametrize(("former", "home"), [("pictures", pictures), ("plotting", plots)])
def test_the_former_modules_give_the_same_objects_and_name_their_new_home(former, home):
    name = "clouds_png" if former == "pictures" else "weightings"
    for module in (importlib.import_module(f"keras_wcd.{former}"), getattr(keras_wcd, former)):
        with pytest.warns(FutureWarning, match=f"{home.__name__}; import {name}"):
            assert getattr(module, name) is getattr(home, name)
        with pytest.raises(AttributeError, match=f"keras_wcd.{former}' has no attribute 'unheard_of'"):
            module.unheard_of  # noqa: B018
