"""Recipes as plain data: read from YAML and JSON, changed value by value, written into the folder of a run."""

import dataclasses
import json
import math
import os
import pathlib
import typing
from collections.abc import Mapping
from typing import Any

from keras_wcd.data.contract import SPHERE, PairDataset
from keras_wcd.names import find, suggestion
from keras_wcd.training.augmentation import STEPS
from keras_wcd.training.recipes import OPTIMIZERS, PRECISIONS, RECIPES, SHAPENET55_RECIPES, TARGETS, Recipe, Stage
from keras_wcd.training.schedules import SCHEDULES, Constant, Schedule
from keras_wcd.training.small_recipes import small

NAMED = ("published", "small")
"""Recipes by name; anything else is a file."""
MOST_BYTES, MOST_VALUES, DEEPEST, LONGEST = 2**16, 10_000, 20, 10_000
"""Of a recipe's file: its size, values with all that its aliases repeat, their depth, characters of a text."""
MESSAGE = 500
"""Characters of what is wrong with a file, which may hold anything."""
_FIELDS = {field.name: field for field in dataclasses.fields(Recipe)}


def recipe_of(name: str | os.PathLike, backbone: str, dataset: PairDataset | None = None) -> Recipe:
    """The recipe of a name or a file.

    Args:
        name: "published", "small", or a file of YAML or JSON with the fields of `Recipe`; `base` in it names the
            recipe whose values it changes, "published" by default.
        backbone: The network, where the file does not name one.
        dataset: Where a recipe was published for it: shapes in ShapeNet-55's frame take ShapeNet-55's.

    Raises:
        ValueError: for an unknown name, a file that cannot be read, and a key or a value that a recipe has not.
    """
    if str(name) not in NAMED:
        return _from_file(pathlib.Path(name), backbone, dataset)
    if name == "small":
        return small(backbone)
    found = find(RECIPES, backbone, "recipe")
    on_shapenet55 = dataset is not None and dataset.frame == SPHERE
    return SHAPENET55_RECIPES.get(found.backbone, found) if on_shapenet55 else found


