"""Procedural tables: y up, front +x, long along z."""

import numpy as np

from keras_wcd.data.io.mesh import Mesh
from keras_wcd.data.procedural.furniture import legs
from keras_wcd.data.procedural.primitives import (
    around,
    box,
    circle,
    join,
    lathe,
    mirrored,
    prism,
    rod,
    squircle,
    stretch,
)

Rng = np.random.Generator


def _top(rng: Rng, depth: float, width: float, y: float) -> Mesh:
    """A table top of any outline whose upper side lies at y."""
    thick, kind = rng.uniform(0.015, 0.07), rng.integers(5)
    if kind <= 2:
        return box((depth, thick, width), (0, y - thick / 2, 0))
    outline = squircle(28, rng.uniform(3, 10)) if kind == 3 else circle(rng.choice([6, 8, 28]))
    return prism(outline * (depth / 2, width / 2), y - thick, y)


def _table(rng: Rng, height: tuple[float, float] = (0.65, 0.8)) -> list[Mesh]:
    u = rng.uniform
    width, depth, y = u(0.9, 2.0), u(0.5, 1.0), u(*height)
    inset = u(0.32, 0.47)
    parts = [_top(rng, depth, width, y), *legs(rng, y - 0.01, depth * inset, width * inset, thick=(0.015, 0.05))]
    if rng.random() < 0.5:
        apron = u(0.05, 0.14)
        frame = [mirrored(box((depth * 2 * inset, apron, 0.02), (0, y - apron / 2, width * inset)))]
        parts += [
            *frame,
            *(box((0.02, apron, width * 2 * inset), (x, y - apron / 2, 0)) for x in (-depth * inset, depth * inset)),
        ]
    if rng.random() < 0.25:
        parts.append(box((depth * 0.85, 0.02, width * 0.85), (0, y * u(0.2, 0.6), 0)))
    return parts


def _pedestal_table(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    y, depth = u(0.5, 1.05), u(0.5, 1.1)
    width = depth * rng.choice([1, 1, u(1.1, 1.7)])
    top = prism(squircle(28, rng.choice([2, 2, 4, 20])) * (depth / 2, width / 2), y - u(0.02, 0.05), y)
    parts = [top, rod((0, 0, 0), (0, y, 0), u(0.02, 0.09))]
    if rng.random() < 0.5:
        parts.append(lathe([(depth * u(0.25, 0.4), 0), (depth * 0.24, 0.02), (0.04, u(0.05, 0.15))], 24))
    else:
        reach = depth * u(0.28, 0.42)
        parts.append(around(rod((0, u(0.06, 0.3), 0), (reach, 0.02, 0), u(0.02, 0.04)), rng.integers(3, 5), 45))
    return parts


def _trestle_table(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    width, depth, y = u(1.1, 2.0), u(0.6, 0.95), u(0.68, 0.78)
    z, r = width * u(0.28, 0.42), u(0.02, 0.05)
    if rng.random() < 0.5:
        end = join([rod((s * depth * 0.4, 0, z), (s * depth * u(0.02, 0.2), y, z), r) for s in (-1, 1)])
    else:
        end = join([box((depth * 0.75, 0.05, 0.07), (0, 0.025, z)), box((u(0.08, 0.3), y, 0.05), (0, y / 2, z))])
    parts = [_top(rng, depth, width, y), mirrored(end)]
    return [*parts, box((0.03, 0.08, 2 * z), (0, y * u(0.25, 0.6), 0))] if rng.random() < 0.7 else parts


def _desk(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    width, depth, y = u(1.0, 1.7), u(0.5, 0.8), u(0.7, 0.8)
    drawers, count = u(0.28, 0.45), rng.integers(2, 5)
    block = [box((depth * 0.93, y - 0.03, drawers), (0, y / 2 - 0.015, width / 2 - drawers / 2 - 0.02))]
    for k in range(count):
        block.append(
            box(
                (0.02, (y - 0.1) / count * 0.88, drawers * 0.92),
                (depth * 0.47, 0.06 + (y - 0.1) * (k + 0.5) / count, width / 2 - drawers / 2 - 0.02),
            )
        )
    parts = [box((depth, u(0.02, 0.05), width), (0, y, 0)), *block]
    if rng.random() < 0.5:
        parts.append(stretch(join(block), z=-1))
    elif rng.random() < 0.5:
        parts.append(box((depth * 0.9, y, 0.03), (0, y / 2, -width / 2 + 0.03)))
    else:
        parts += [
            rod((x, 0, -width * 0.46), (x, y, -width * 0.46), u(0.015, 0.03)) for x in (-depth * 0.43, depth * 0.43)
        ]
    if rng.random() < 0.6:
        parts.append(box((0.02, y * u(0.3, 0.9), width * 0.94), (-depth * 0.42, y * 0.6, 0)))
    if rng.random() < 0.3:
        rise = u(0.2, 0.5)
        parts += [
            box((depth * 0.35, 0.02, width), (-depth * 0.32, y + rise, 0)),
            mirrored(box((depth * 0.35, rise, 0.02), (-depth * 0.32, y + rise / 2, width * 0.49))),
        ]
    return parts


def _panel_table(rng: Rng) -> list[Mesh]:
    """Two side panels, perhaps with shelves: consoles, benches, coffee tables, plain blocks."""
    u = rng.uniform
    width, depth, y = u(0.8, 1.6), u(0.4, 0.8), u(0.35, 0.8)
    t = u(0.02, 0.08)
    parts = [box((depth, t, width), (0, y - t / 2, 0)), mirrored(box((depth, y, t), (0, y / 2, (width - t) / 2)))]
    for k in range(rng.integers(0, 3)):
        parts.append(box((depth * 0.95, t * 0.7, width - t), (0, y * (0.15 + 0.35 * k), 0)))
    return [*parts, box((t, y, width), (-depth * 0.45, y / 2, 0))] if rng.random() < 0.3 else parts


def _picnic_table(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    width, y, seat, reach = u(1.4, 2.0), u(0.7, 0.78), u(0.4, 0.47), u(0.55, 0.75)
    planks = [box((0.12, 0.035, width), (x, y, 0)) for x in np.linspace(-0.32, 0.32, 5)]
    seats = [box((0.25, 0.035, width), (s * reach, seat, 0)) for s in (-1, 1)]
    ends = [mirrored(rod((s * reach * 0.9, 0, width * 0.35), (s * 0.2, y, width * 0.35), 0.04)) for s in (-1, 1)]
    return [*planks, *seats, *ends, mirrored(box((2 * reach, 0.08, 0.04), (0, seat - 0.05, width * 0.35)))]


TABLES = {
    "table": _table, "coffee_table": lambda rng: _table(rng, (0.3, 0.5)), "pedestal": _pedestal_table,
    "trestle": _trestle_table, "desk": _desk, "panel": _panel_table, "picnic": _picnic_table,
}  # fmt: skip
