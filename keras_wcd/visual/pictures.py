"""Pictures of point clouds."""

import io
import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

BACKGROUND = "#ffffff"
COLORS = matplotlib.colormaps["viridis"]
TURN, TILT = math.radians(-35), math.radians(22)
"""The camera: turned about the upward axis, then tilted down."""


def clouds_png(rows: Sequence[Mapping[str, np.ndarray]], *, labels: Sequence[str] = (), dpi: int = 110) -> bytes:
    """A sheet of clouds as PNG: one row per shape, one column per named cloud, all of a row at one scale.

    Args:
        rows: For each shape its clouds `(N, 3)` by title, y up; every row has the same titles.
        labels: What to write beside the rows.
        dpi: Dots per inch; a cloud is two inches wide.
    """
    titles = list(rows[0])
    figure = Figure(figsize=(2.0 * len(titles) + 0.3, 2.0 * len(rows) + 0.3), facecolor=BACKGROUND)
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for i, row in enumerate(rows):
        everything = np.concatenate([project(points) for points in row.values()])
        low, high = everything.min(axis=0), everything.max(axis=0)
        middle, half = (low + high) / 2, max(float((high - low)[:2].max()) / 2, 1e-9) * 1.05
        for axis, title in zip(axes[i], titles, strict=True):
            _draw(axis, project(row[title]), (low[2], high[2]))
            axis.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
            if i == 0:
                axis.set_title(title, fontsize=9)
        if labels:
            axes[i][0].text(-0.06, 0.5, labels[i], fontsize=9, rotation=90, va="center", transform=axes[i][0].transAxes)
    figure.subplots_adjust(
        left=0.06, right=0.99, bottom=0.01, top=1 - 0.3 / figure.get_figheight(), wspace=0.02, hspace=0.02
    )
    return figure_png(figure, dpi)


def curves_png(curves: Mapping[str, Sequence[float]], *, x_label: str, y_label: str, dpi: int = 110) -> bytes:
    """Curves over 1, 2, ... as PNG, told apart by color and dash."""
    figure = Figure(figsize=(5.5, 3.2))
    axis = figure.add_subplot()
    styles = zip(("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"), ("-", "--", "-.", ":", "-"), strict=True)
    for (name, values), (color, dash) in zip(curves.items(), styles, strict=False):
        axis.plot(range(1, len(values) + 1), values, dash, color=color, label=name)
    axis.set(xlabel=x_label, ylabel=y_label)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    figure.tight_layout()
    return figure_png(figure, dpi)


def figure_png(figure: Figure, dpi: int = 110) -> bytes:
    """A Matplotlib figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def project(points: np.ndarray) -> np.ndarray:
    """Points `(N, 3)`, y up, as seen by the camera `(N, 3)`: right, up, toward the eye."""
    x, y, z = np.asarray(points, np.float64).T
    right = math.cos(TURN) * x - math.sin(TURN) * z
    away = math.sin(TURN) * x + math.cos(TURN) * z
    return np.stack([right, math.cos(TILT) * y - math.sin(TILT) * away, math.sin(TILT) * y + math.cos(TILT) * away], 1)


def _draw(axis, points: np.ndarray, depth: tuple[float, float]) -> None:
    near = (points[:, 2] - depth[0]) / max(depth[1] - depth[0], 1e-9)
    order = np.argsort(near)
    size = float(np.clip(6000 / max(len(points), 1), 0.4, 6.0))
    axis.scatter(*points[order, :2].T, s=size, c=COLORS(0.9 * near[order]), linewidths=0)
    axis.set_aspect("equal")
    axis.axis("off")
