"""Tables of evaluations, for a terminal and as rows of a CSV file."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_wcd.evaluation.results import Evaluation

EIGHT = ("Plane", "Cabinet", "Car", "Chair", "Lamp", "Couch", "Table", "Boat")
"""The columns of the tables on PCN's data, after the average."""
HEADINGS = {"airplane": "Plane", "sofa": "Couch", "watercraft": "Boat"}
WIDEST = 16
"""More categories than this are left to the CSV file."""
TITLES = {
    "cd_l1": "CD-L1 x 1000",
    "cd_l2": "CD-L2 x 1000",
    "f_score": "F-score @ 1 %",
    "dcd": "DCD",
    "emd": "EMD",
    "hausdorff": "Hausdorff",
    "fidelity": "Fidelity",
    "mmd": "MMD",
    "consistency": "Consistency",
}
DIGITS = {"cd_l1": 2, "cd_l2": 3, "f_score": 3}
SWEEPS = ("fidelity", "mmd", "consistency")
"""The figures of scans without ground truth, in the order of the tables."""


def heading(category: str) -> str:
    """The name of a category as tables print it."""
    return HEADINGS.get(category, category[:1].upper() + category[1:])


def ordered(categories: Sequence[str]) -> tuple[str, ...]:
    """Categories in the order of Table 1 where they are its eight, else as they stand."""
    by_heading = {heading(category): category for category in categories}
    if set(by_heading) == set(EIGHT):
        return tuple(by_heading[name] for name in EIGHT)
    return tuple(categories)


def text(evaluation: "Evaluation") -> str:
    """All tables that fit an evaluation, parted by blank lines."""
    if "fidelity" in evaluation.metrics:
        parts = [_sweeps(evaluation)]
    elif evaluation.groups:
        parts = [_difficulties(evaluation)]
    else:
        parts = [_categories(evaluation, metric) for metric in evaluation.metrics]
    if evaluation.not_finite:
        parts.append(
            f"{evaluation.not_finite} of {len(evaluation.samples)} answers are not finite: their figures are nan"
        )
    return "\n\n".join(parts)


def rows(evaluation: "Evaluation") -> tuple[list[str], list[list]]:
    """Header and rows of `table.csv`: one for every method and figure, and for every difficulty."""
    if "fidelity" in evaluation.metrics:
        metrics = [name for name in SWEEPS if name in evaluation.metrics]
        return ["method", *metrics], [[evaluation.model, *(_sweep(evaluation, name) for name in metrics)]]
    header = ["method", "metric", "difficulty", "average", *map(heading, evaluation.categories), "sample_mean"]
    body = [
        [
            method.model,
            metric,
            group or "all",
            method.class_mean(metric, group=group),
            *method.per_category(metric, group=group).values(),
            method.sample_mean(metric, group=group),
        ]
        for method in (evaluation, *evaluation.baselines)
        for metric in method.metrics
        for group in (None, *method.groups)
    ]
    return header, body


def aligned(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Columns under their headings, the first to the left, the others to the right."""
    cells = [header, *body]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = []
    for row in cells:
        first, *others = (
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)


def number(value: float | None, digits: int = 3) -> str:
    """A figure of a table; a dash where there is none."""
    return "-" if value is None else "nan" if math.isnan(value) else f"{value:.{digits}f}"


def _categories(evaluation: "Evaluation", metric: str) -> str:
    """The layout of Table 1: the mean of the categories' means, the categories, the mean of all samples."""
    digits = DIGITS.get(metric, 4)
    shown = evaluation.categories if len(evaluation.categories) <= WIDEST else ()
    header = [TITLES[metric], "Average", *map(heading, shown), "Samples"]
    body = []
    for method in (evaluation, *evaluation.baselines):
        means = method.per_category(metric)
        figures = [method.class_mean(metric), *(means[name] for name in shown), method.sample_mean(metric)]
        body.append([method.model, *(number(value, digits) for value in figures)])
    return aligned(header, body)


def _difficulties(evaluation: "Evaluation") -> str:
    """The layout of the tables on ShapeNet-55: CD-L2 by difficulty and its mean, F-score, the mean of all samples."""
    main = "cd_l2" if "cd_l2" in evaluation.metrics else evaluation.metrics[0]
    others = [metric for metric in evaluation.metrics if metric != main]
    header = [TITLES[main], *map(heading, evaluation.groups), "Mean", *(TITLES[name] for name in others), "Samples"]
    body = []
    for method in (evaluation, *evaluation.baselines):
        figures = [*(method.class_mean(main, group=group) for group in method.groups), method.class_mean(main)]
        cells = [number(value, DIGITS.get(main, 4)) for value in figures]
        cells += [number(method.class_mean(name), DIGITS.get(name, 4)) for name in others]
        body.append([method.model, *cells, number(method.sample_mean(main), DIGITS.get(main, 4))])
    return aligned(header, body)


def _sweeps(evaluation: "Evaluation") -> str:
    metrics = [name for name in SWEEPS if name in evaluation.metrics]
    header = ["x 1000", *(TITLES[name] for name in metrics)]
    return aligned(header, [[evaluation.model, *(number(_sweep(evaluation, name)) for name in metrics)]])


def _sweep(evaluation: "Evaluation", metric: str) -> float:
    return evaluation.group_mean(metric) if metric == "consistency" else evaluation.sample_mean(metric)
