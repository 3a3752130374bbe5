"""Procedural chairs: y up, front +x."""

import numpy as np

from keras_wcd.data.io.mesh import Mesh
from keras_wcd.data.procedural.furniture import armrests, legs, slab, upholstered
from keras_wcd.data.procedural.primitives import (
    around,
    box,
    join,
    lathe,
    loft,
    mirrored,
    move,
    pipe,
    prism,
    rod,
    squircle,
    turn,
    wheel,
)

Rng = np.random.Generator


def _back(rng: Rng, seat: float, x: float, width: float, height: float, lean: float) -> Mesh:
    """A chair's back, standing on the rear edge of the seat."""
    u = rng.uniform
    kind, t = rng.integers(5), u(0.02, 0.05)
    if kind == 0:
        part = move(slab(rng, (t, height, width), (0, height / 2, 0)))
    elif kind == 1:  # slats across
        count = rng.integers(2, 6)
        bars = [
            box((t * 0.6, height / count * u(0.3, 0.6), width), (0, height * (k + 0.7) / count, 0))
            for k in range(count)
        ]
        part = join([*bars, mirrored(box((t, height, t), (0, height / 2, width / 2)))])
    elif kind == 2:  # spindles
        bars = [rod((0, 0, z), (0, height, z), 0.008) for z in np.linspace(-0.42, 0.42, rng.integers(4, 9)) * width]
        part = join(
            [
                *bars,
                box((t, height * 0.15, width), (0, height, 0)),
                mirrored(rod((0, 0, width / 2), (0, height, width / 2), t * 0.5)),
            ]
        )
    elif kind == 3:  # a curved shell
        angle = np.linspace(-1, 1, 9) * u(0.4, 1.1)
        depth = width * u(0.1, 0.4)
        rings = [
            np.stack(
                [
                    depth * (1 - np.cos(angle)) * (1 - 0.3 * s) + d,
                    np.full(9, height * s),
                    width / 2 * np.sin(angle) / np.sin(angle[-1]),
                ],
                1,
            )
            for s, d in ((0, 0), (0.5, 0), (1, 0))
        ]
        shell = np.array(rings)
        part = join([loft(shell, closed=False, caps=False), loft(shell - (t, 0, 0), closed=False, caps=False)])
    else:  # a raised panel
        gap = height * u(0.2, 0.5)
        part = join(
            [
                slab(rng, (t, height - gap, width), (0, (height + gap) / 2, 0)),
                mirrored(rod((0, 0, width * 0.35), (0, gap, width * 0.35), t * 0.4)),
            ]
        )
    return move(turn(part, "z", lean), x, seat)


def _seat(rng: Rng, width: float, depth: float, y: float, thick: float) -> Mesh:
    kind = rng.integers(4)
    if kind <= 1:
        return slab(rng, (depth, thick, width), (0, y, 0))
    outline = squircle(20, rng.uniform(2, 6)) * (depth / 2, width / 2)
    if kind == 3:
        outline[:, 1] *= 1 + 0.12 * outline[:, 0] / depth * 2
    return prism(outline, y - thick / 2, y + thick / 2)


def _chair(rng: Rng, *, arms: float = 0.35) -> list[Mesh]:
    u = rng.uniform
    width, depth, seat, thick = u(0.42, 0.6), u(0.42, 0.58), u(0.38, 0.5), u(0.02, 0.09)
    parts = [_seat(rng, width, depth, seat, thick), *legs(rng, seat, depth * 0.44, width * 0.44, thick=(0.012, 0.03))]
    parts.append(_back(rng, seat, -depth * 0.47, width * u(0.8, 1), u(0.28, 0.55), u(0, 22)))
    return parts + (armrests(rng, seat, depth, width, u(0.03, 0.06)) if rng.random() < arms else [])


