"""A run in words: its loss with the arguments that were given, and what its recipe changes of a known one."""

import functools
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

import keras

from keras_wcd import losses
from keras_wcd.names import arguments_of
from keras_wcd.training.recipe_files import plain
from keras_wcd.training.recipes import RECIPES, SHAPENET55_RECIPES, Recipe
from keras_wcd.training.small_recipes import small
from keras_wcd.training.words import flat, short

_UNSAID = ("name", "reduction", "dtype")
_REMARKS = ("backbone", "published_loss", "extra_terms", "source", "note")


def title_of(loss: keras.losses.Loss) -> str:
    """The name of a loss and the arguments that are not its defaults: `cd_l2`, `hyper_cd(alpha=1000.0)`."""
    # As it is saved: a loss of the user's may hold arrays, which do not compare to one truth.
    config, defaults = keras.saving.serialize_keras_object(loss)["config"], _defaults(type(loss))
    for name, kind in losses.NAMES.items():
        # The field's names of the Chamfer distances say an argument.
        if isinstance(kind, functools.partial) and kind.func is type(loss) and kind().get_config() == loss.get_config():
            return name
    given = [
        f"{name}={textwrap.shorten(short(config[name]), 40, placeholder='...')}"
        for name in arguments_of(type(loss))
        if name in config and name not in _UNSAID and config[name] != defaults.get(name)
    ]
    return loss.name + (f"({', '.join(given)})" if given else "")


def changes_of(recipe: Recipe) -> dict[str, Any]:
    """What a recipe changes: `{"from": "small", "values": {"epochs": 2}}`, of the known one that it is nearest to."""
    key, values = recipe.backbone, flat(plain(recipe))
    known = {"published": RECIPES, "published (ShapeNet-55)": SHAPENET55_RECIPES}
    bases = {name: table[key] for name, table in known.items() if key in table}
    if key in RECIPES:
        bases["small"] = small(key)
    found = {name: _changes(flat(plain(base)), values) for name, base in bases.items()}
    if not found:
        return {"from": "", "values": values}
    nearest = min(found, key=lambda name: len(found[name]))
    return {"from": nearest, "values": found[nearest]}


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    nothing = object()
    return {
        key: value
        for key, value in new.items()
        if old.get(key, nothing) != value and key.partition(".")[0] not in _REMARKS
    }


def _defaults(kind: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in kind.__mro__:
        if "__init__" in vars(base):
            for name, parameter in inspect.signature(base.__init__).parameters.items():
                found.setdefault(name, parameter.default)
    return found
