"""Curves of one or of several runs, each quantity in a panel of its own."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_wcd.visual.plots import COLORS, DASHES

Line = tuple[Sequence[float], Sequence[float]]
"""Places and values of a curve."""
WIDE = 20.0
"""Largest over smallest value from which a panel's axis is logarithmic."""


def panels(quantities: Mapping[str, Mapping[str, Line]], x_label: str, *, columns: int = 2) -> Figure:
    """Draw quantities over the same axis.

    Args:
        quantities: By the title of a panel its curves by label; values that are not finite are left out.
        x_label: What stands on the axis.
        columns: Panels side by side.
    """
    columns = min(columns, len(quantities))
    rows = -(-len(quantities) // columns)
    longest = max((len(label) for lines in quantities.values() for label in lines), default=0)
    many = max((len(lines) for lines in quantities.values()), default=0) > 4
    width, height = (7.5 if columns == 1 else 4.6 * columns), 3.1 * rows + (0.21 * len(quantities) if many else 0)
    if many or longest > 24:
        width, height = width + 0.075 * min(longest, 60), max(height, 4.2)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for axis, (title, lines) in zip(axes, quantities.items(), strict=False):
        _panel(axis, lines)
        axis.set(title=title, xlabel=x_label)
        if len(lines) > 1:
            outside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)} if many or longest > 24 else {}
            axis.legend(frameon=False, fontsize=8, **outside)
    for axis in list(figure.axes)[len(quantities) :]:
        axis.remove()
    return figure


def _panel(axis: Axes, lines: Mapping[str, Line]) -> None:
    seen = []
    for i, (label, (places, values)) in enumerate(lines.items()):
        kept = [(x, y) for x, y in zip(places, values, strict=True) if y is not None and math.isfinite(y)]
        seen += [y for _, y in kept]
        style = {"color": COLORS[i % len(COLORS)], "linestyle": DASHES[i // len(COLORS) % len(DASHES)]}
        # One point alone draws no line.
        marker = {"marker": "o", "markersize": 3} if len(kept) < 12 else {}
        axis.plot([x for x, _ in kept], [y for _, y in kept], label=label, linewidth=1.5, **style, **marker)
    if seen and min(seen) > 0 and max(seen) / min(seen) > WIDE:
        axis.set_yscale("log")
    elif seen and max(seen) - min(seen) <= 1e-6 * abs(max(seen)):
        # A constant, not the noise of its last digit.
        axis.set_ylim(*sorted((0.0, 2 * max(seen))) if any(seen) else (-1.0, 1.0))
    axis.spines[["top", "right"]].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axis.grid(alpha=0.25, linewidth=0.5)
