"""The outcome of an evaluation: the figures of every sample and their means."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from keras_wcd.evaluation import tables

LARGER_IS_BETTER = frozenset({"f_score"})


class Measured(NamedTuple):
    """One sample: its name and category, its group (a difficulty, or one car of many frames), its figures."""

    name: str
    category: str
    group: str
    figures: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """Figures of one network on one split, in float64.

    Attributes:
        model: Name of what was measured.
        dataset: Name of the data set.
        split: Name of the split.
        categories: Those that occur, in the order in which tables print them.
        samples: One entry for every sample.
        settings: What else the figures depend on.
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
        """Names of the figures, in the order in which they were asked for."""
        return tuple(dict.fromkeys(name for sample in self.samples for name in sample.figures))

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups in their order; none where the samples have none."""
        return tuple(dict.fromkeys(sample.group for sample in self.samples if sample.group))

    def values(self, metric: str, *, category: str | None = None, group: str | None = None) -> np.ndarray:
        """A figure of every sample that has it, of one category or group if named."""
        return np.array(
            [
                sample.figures[metric]
                for sample in self.samples
                if metric in sample.figures and category in (None, sample.category) and group in (None, sample.group)
            ]
        )

    def per_category(self, metric: str, *, group: str | None = None) -> dict[str, float]:
        """Mean of a figure over the samples of every category."""
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
        """Rows of `samples` from the worst to the best; figures that are not finite come first."""
        rows = [i for i, sample in enumerate(self.samples) if metric in sample.figures]
        sign = 1 if metric in LARGER_IS_BETTER else -1
        keys = {i: sign * self.samples[i].figures[metric] for i in rows}
        return sorted(rows, key=lambda i: keys[i] if math.isfinite(keys[i]) else -math.inf)

    @property
    def not_finite(self) -> int:
        """Samples with a figure that is not finite."""
        return sum(not all(math.isfinite(v) for v in sample.figures.values()) for sample in self.samples)

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
        return tables.text(self)


def _mean(values: Iterable[float]) -> float:
    values = np.fromiter(values, np.float64)
    return float(values.mean()) if values.size else math.nan