def plain(value: Any) -> Any:
    """A recipe, or a part of one, as JSON holds it."""
    if isinstance(value, Schedule):
        return {"kind": type(value).__name__, **{k: plain(v) for k, v in vars(value).items()}}
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def from_plain(values: Mapping[str, Any]) -> Recipe:
    """The recipe of plain data.

    Raises:
        ValueError: for an unknown key, with the nearest one, and for a value that it cannot have.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"a recipe must hold values by name, got {values!r}")
    check_plain(values)
    _known(values, _FIELDS, "a recipe")
    missing = [
        name
        for name, field in _FIELDS.items()
        if name not in values and field.default is field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"a recipe needs {', '.join(missing)}")
    recipe = Recipe(**{name: _field(name, value) for name, value in values.items()})
    if recipe.epochs is None and recipe.steps is None:
        raise ValueError("a recipe needs epochs or steps, got neither")
    return recipe


def changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """A recipe with some values changed.

    Args:
        recipe: The recipe.
        changes: Values by dotted keys: `batch_size`, `schedule.value`, `stages.fine.weight`, `network.num_coarse`.

    Raises:
        ValueError: as `from_plain`.
    """
    values = plain(recipe)
    for key, value in changes.items():
        first, *rest = key.split(".")
        _known([first], _FIELDS, "a recipe", key)
        place, last = values, first
        for part in rest:
            place, last = _inside(place, last, key), part
        if isinstance(place, list):
            place = _inside_list(place, key)
        if first not in ("network",) and rest and last not in place:
            raise ValueError(f"{key}: {suggestion(last, place)}")
        place[last] = value
    return from_plain(values)


def _inside(place: Any, name: str, key: str) -> Any:
    """The part `name` of a mapping, or the stage of that name in a list."""
    found = {row["name"]: row for row in place} if isinstance(place, list) else place
    if not isinstance(found, Mapping) or name not in found:
        known = found if isinstance(found, Mapping) else ()
        raise ValueError(f"{key}: there is no {name!r}; {suggestion(name, known)}")
    return found[name]


def _inside_list(place: list, key: str) -> Any:
    fields = ", ".join(f"stages.{row['name']}.weight" for row in place)
    raise ValueError(f"{key}: name a field of a stage, such as {fields}")


def _from_file(path: pathlib.Path, backbone: str, dataset: PairDataset | None) -> Recipe:
    if not path.is_file():
        raise ValueError(f"{path}: no such recipe; name a file of YAML, or one of {', '.join(NAMED)}")
    values = _read(path)
    base = values.pop("base", "published")
    try:
        if base not in NAMED:
            raise ValueError(f"base must be one of {', '.join(NAMED)}, got {base!r}")
        if not isinstance(values.get("backbone", backbone), str):
            raise ValueError(f"backbone must be the name of a network, got {values['backbone']!r}")
        # A file that gives all is none that was published.
        needed = {"schedule", "stages", "batch_size"}
        if needed <= set(values) and values.get("backbone", backbone) not in RECIPES:
            return from_plain({"backbone": backbone, "epochs": None, **values})
        recipe = recipe_of(base, values.get("backbone", backbone), dataset)
        return from_plain(_merged(plain(recipe), values))
    except ValueError as error:
        message = str(error)
        if len(message) > MESSAGE:
            message = f"{message[: MESSAGE // 2]} ... {message[-MESSAGE // 2 :]}"
        raise ValueError(f"{path}: {message}") from None


def _read(path: pathlib.Path) -> dict[str, Any]:
    import yaml

    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes, {MOST_BYTES} at most are read")
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, RecursionError, *_NONSENSE) as error:
        reason = " ".join(str(error).split())[: MESSAGE // 2]
        raise ValueError(f"{path}: not a file of YAML ({type(error).__name__}: {reason})") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ValueError(f"{path}: holds no recipe; write KEY: VALUE lines, such as batch_size: 16")
    try:
        check_plain(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return values


_NONSENSE = (ValueError, LookupError, AttributeError, TypeError, OverflowError)
"""What PyYAML raises for dates, numbers and texts that are none."""


def check_plain(values: Any) -> None:
    """Refuse what is no plain data: keys that are no texts, dates, sets, cycles, more than any recipe has.

    Raises:
        ValueError: with what it is.
    """
    level, count = [values], 0
    for _ in range(DEEPEST):
        count += len(level)
        if count > MOST_VALUES:
            raise ValueError(f"holds more than {MOST_VALUES} values, which no recipe does")
        below = []
        for value in level:
            if isinstance(value, Mapping):
                if not all(isinstance(key, str) for key in value):
                    bad = next(key for key in value if not isinstance(key, str))
                    raise ValueError(f"keys must be texts, got {str(bad)[:80]}")
                below += value.values()
            elif isinstance(value, list | tuple):
                below += value
            elif not isinstance(value, str | int | float | None) or len(str(value)) > LONGEST:
                raise ValueError(f"{str(value)[:80]!r} is no number, text, list or mapping that a recipe has")
        level = below
        if not level:
            return
    raise ValueError(f"is nested more than {DEEPEST} deep, which no recipe is")


def _merged(old: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a file over those of a recipe; arguments of the network are joined, all else is replaced."""
    network = new.get("network")
    if isinstance(network, Mapping):
        new = {**new, "network": {**old["network"], **network}}
    return {**old, **new}


def _known(names: Any, known: Any, what: str, key: str = "") -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{key or name}: {what} has no {name!r}; {suggestion(name, known)}")


