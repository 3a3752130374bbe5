"""What a distillation finds: the ranking of families, the losses, tables, plots and a file."""

import dataclasses
import json
import os
from typing import Any, cast

import keras
import numpy as np

from keras_wcd import losses
from keras_wcd import weighting as weightings
from keras_wcd.distill.distances import DistanceDistribution
from keras_wcd.distill.gradients import profile_gradient
from keras_wcd.distill.teachers import teacher_gradient, teacher_name
from keras_wcd.files import json_of, read_json, replacing
from keras_wcd.losses import WeightedCD
from keras_wcd.names import find
from keras_wcd.visual import plots
from keras_wcd.visual.tables import aligned
from keras_wcd.weighting import Weighting

OPTIONS = ("shift", "rescale", "distance_scale", "norm", "refine", "grid", "versions")
CURVE = 400
"""Distances at which weightings are drawn."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """The best member of one family.

    Attributes:
        family: Name of the family.
        parameters: Its parameters, by name.
        objective: E, the mismatch of gradients.
        weighting: The weighting f.
        shift: m of $f(d / s + m) d$.
        scale: s of the same.
        factor: What the gradient is multiplied by where it is compared with the teacher's. As `pred_weight` and
            `true_weight` of the loss it gives gradients of the teacher's size.
        at_edge: Parameters that lie at an end of their grid: a wider grid may do better.
    """

    family: str
    parameters: dict[str, float]
    objective: float
    weighting: Weighting
    shift: float
    scale: float
    factor: float
    at_edge: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class DistillationResult:
    """The families of weightings, ranked by how well their gradients match a teacher's.

    Attributes:
        teacher: The loss or function that was distilled; its name, if the result was read from a file and the
            teacher was a function.
        teacher_gradient: $z_T$ over the support of `distances` `(n,)`.
        distances: p(d).
        ranking: The best member of each family, best first.
        shift: Option of `distill`, as the next ones.
        rescale: See `distill`.
        distance_scale: See `distill`.
        norm: See `distill`.
        refine: See `distill`.
        grid: The values that were searched, by family and parameter.
        versions: Of the packages that computed it.
    """

    teacher: Any
    teacher_gradient: np.ndarray
    distances: DistanceDistribution
    ranking: tuple[Candidate, ...]
    shift: str | None
    rescale: str | None
    distance_scale: float | str
    norm: str
    refine: bool
    grid: dict[str, dict[str, list[float]]]
    versions: dict[str, str]

    @property
    def best(self) -> Candidate:
        """The candidate of the lowest objective."""
        return self.ranking[0]

    def candidate(self, family: str | None = None) -> Candidate:
        """The candidate of a family by its name in the ranking, or the best.

        Raises:
            ValueError: if the ranking has no such family, with the nearest and all that it has.
        """
        if family is None:
            return self.best
        return find({candidate.family: candidate for candidate in self.ranking}, family, "family")

    def loss(self, family: str | None = None, **kwargs) -> WeightedCD:
        """The weighted Chamfer distance of a family, or of the best one, with the shift and scale that were matched.

        Args:
            family: Its name in the ranking; None for the best.
            **kwargs: Further arguments of `WeightedCD`, such as `pred_weight`.
        """
        found = self.candidate(family)
        return WeightedCD(found.weighting, shift=found.shift, scale=found.scale, **kwargs)

    def table(self) -> str:
        """The ranking as text, one line for each family; a star marks what lies at an end of its grid."""
        header, rows = ("", "family", "objective", "parameters", "shift", "scale"), []
        for rank, found in enumerate(self.ranking, 1):
            parameters = [f"{key} {value:.4g}{_star(found, key)}" for key, value in found.parameters.items()]
            scale = f"{found.scale:.4g}{_star(found, 'distance_scale')}"
            row = (str(rank), found.family, f"{found.objective:.3e}", ", ".join(parameters) or "-")
            rows.append((*row, f"{found.shift:.4g}", scale))
        title = (
            f"teacher {self._teacher_text()}, distances {self.distances.name}, shift {self.shift}, "
            f"rescale {self.rescale}, distance scale {self.distance_scale}"
        )
        return "\n".join([title, aligned(header, rows, left=range(len(header)))])

    def plot(self, path: str | os.PathLike) -> tuple[str, ...]:
        """Draws p(d) and the rescaled curves of teacher and families, by objective (Fig. 2 of the paper).

        Args:
            path: A file of a suffix that matplotlib knows, such as .png or .svg; without suffix both are written.

        Returns:
            The paths of the files written.
        """
        curves = {self._label(rank): self._gradient(found) for rank, found in enumerate(self.ranking, 1)}
        support = self.distances.support
        return plots.distillation(
            path, support, self.distances.weights, (self._teacher_text(), _unit(self.teacher_gradient)), curves
        )

    def plot_weightings(self, path: str | os.PathLike, limit: float | None = None) -> tuple[str, ...]:
        """Draws the weighting densities beside the teacher's gradient (Fig. 1 of the paper), each over its maximum.

        Args:
            path: As in `plot`.
            limit: The largest distance drawn; None for the largest of the support, and beyond it only where the
                teacher can still be evaluated.

        Returns:
            The paths of the files written.
        """
        d, gradient = self.distances.support, self.teacher_gradient
        if limit is not None and not isinstance(self.teacher, str):
            d = np.linspace(limit / CURVE, limit, CURVE)
            gradient = teacher_gradient(self.teacher, d)
        curves = {}
        for rank, found in enumerate(self.ranking, 1):
            values = found.weighting(keras.ops.convert_to_tensor(d / found.scale + found.shift, "float64"))
            curves[self._label(rank)] = _unit(keras.ops.convert_to_numpy(values))
        return plots.weightings(path, d, (f"gradient of {self._teacher_text()}", _unit(gradient)), curves)

    def to_json(self, path: str | os.PathLike | None = None) -> str:
        """The result as JSON, also written to `path` if one is given. Functions are recorded by name."""
        record = {key: getattr(self, key) for key in OPTIONS}
        record["teacher"] = _serialized(self.teacher)
        record["teacher_gradient"] = self.teacher_gradient.tolist()
        record["distances"] = {
            "name": self.distances.name,
            "support": self.distances.support.tolist(),
            "weights": self.distances.weights.tolist(),
        }
        record["ranking"] = [
            {**_fields(found), "weighting": keras.saving.serialize_keras_object(found.weighting)}
            for found in self.ranking
        ]
        text = json.dumps(record, indent=1, allow_nan=False)
        if path is not None:
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return text

    @classmethod
    def from_json(cls, source: str | os.PathLike) -> "DistillationResult":
        """The inverse of `to_json`, from its text or from a file.

        Raises:
            ValueError: if the file is missing or holds something else.
        """
        text = str(source).lstrip().startswith("{")
        if not text and not os.path.isfile(source):
            raise ValueError(f"{source}: no such file; give a file written by DistillationResult.to_json")
        try:
            record = json_of(str(source)) if text else read_json(source)
            ranking = tuple(_candidate(found) for found in record["ranking"])
            distances = DistanceDistribution(**record["distances"])
            options = {key: record[key] for key in OPTIONS}
            gradient = _numbers(record["teacher_gradient"], distances.support.shape)
            teacher = losses.get(record["teacher"]) if isinstance(record["teacher"], dict) else record["teacher"]
            if not ranking or not isinstance(teacher, str | keras.losses.Loss):
                raise ValueError("it holds no ranking, or no teacher")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            name = "source" if text else source
            reason = str(error).removeprefix(f"{source}: ")[:300]
            what = f"{type(error).__name__}: {reason}"
            raise ValueError(f"{name}: not written by DistillationResult.to_json ({what})") from error
        return cls(teacher=teacher, teacher_gradient=gradient, distances=distances, ranking=ranking, **options)

    def _teacher_text(self) -> str:
        if isinstance(self.teacher, str):
            return self.teacher
        name = teacher_name(self.teacher)
        for key in ("alpha", "norm", "tau"):
            if hasattr(self.teacher, key):
                value = getattr(self.teacher, key)
                return f"{name}({key}={value:g})" if isinstance(value, (int, float)) else f"{name}({value})"
        return name

    def _label(self, rank: int) -> str:
        found = self.ranking[rank - 1]
        return f"{rank}  {found.family}  {found.objective:.1e}"

    def _gradient(self, found: Candidate) -> np.ndarray:
        loss = WeightedCD(found.weighting, shift=found.shift, scale=found.scale)
        # A weighted distance always depends on the distance.
        return _unit(cast("np.ndarray", profile_gradient(loss.profile, self.distances.support)))


def _unit(curve: np.ndarray) -> np.ndarray:
    return curve / np.abs(curve).max()


def _star(found: Candidate, key: str) -> str:
    return "*" if key in found.at_edge else ""


def _fields(found: Candidate) -> dict:
    return {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}


def _candidate(record: dict) -> Candidate:
    weighting = weightings.get({"class_name": "", **record["weighting"]})
    found = Candidate(**{**record, "weighting": weighting, "at_edge": tuple(record["at_edge"])})
    _numbers([found.objective, found.shift, found.scale, found.factor, *found.parameters.values()])
    if not (isinstance(found.family, str) and found.scale > 0 and all(isinstance(key, str) for key in found.at_edge)):
        raise ValueError("a family of its ranking is damaged")
    return found


def _numbers(values: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Finite numbers, as they are written in a file."""
    found = np.array(values)
    if found.dtype.kind not in "iuf" or not np.isfinite(found).all() or shape not in (None, found.shape):
        raise ValueError(f"{str(values)[:80]} are no finite numbers, or another count of them")
    return found


def _serialized(teacher: Any) -> dict | str:
    if isinstance(teacher, keras.losses.Loss):
        return keras.saving.serialize_keras_object(teacher)
    return teacher if isinstance(teacher, str) else teacher_name(teacher)
