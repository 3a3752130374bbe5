"""Procedural cabinets: y up, front +x."""

import numpy as np

from keras_wcd.data.io.mesh import Mesh
from keras_wcd.data.procedural.primitives import box, ellipsoid, join, lathe, mirrored, move, rod

Rng = np.random.Generator


def _case(depth: float, height: float, width: float, t: float, low: float, *, back: bool = True) -> list[Mesh]:
    """An open box of boards that stands on y = low."""
    middle = low + height / 2
    parts = [mirrored(box((depth, height, t), (0, middle, (width - t) / 2)))]
    parts += [box((depth, t, width), (0, y, 0)) for y in (low + t / 2, low + height - t / 2)]
    return [*parts, box((t, height, width), (-(depth - t) / 2, middle, 0))] if back else parts


def _fronts(rng: Rng, x: float, low: float, height: float, width: float, rows: int, columns: int) -> list[Mesh]:
    """Doors or drawers with handles on a front at x."""
    parts, proud, knob = [], rng.uniform(0.004, 0.02), rng.integers(3)
    h, w = height / rows, width / columns
    for row in range(rows):
        for column in range(columns):
            y, z = low + h * (row + 0.5), width * ((column + 0.5) / columns - 0.5)
            parts.append(box((2 * proud, h * 0.94, w * 0.95), (x, y, z)))
            side = z - np.sign(z) * w * 0.38 if h > w else z
            if knob == 0:
                parts.append(
                    box(
                        (0.03, min(0.12, h * 0.3), 0.015) if h > w else (0.03, 0.015, w * 0.3),
                        (x + proud + 0.01, y, side),
                    )
                )
            elif knob == 1:
                parts.append(ellipsoid((0.018, 0.018, 0.018), (x + proud + 0.015, y, side), sides=8))
    return parts


def _base(rng: Rng, depth: float, width: float) -> tuple[list[Mesh], float]:
    """What a cabinet stands on, and its height."""
    kind, u = rng.integers(4), rng.uniform
    if kind == 0:
        return [], 0.0
    if kind == 1:
        height = u(0.03, 0.1)
        return [box((depth * 0.92, height, width * 0.94), (0, height / 2, 0))], height
    height, r = (u(0.03, 0.08), 0.03) if kind == 2 else (u(0.1, 0.3), u(0.012, 0.03))
    return [
        mirrored(
            join(
                rod((x, 0, width * 0.44), (x, height, width * 0.44), r * 0.7, r) for x in (-depth * 0.42, depth * 0.42)
            )
        )
    ], height


def _size(rng: Rng, height: tuple, width: tuple, depth: tuple = (0.34, 0.7)) -> tuple[float, float, float]:
    return rng.uniform(*height), rng.uniform(*width), rng.uniform(*depth)


def _closed(rng: Rng, size: tuple[float, float, float], rows: int, columns: int) -> list[Mesh]:
    height, width, depth = size
    parts, low = _base(rng, depth, width)
    hollow = rng.random() < 0.5
    parts += (
        _case(depth, height, width, 0.02, low) if hollow else [box((depth, height, width), (0, low + height / 2, 0))]
    )
    parts += _fronts(rng, depth / 2, low + 0.01, height - 0.02, width * 0.98, rows, columns)
    if hollow and rng.random() < 0.6:
        parts += [
            box((depth * 0.95, 0.015, width), (0, low + height * s, 0))
            for s in np.linspace(0, 1, rng.integers(3, 6))[1:-1]
        ]
    if rng.random() < 0.5:
        over, t = rng.uniform(0, 0.05), rng.uniform(0.02, 0.06)
        parts.append(box((depth + over, t, width + 2 * over), (over / 2, low + height + t / 2, 0)))
    return parts


def _wardrobe(rng: Rng) -> list[Mesh]:
    return _closed(rng, _size(rng, (1.5, 2.3), (0.5, 1.9), (0.4, 0.7)), 1, int(rng.integers(1, 5)))


def _drawers(rng: Rng) -> list[Mesh]:
    return _closed(rng, _size(rng, (0.6, 1.4), (0.4, 1.1)), int(rng.integers(2, 7)), int(rng.integers(1, 3)))


def _sideboard(rng: Rng) -> list[Mesh]:
    return _closed(rng, _size(rng, (0.45, 0.95), (1.1, 2.2)), int(rng.integers(1, 3)), int(rng.integers(2, 6)))


def _bedside(rng: Rng) -> list[Mesh]:
    height, width, depth = _size(rng, (0.35, 0.6), (0.35, 0.6), (0.3, 0.5))
    if rng.random() < 0.4:
        return _closed(rng, (height, width, depth), int(rng.integers(1, 4)), 1)
    parts, low = _base(rng, depth, width)
    parts += _case(depth, height, width, 0.02, low)
    drawer = height * rng.uniform(0.3, 0.6)
    return [
        *parts,
        box((depth, drawer, width * 0.96), (0, low + height - drawer / 2, 0)),
        *_fronts(rng, depth / 2, low + height - drawer, drawer, width * 0.95, 1, 1),
    ]


