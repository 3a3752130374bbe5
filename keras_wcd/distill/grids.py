"""Where each family's parameters are searched: the grids stated beside the parameters, and those a user gives."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from keras_wcd import weighting as weightings
from keras_wcd.distill.distances import DistanceDistribution
from keras_wcd.losses.base import snake_case
from keras_wcd.names import find
from keras_wcd.weighting import WEIGHTINGS, Weighting

SCALE = "distance_scale"
"""The name of the distance scale among a family's parameters in a grid."""


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
    """A family of weightings with the values to search.

    Attributes:
        name: Its name in a ranking.
        source: Its class, or a weighting that is taken as it stands.
        values: Values of each parameter in the order of the fields, then of the distance scale, all ascending.
    """

    name: str
    source: type[Weighting] | Weighting
    values: dict[str, np.ndarray]

    @property
    def points(self) -> np.ndarray:
        """Every combination of the values, `(P, len(values))`."""
        return np.stack(np.meshgrid(*self.values.values(), indexing="ij"), axis=-1).reshape(-1, len(self.values))

    def weighting(self, point: np.ndarray) -> Weighting:
        """The weighting at a combination."""
        return self.source(*map(float, point[:-1])) if isinstance(self.source, type) else self.source


def resolve(
    families: Any, grid: Mapping | None, scale: float | str, distances: DistanceDistribution, rescale: str | None
) -> list[Family]:
    """The families to search, from what the user gave to `distill`.

    Raises:
        ValueError: for an unknown family, grid key or parameter, a family given twice or without a valid value.
    """
    if families is None or families == "all":
        families = WEIGHTINGS
    elif isinstance(families, (str, type, Weighting)):
        families = [families]
    sources = [_source(family) for family in _listed(families)]
    names = [_name(source) for source in sources]
    if len(set(names)) < len(names):
        raise ValueError(f"families must differ by name, got {', '.join(names)}")
    given = {_name(_source(key)): dict(values) for key, values in (grid or {}).items()}
    if unused := sorted(set(given) - set(names)):
        raise ValueError(f"grid has values for {', '.join(unused)}, which families does not name: {', '.join(names)}")
    scales = _scales(scale, distances)
    return [
        Family(name, source, _values(name, source, given.get(name, {}), scales, rescale is not None))
        for name, source in zip(names, sources, strict=True)
    ]


def _listed(families: Iterable) -> list:
    if not isinstance(families, Iterable) or not (listed := list(families)):
        raise ValueError(f"families must be None, a family or a list of them, got {families!r}")
    return listed


def _source(family: Any) -> type[Weighting] | Weighting:
    if isinstance(family, Weighting):
        return family
    if isinstance(family, type) and issubclass(family, Weighting) and dataclasses.is_dataclass(family):
        return family
    if isinstance(family, str):
        return find(WEIGHTINGS, family, "family")
    raise ValueError(f"families must be names, classes or instances of Weighting, got {family!r}")


def _name(source: type[Weighting] | Weighting) -> str:
    if isinstance(source, weightings.Custom):
        return getattr(source.function, "__name__", "custom")
    if isinstance(source, type):
        return snake_case(source.__name__)
    # An instance may stand beside its family: its parameters tell them apart.
    parameters = ", ".join(f"{key}={value:g}" for key, value in source.get_config().items())
    return f"{snake_case(type(source).__name__)}({parameters})" if parameters else snake_case(type(source).__name__)


def _scales(scale: float | str, distances: DistanceDistribution) -> np.ndarray:
    if scale == "median":
        scale = distances.median
    if scale == "fit":
        return distances.median * np.geomspace(1e-2, 1e4, 49)
    if isinstance(scale, str) or not (scale > 0 and np.isfinite(scale)):
        raise ValueError(f'distance_scale must be a positive number, "median" or "fit", got {scale!r}')
    return np.array([float(scale)])


def _values(
    name: str, source: type[Weighting] | Weighting, given: dict, scales: np.ndarray, heights_free: bool
) -> dict[str, np.ndarray]:
    fields = dataclasses.fields(source) if isinstance(source, type) else ()
    parameters = [field.name for field in fields]
    fitted = scales.size > 1
    if unknown := sorted(set(given) - set(parameters) - ({SCALE} if fitted else set())):
        known = ", ".join(parameters) or "none"
        raise ValueError(f"grid of {name}: unknown parameter {', '.join(unknown)}; it has {known}")
    # Where heights are rescaled away, a scale beside a parameter in units of distance would only repeat it.
    if fitted and heights_free and any(field.metadata.get("unit") for field in fields):
        scales = np.ones(1)
    default = {**{f.name: f.metadata["grid"] for f in fields if "grid" in f.metadata}, SCALE: scales}
    if missing := [key for key in parameters if key not in given and key not in default]:
        raise ValueError(f"grid of {name}: no values for {', '.join(missing)}")
    return {key: _valid(name, key, given.get(key, default.get(key))) for key in [*parameters, SCALE]}


def _valid(name: str, key: str, values: Any) -> np.ndarray:
    try:
        values = np.unique(np.asarray(values, np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(f"grid of {name}: {key} must be a list of numbers, got {values!r}") from error
    valid = values[np.isfinite(values) & (values > 0)]
    if valid.size == 0:
        raise ValueError(f"grid of {name}: no valid value for {key}, which must be positive and finite; got {values}")
    return valid
