"""Figures, drawn from plain arrays, in colors and dashes that do not rely on color vision."""

import os

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_wcd.files import replacing

# Okabe and Ito's palette without black, which marks the reference, and without yellow, which is faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))
BINS = 48
Curve = tuple[str, np.ndarray]


def distillation(
    path: str | os.PathLike,
    distances: np.ndarray,
    weights: np.ndarray,
    teacher: Curve,
    students: dict[str, np.ndarray],
) -> tuple[str, ...]:
    """Draws a distribution of distances, and the gradients of a teacher and of the families matched to it.

    Args:
        path: File to write; without suffix a .png and a .svg are written.
        distances: The support, ascending `(n,)`.
        weights: Its weights `(n,)`.
        teacher: Label and curve `(n,)` of the teacher.
        students: Curves `(n,)` by label, best first; the second half has a panel of its own.

    Returns:
        The paths of the files written.
    """
    figure, (left, *panels) = _panels(3)
    left.hist(distances, BINS, weights=weights, color="#BBBBBB", edgecolor="white", linewidth=0.3)
    left.set(title="(a) distances", xlabel="distance d", ylabel="share p(d)")
    labels = list(students)
    half = (len(labels) + 1) // 2
    low, high = _limits(teacher[1], list(students.values())[:half])
    for axes, letter, chosen in zip(panels, "bc", (labels[:half], labels[half:]), strict=True):
        axes.plot(distances, teacher[1], color="black", linewidth=4, alpha=0.3, label=teacher[0])
        _curves(axes, distances, {label: students[label] for label in chosen})
        which = "best" if letter == "b" else "other"
        axes.set(title=f"({letter}) gradients, {which} matches", xlabel="distance d", ylim=(low, high))
        _legend(axes)
    panels[0].set_ylabel("gradient / its maximum")
    return save(figure, path)


def weightings(
    path: str | os.PathLike, distances: np.ndarray, teacher: Curve, densities: dict[str, np.ndarray]
) -> tuple[str, ...]:
    """Draws weighting densities over the gradient weighting of a teacher.

    Args:
        path: File to write; without suffix a .png and a .svg are written.
        distances: Where the curves are given, ascending `(n,)`.
        teacher: Label and curve `(n,)` of the teacher.
        densities: Curves `(n,)` by label, best first; the second half has a panel of its own.

    Returns:
        The paths of the files written.
    """
    figure, panels = _panels(2)
    labels = list(densities)
    half = (len(labels) + 1) // 2
    for axes, letter, chosen in zip(panels, "ab", (labels[:half], labels[half:]), strict=True):
        axes.plot(distances, teacher[1], color="black", linewidth=4, alpha=0.3, label=teacher[0])
        _curves(axes, distances, {label: densities[label] for label in chosen})
        axes.set(title=f"({letter}) weightings f(d / scale + shift)", xlabel="distance d", ylim=(0, 1.05))
        _legend(axes)
    panels[0].set_ylabel("value / its maximum")
    return save(figure, path)


def save(figure: Figure, path: str | os.PathLike) -> tuple[str, ...]:
    """Writes a figure at once, as .png and .svg if the path has no suffix; returns the paths written."""
    path = os.fspath(path)
    folder, name = os.path.split(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    suffix = os.path.splitext(name)[1].lower()
    known = figure.canvas.get_supported_filetypes()
    if suffix and suffix[1:] not in known:
        raise ValueError(f"path {path!r}: unknown suffix {suffix!r}; known are {', '.join(sorted(known))}")
    paths = (path,) if suffix else (path + ".png", path + ".svg")
    for each in paths:
        with replacing(each) as temporary:
            figure.savefig(temporary, format=os.path.splitext(each)[1][1:].lower(), dpi=150)
    return paths


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4.4 * count, 4.6), layout="constrained")
    panels = list(figure.subplots(1, count))
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.5)
        axes.margins(x=0)
    return figure, panels


def _curves(axes: Axes, distances: np.ndarray, curves: dict[str, np.ndarray]) -> None:
    for i, (label, curve) in enumerate(curves.items()):
        dashes = DASHES[i % len(DASHES)]
        axes.plot(distances, curve, color=COLORS[i % len(COLORS)], linestyle=dashes, linewidth=1.6, label=label)


def _legend(axes: Axes) -> None:
    """Below the panel, where it hides no curve."""
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16), "frameon": False}
    axes.legend(fontsize=8, title="rank, family, objective", title_fontsize=8, ncols=2, **place)


def _limits(teacher: np.ndarray, students: list[np.ndarray]) -> tuple[float, float]:
    """Limits that show the teacher and the best students whole, also where all of them are nearly flat."""
    values = np.concatenate([teacher, *students])
    low, high = values.min(), values.max()
    margin = 0.08 * (high - low) or 0.05
    return low - margin, high + margin


def histories(series: dict[str, list[float]], path: str | os.PathLike, x_label: str) -> tuple[str, ...]:
    """Draws quantities over the steps of a run, one panel each, and writes the picture as `save` does.

    Args:
        series: Values by name, all of one length.
        path: File to write.
        x_label: What the steps are called.
    """
    figure = Figure(figsize=(2.6 + 2.6 * len(series), 2.8))
    panels = figure.subplots(1, len(series), squeeze=False)[0]
    for i, (axes, (name, values)) in enumerate(zip(panels, series.items(), strict=True)):
        axes.plot(range(1, len(values) + 1), values, color=COLORS[i % len(COLORS)])
        axes.set(title=name, xlabel=x_label)
        axes.grid(alpha=0.3)
    figure.tight_layout()
    return save(figure, path)