def _kitchen(rng: Rng) -> list[Mesh]:
    """A base or wall unit, with a worktop, a sink's hollow or an open front."""
    u = rng.uniform
    height, width, depth = _size(rng, (0.6, 0.95), (0.4, 1.3), (0.4, 0.75))
    parts, low = _base(rng, depth, width)
    parts += _case(depth, height, width, 0.02, low, back=rng.random() < 0.8)
    parts += [
        box((depth * 0.95, 0.02, width), (0, low + height * s, 0)) for s in np.linspace(0, 1, rng.integers(2, 5))[1:-1]
    ]
    split = height * u(0.6, 1.0)
    if rng.random() < 0.8:
        parts += _fronts(rng, depth / 2, low, split, width, 1, int(rng.integers(1, 3)))
        if split < height * 0.9:
            parts += _fronts(rng, depth / 2, low + split, height - split, width, 1, int(rng.integers(1, 3)))
    if rng.random() < 0.4:
        bowl = lathe(
            [(0.02, 0), (min(width, depth) * 0.3, 0.05), (min(width, depth) * 0.36, u(0.1, 0.25))], 20, caps=False
        )
        parts.append(move(bowl, y=low + height - u(0.0, 0.2)))
    if rng.random() < 0.5:
        parts.append(box((depth * 1.06, 0.04, width * u(1, 1.08)), (0.02, low + height + 0.02, 0)))
    if rng.random() < 0.3:
        rise = u(0.1, 0.6)
        parts.append(box((0.03, rise, width), (-depth / 2 + 0.02, low + height + rise / 2, 0)))
    return parts


def _shelf(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    height, width, depth = _size(rng, (0.7, 2.2), (0.5, 1.8), (0.22, 0.45))
    t = u(0.015, 0.05)
    parts, low = _base(rng, depth, width)
    parts += _case(depth, height, width, t, low, back=rng.random() < 0.6)
    rows = rng.integers(2, 7)
    parts += [box((depth, t, width), (0, low + height * k / rows, 0)) for k in range(1, rows)]
    columns = rng.integers(1, 4)
    parts += [box((depth, height, t), (0, low + height / 2, width * (k / columns - 0.5))) for k in range(1, columns)]
    if rng.random() < 0.4:  # books and boxes
        for _ in range(rng.integers(2, 9)):
            row = int(rng.integers(rows))
            w, h = width / columns * u(0.2, 0.7), height / rows * u(0.4, 0.85)
            parts.append(
                box((depth * u(0.5, 0.9), h, w), (0, low + height * row / rows + h / 2, (width - w) * u(-0.48, 0.48)))
            )
    return parts


def _hutch(rng: Rng) -> list[Mesh]:
    """A closed lower part and a shallower upper part, open or with doors."""
    u = rng.uniform
    height, width, depth = _size(rng, (0.7, 1.0), (0.7, 1.5), (0.4, 0.6))
    parts = _closed(rng, (height, width, depth), int(rng.integers(1, 3)), int(rng.integers(1, 4)))
    upper, thin, gap = u(0.6, 1.1), depth * u(0.5, 0.8), u(0, 0.4) * (rng.random() < 0.5)
    start = height + 0.15 + gap
    case = _case(thin, upper, width, 0.02, start)
    case += [box((thin, 0.02, width), (0, start + upper * s, 0)) for s in (0.33, 0.66)]
    case += _fronts(rng, thin / 2, start, upper, width, 1, int(rng.integers(1, 4))) if rng.random() < 0.5 else []
    if gap or rng.random() < 0.5:
        case.append(box((0.02, gap + 0.2, width), (-thin / 2 + 0.01, start - gap / 2 - 0.05, 0)))
    return [*parts, move(join(case), (thin - depth) / 2)]


def _media_unit(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    height, width, depth = _size(rng, (0.35, 0.6), (1.2, 2.2), (0.35, 0.5))
    side = width * u(0.2, 0.33)
    parts, low = _base(rng, depth, width)
    parts += _case(depth, height, width, 0.03, low, back=rng.random() < 0.7)
    parts += [
        mirrored(box((depth, height, side), (0, low + height / 2, (width - side) / 2))),
        box((depth, 0.02, width), (0, low + height / 2, 0)),
    ]
    if rng.random() < 0.4:
        parts.append(box((depth * 0.2, u(0.5, 0.9), width * u(0.5, 0.9)), (-0.05, low + height + 0.3, 0)))
    return parts


def _corner_cabinet(rng: Rng) -> list[Mesh]:
    """Two arms at a right angle, or a kitchen row with a tall end."""
    u = rng.uniform
    height, depth, width = u(0.8, 0.95), u(0.5, 0.62), u(1.4, 2.2)
    parts = [
        box((depth, height, width), (0, height / 2, 0)),
        *_fronts(rng, depth / 2, 0.1, height - 0.12, width, 1, int(rng.integers(2, 5))),
    ]
    side = rng.choice([-1, 1])
    if rng.random() < 0.5:
        reach = u(0.4, 1.0)
        parts.append(box((reach, height, depth), (depth / 2 + reach / 2, height / 2, side * (width - depth) / 2)))
    else:
        tall = u(1.5, 2.1)
        parts.append(box((depth, tall, depth), (0, tall / 2, side * (width + depth) / 2)))
    return parts


CABINETS = {
    "wardrobe": _wardrobe, "drawers": _drawers, "sideboard": _sideboard, "bedside": _bedside, "shelf": _shelf,
    "kitchen": _kitchen,
    "hutch": _hutch, "media_unit": _media_unit, "corner": _corner_cabinet,
}  # fmt: skip