def _field(name: str, value: Any) -> Any:
    """A value of a recipe's field, checked and of the field's type."""
    if value is None and name in ("batch_norm", "clip_norm", "epochs", "precision", "steps"):
        return None
    if name in ("schedule", "batch_norm"):
        return _schedule(value, name)
    if name == "stages":
        return _stages(value)
    if name == "network":
        if not isinstance(value, Mapping):
            raise ValueError(f"network must hold arguments by name, got {value!r}")
        return {key: tuple(part) if isinstance(part, list) else part for key, part in value.items()}
    if name in ("augmentation", "extra_terms"):
        return _names(name, value)
    if name == "optimizer":
        return _one_of(OPTIMIZERS, value, name)
    if name == "precision":
        return _one_of(PRECISIONS, value, name)
    if name in ("batch_size", "epochs", "steps", "accumulate"):
        return _whole(value, name)
    if isinstance(_FIELDS[name].default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false, got {value!r}")
        return value
    if isinstance(_FIELDS[name].default, float) or name == "clip_norm":
        return _number(value, name, _RANGES.get(name, (0, math.inf)))
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text, got {value!r}")
    return value


_ABOVE = math.ulp(0.0)
_RANGES = {
    "beta_1": (0, 1 - 2**-24),
    "beta_2": (0, 1 - 2**-24),
    "ema": (0, 1 - 2**-24),
    "epsilon": (_ABOVE, math.inf),
    "clip_norm": (_ABOVE, math.inf),
    "loss_scale": (_ABOVE, math.inf),
}


def _number(value: Any, name: str, bounds: tuple[float, float] = (-math.inf, math.inf)) -> float:
    try:
        # YAML takes 1e-3 for a text: it wants 1.0e-3.
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or not bounds[0] <= number <= bounds[1]:
        lowest = {0: " >= 0", _ABOVE: " above 0"}.get(bounds[0], "")
        highest = " and below 1" if bounds[1] < 1 else ""
        raise ValueError(f"{name} must be a finite number{lowest}{highest}, got {value!r}")
    return number


def _whole(value: Any, name: str) -> int:
    number = _number(value, name)
    if number < 1 or number % 1:
        raise ValueError(f"{name} must be at least 1 and whole, got {value!r}")
    return int(number)


def _one_of(known: tuple[str, ...], value: Any, name: str) -> str:
    if value not in known:
        raise ValueError(f"{name}: {value!r} is none; {suggestion(value, known)}")
    return value


def _names(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
        raise ValueError(f"{name} must be a list of names, got {value!r}")
    if name == "augmentation":
        for part in value:
            _one_of(tuple(STEPS), part, name)
    return tuple(value)


def _schedule(value: Any, name: str) -> Schedule:
    """A schedule of its kind and arguments; a number alone is constant."""
    if not isinstance(value, Mapping):
        return Constant(_number(value, name, (0, math.inf)))
    if "kind" not in value:
        raise ValueError(f"{name} needs a kind: {', '.join(SCHEDULES)}")
    kind = SCHEDULES[_one_of(tuple(SCHEDULES), value["kind"], f"{name}.kind")]
    fields = {field.name: field for field in dataclasses.fields(kind)}
    given = {key: part for key, part in value.items() if key != "kind"}
    _known(given, fields, f"{name} ({value['kind']})")
    missing = [key for key, field in fields.items() if key not in given and field.default is dataclasses.MISSING]
    if missing:
        raise ValueError(f"{name} ({value['kind']}) needs {', '.join(missing)}")
    return kind(**{key: _argument(part, f"{name}.{key}", fields[key].type) for key, part in given.items()})


def _argument(value: Any, name: str, wanted: Any) -> Any:
    """An argument of a schedule, of the type that its field has."""
    if wanted is Schedule:
        return _schedule(value, name)
    if typing.get_origin(wanted) is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{name} must be a list of numbers, got {value!r}")
        return tuple(_number(part, name) for part in value)
    if wanted is int:
        return _whole(value, name)
    last = name.rpartition(".")[2]
    return _number(value, name, (_ABOVE if last == "factor" else 0, math.inf))


def _stages(value: Any) -> tuple[Stage, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"stages must be a list of name, weight and target, got {value!r}")
    made = []
    for row in value:
        if not isinstance(row, Mapping) or "name" not in row:
            raise ValueError(f"stages must be a list of name, weight and target, got {row!r} in it")
        _known(row, ("name", "weight", "target"), "a stage")
        where = f"stages.{row['name']}"
        weight = row.get("weight", 1.0)
        scheduled = isinstance(weight, Mapping)
        weight = _schedule(weight, where) if scheduled else _number(weight, f"{where}.weight", (0, math.inf))
        made.append(Stage(str(row["name"]), weight, _one_of(TARGETS, row.get("target", "prefix"), f"{where}.target")))
    return tuple(made)


def settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Changes of a recipe from `key=value` pairs, the values in JSON or plain words.

    Raises:
        ValueError: for a pair without `=`.
    """
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"a change is KEY=VALUE, such as batch_size=8, got {pair!r}")
        try:
            found[key] = json.loads(value)
        except json.JSONDecodeError:
            found[key] = value
    return found