def _swivel_chair(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    width, depth, seat = u(0.42, 0.56), u(0.42, 0.52), u(0.42, 0.54)
    parts = [_seat(rng, width, depth, seat, u(0.05, 0.1)), rod((0, 0.05, 0), (0, seat, 0), u(0.02, 0.04))]
    if rng.random() < 0.75:
        count, reach = rng.integers(4, 6), u(0.25, 0.33)
        leg = join([rod((0, 0.09, 0), (reach, 0.05, 0), 0.025, 0.015), wheel((reach, 0.03, 0), 0.03, 0.04, 10)])
        parts.append(around(leg, count, u(0, 90)))
    else:
        parts.append(lathe([(u(0.2, 0.28), 0), (0.18, 0.02), (0.04, 0.06)], 20))
    parts.append(_back(rng, seat + 0.05, -depth * 0.48, width * u(0.75, 1), u(0.35, 0.7), u(0, 15)))
    return parts + (armrests(rng, seat, depth, width, 0.05) if rng.random() < 0.6 else [])


def _stool(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    height, r = u(0.4, 0.8), u(0.15, 0.21)
    parts = [_seat(rng, 2 * r, 2 * r, height, u(0.02, 0.08))]
    if rng.random() < 0.4:
        parts += [
            rod((0, 0, 0), (0, height, 0), u(0.02, 0.04)),
            lathe([(u(0.16, 0.24), 0), (0.16, 0.02), (0.03, 0.05)], 20),
        ]
    elif rng.random() < 0.5:
        leg = rod((r * u(1, 1.4), 0, 0), (r * 0.75, height, 0), u(0.01, 0.022))
        parts.append(around(leg, rng.integers(3, 5), 45))
    else:
        parts += legs(rng, height, r * 0.8, r * 0.8, thick=(0.012, 0.025))
    if rng.random() < 0.4:
        parts.append(_back(rng, height, -r * 0.9, 1.8 * r, u(0.12, 0.35), u(0, 12)))
    return parts


def _armchair(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    width, depth, seat = u(0.6, 0.85), u(0.6, 0.8), u(0.35, 0.45)
    return upholstered(rng, width, depth, seat, u(0.7, 1.0), u(0.08, 0.18), u(0.5, 0.68), seats=1)


def _cantilever(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    width, depth, seat = u(0.42, 0.52), u(0.42, 0.5), u(0.4, 0.48)
    path = [
        (-depth / 2, seat + u(0.3, 0.45), 0),
        (-depth * 0.45, seat, 0),
        (depth / 2, seat, 0),
        (depth / 2, 0.02, 0),
        (-depth / 2, 0.02, 0),
    ]
    frame = mirrored(move(pipe(path, u(0.01, 0.018)), z=width / 2))
    parts = [
        frame,
        rod((-depth / 2, 0.02, -width / 2), (-depth / 2, 0.02, width / 2), 0.014),
        slab(rng, (depth, u(0.02, 0.07), width), (0, seat, 0)),
    ]
    return [*parts, move(turn(slab(rng, (0.03, 0.3, width), (0, 0.25, 0)), "z", u(0, 12)), -depth * 0.46, seat)]


def _folding_chair(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    width, depth, seat = u(0.4, 0.5), u(0.38, 0.46), u(0.42, 0.5)
    top = seat + u(0, 0.45)
    cross = join(
        [
            rod((depth / 2, 0, width / 2), (-depth / 2 - 0.05, top, width / 2), 0.014),
            rod((-depth / 2, 0, width * 0.46), (depth / 2, seat, width * 0.46), 0.014),
        ]
    )
    parts = [mirrored(cross), slab(rng, (depth, 0.02, width), (0, seat, 0))]
    if top > seat + 0.15:
        parts.append(move(turn(box((0.02, 0.15, width)), "z", 20), -depth / 2 - 0.03, top - 0.08))
    return [*parts, *(rod((x, 0.02, -width / 2), (x, 0.02, width / 2), 0.012) for x in (-depth / 2, depth / 2))]


def _shell_chair(rng: Rng) -> list[Mesh]:
    """One curved sheet for seat and back, on legs, a pedestal or runners."""
    u = rng.uniform
    width, depth, seat, back = u(0.42, 0.6), u(0.4, 0.5), u(0.38, 0.46), u(0.3, 0.5)
    side = np.array([(0.5, -0.04), (0.45, 0), (0, -0.03), (-0.35, 0), (-0.5, 0.25), (-0.57, 0.6), (-0.65, 1.0)]) * (
        depth,
        back,
    )
    across, dish = np.linspace(-1, 1, 9), u(0.02, 0.16)
    widths = np.array([0.85, 0.95, 1, 1, 1, 0.95, u(0.5, 0.9)]) * width / 2
    lift = dish * across**2
    rings = np.array(
        [
            np.stack([np.full(9, x) + lift * (k >= 4), y + seat + lift * (k < 5), w * across], 1)
            for k, ((x, y), w) in enumerate(zip(side, widths, strict=True))
        ]
    )
    parts = [loft(rings, closed=False, caps=False), loft(rings - (0.01, 0.015, 0), closed=False, caps=False)]
    if rng.random() < 0.5:
        return parts + legs(rng, seat, depth * 0.4, width * 0.38, thick=(0.01, 0.02))
    return [
        *parts,
        rod((0, 0, 0), (0, seat, 0), u(0.015, 0.035)),
        lathe([(u(0.18, 0.27), 0), (0.17, 0.02), (0.03, 0.05)], 20),
    ]


def _lounge(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    width, seat = u(0.5, 0.7), u(0.25, 0.36)
    path = [(0.9, seat * u(0.7, 1)), (0.3, seat * 1.05), (-0.2, seat * 0.85), (-0.75, seat + u(0.2, 0.55))]
    pads = []
    for (x0, y0), (x1, y1) in zip(path[:-1], path[1:], strict=True):
        length, angle = np.hypot(x1 - x0, y1 - y0), np.degrees(np.arctan2(y0 - y1, x0 - x1))
        pads.append(move(turn(slab(rng, (length, 0.06, width), (0, 0, 0)), "z", angle), (x0 + x1) / 2, (y0 + y1) / 2))
    return [*pads, *legs(rng, seat * 0.8, 0.5, width * 0.42)]


CHAIRS = {
    "chair": _chair,
    "armed_chair": lambda rng: _chair(rng, arms=1),
    "swivel": _swivel_chair,
    "stool": _stool,
    "armchair": _armchair,
    "cantilever": _cantilever,
    "folding": _folding_chair,
    "shell": _shell_chair,
    "lounge": _lounge,
}
