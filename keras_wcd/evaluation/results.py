"""The outcome of an evaluation: the scores of every sample, their means, and the tables of both."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from keras_wcd.evaluation.tables import DIGITS, SWEEPS, TITLES, WIDEST, heading
from keras_wcd.visual.tables import aligned, number

LARGER_IS_BETTER = frozenset({"f_score"})


class Measured(NamedTuple):
    """One sample: its name and category, its group (a difficulty, or one car of many sweeps), its scores."""

    name: str
    category: str
    group: str
    scores: dict[str, float]

    @property
    def figures(self) -> dict[str, float]:
        """The scores, under their earlier name."""
        return self.scores


@dataclass(frozen=True)
class Evaluation:
    """Scores of one network on one split, in float64.

    Attributes:
        model: Name of what was measured.
        dataset: Name of the data set.
        split: Name of the split.
        categories: Those that occur, in the order in which tables print them.
        samples: One entry for every sample.
        settings: What else the scores depend on.
        baselines: The same samples completed without a network.
    """

    model: str
    dataset: str
    split: str
    categories: tuple[str, ...]
    samples: tuple[Measured, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    baselines: tuple["Evaluation", ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the scores, in the order in which they were asked for."""
        return tuple(dict.fromkeys(name for sample in self.samples for name in sample.scores))

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups in their order; none where the samples have none."""
        return tuple(dict.fromkeys(sample.group for sample in self.samples if sample.group))

    def values(self, metric: str, *, category: str | None = None, group: str | None = None) -> np.ndarray:
        """A score of every sample that has it, of one category or group if named."""
        return np.array(
            [
                sample.scores[metric]
                for sample in self.samples
                if metric in sample.scores and category in (None, sample.category) and group in (None, sample.group)
            ]
        )

    def per_category(self, metric: str, *, group: str | None = None) -> dict[str, float]:
        """Mean of a score over the samples of every category."""
        return {name: _mean(self.values(metric, category=name, group=group)) for name in self.categories}

    def class_mean(self, metric: str, *, group: str | None = None) -> float:
        """Mean over the categories of their means, as PoinTr and the tables of the field average."""
        return _mean(self.per_category(metric, group=group).values())

    def sample_mean(self, metric: str, *, group: str | None = None) -> float:
        """Mean over all samples."""
        return _mean(self.values(metric, group=group))

    def group_mean(self, metric: str) -> float:
        """Mean over the groups of their means: consistency is averaged over cars."""
        return _mean(_mean(found) for g in self.groups if (found := self.values(metric, group=g)).size)

    def ranking(self, metric: str) -> list[int]:
        """Rows of `samples` from the worst to the best; scores that are not finite come first."""
        rows = [i for i, sample in enumerate(self.samples) if metric in sample.scores]
        sign = 1 if metric in LARGER_IS_BETTER else -1
        keys = {i: sign * self.samples[i].scores[metric] for i in rows}
        return sorted(rows, key=lambda i: keys[i] if math.isfinite(keys[i]) else -math.inf)

    @property
    def not_finite(self) -> int:
        """Samples with a score that is not finite."""
        return sum(not all(math.isfinite(v) for v in sample.scores.values()) for sample in self.samples)

    def summary(self) -> dict[str, Any]:
        """The means as plain data: what `evaluation.json` holds."""
        groups = {} if "fidelity" in self.metrics else {"groups": {g: self._means(g) for g in self.groups}}
        return {
            "model": self.model,
            "dataset": self.dataset,
            "split": self.split,
            "samples": len(self.samples),
            "not_finite": self.not_finite,
            "settings": self.settings,
            "figures": self._means(None),
            **groups,
            **({"baselines": [other.summary() for other in self.baselines]} if self.baselines else {}),
        }

    def _means(self, group: str | None) -> dict[str, Any]:
        means = {}
        for metric in self.metrics:
            means[metric] = {
                "class_mean": self.class_mean(metric, group=group),
                "sample_mean": self.sample_mean(metric, group=group),
                "per_category": self.per_category(metric, group=group),
            }
        if "consistency" in means:
            means["consistency"]["car_mean"] = self.group_mean("consistency")
        return means

    def table(self) -> str:
        """The means as text, in the layout of the field's tables: Table 1 for pairs, easy to hard, or KITTI's three."""
        if "fidelity" in self.metrics:
            parts = [_sweeps(self)]
        elif self.groups:
            parts = [_difficulties(self)]
        else:
            parts = [_categories(self, metric) for metric in self.metrics]
        if self.not_finite:
            parts.append(f"{self.not_finite} of {len(self.samples)} answers are not finite: their figures are nan")
        return "\n\n".join(parts)

    def rows(self) -> tuple[list[str], list[list]]:
        """Header and rows of `table.csv`: one for every method and score, and for every difficulty."""
        if "fidelity" in self.metrics:
            metrics = [name for name in SWEEPS if name in self.metrics]
            return ["method", *metrics], [[self.model, *(_sweep(self, name) for name in metrics)]]
        header = ["method", "metric", "difficulty", "average", *map(heading, self.categories), "sample_mean"]
        body = [
            [
                method.model,
                metric,
                group or "all",
                method.class_mean(metric, group=group),
                *method.per_category(metric, group=group).values(),
                method.sample_mean(metric, group=group),
            ]
            for method in (self, *self.baselines)
            for metric in method.metrics
            for group in (None, *method.groups)
        ]
        return header, body


def _mean(values: Iterable[float]) -> float:
    values = np.fromiter(values, np.float64)
    return float(values.mean()) if values.size else math.nan


def _categories(evaluation: Evaluation, metric: str) -> str:
    """The layout of Table 1: the mean of the categories' means, the categories, the mean of all samples."""
    digits = DIGITS.get(metric, 4)
    shown = evaluation.categories if len(evaluation.categories) <= WIDEST else ()
    header = [TITLES[metric], "Average", *map(heading, shown), "Samples"]
    body = []
    for method in (evaluation, *evaluation.baselines):
        means = method.per_category(metric)
        scores = [method.class_mean(metric), *(means[name] for name in shown), method.sample_mean(metric)]
        body.append([method.model, *(number(value, digits) for value in scores)])
    return aligned(header, body)


def _difficulties(evaluation: Evaluation) -> str:
    """The layout of the tables on ShapeNet-55: CD-L2 by difficulty and its mean, F-score, the mean of all samples."""
    main = "cd_l2" if "cd_l2" in evaluation.metrics else evaluation.metrics[0]
    others = [metric for metric in evaluation.metrics if metric != main]
    header = [TITLES[main], *map(heading, evaluation.groups), "Mean", *(TITLES[name] for name in others), "Samples"]
    body = []
    for method in (evaluation, *evaluation.baselines):
        scores = [*(method.class_mean(main, group=group) for group in method.groups), method.class_mean(main)]
        cells = [number(value, DIGITS.get(main, 4)) for value in scores]
        cells += [number(method.class_mean(name), DIGITS.get(name, 4)) for name in others]
        body.append([method.model, *cells, number(method.sample_mean(main), DIGITS.get(main, 4))])
    return aligned(header, body)


def _sweeps(evaluation: Evaluation) -> str:
    metrics = [name for name in SWEEPS if name in evaluation.metrics]
    header = ["x 1000", *(TITLES[name] for name in metrics)]
    return aligned(header, [[evaluation.model, *(number(_sweep(evaluation, name)) for name in metrics)]])


def _sweep(evaluation: Evaluation, metric: str) -> float:
    return evaluation.group_mean(metric) if metric == "consistency" else evaluation.sample_mean(metric)
