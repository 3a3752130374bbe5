"""Procedural sofas: y up, front +x, long along z."""

import numpy as np

from keras_wcd.data.io.mesh import Mesh
from keras_wcd.data.procedural.furniture import armrests, legs, slab, upholstered
from keras_wcd.data.procedural.primitives import box, mirrored, move, rod, stretch, turn

Rng = np.random.Generator


def _sofa(rng: Rng, low: float, high: float, seats: int, *, arms: bool = True) -> list[Mesh]:
    u = rng.uniform
    seat = u(0.34, 0.46)
    arm = u(0.06, 0.24) if arms else 0
    return upholstered(rng, u(low, high), u(0.72, 1.0), seat, u(0.62, 0.95), arm, seat + u(0.08, 0.25), seats)


def _corner_sofa(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    width, depth, seat = u(2.0, 2.8), u(0.8, 1.0), u(0.36, 0.44)
    parts = upholstered(rng, width, depth, seat, u(0.65, 0.9), u(0.08, 0.2), seat + u(0.1, 0.25), 3)
    side, reach, share = rng.choice([-1, 1]), u(0.5, 0.95), u(0.28, 0.38) * width
    parts.append(slab(rng, (reach, seat, share), (depth / 2 + reach / 2, seat / 2, side * (width - share) / 2)))
    if rng.random() < 0.4:
        parts.append(
            slab(rng, (reach, seat + 0.3, 0.18), (depth / 2 + reach / 2, (seat + 0.3) / 2, side * (width / 2 - 0.09)))
        )
    return parts


def _daybed(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    width, depth, seat = u(1.7, 2.1), u(0.7, 0.95), u(0.3, 0.5)
    thick = u(0.08, 0.2)
    parts = [
        slab(rng, (depth, thick, width), (0, seat - thick / 2, 0)),
        *legs(rng, seat - thick, depth * 0.44, width * 0.45),
    ]
    if rng.random() < 0.7:
        end = turn(slab(rng, (depth, u(0.25, 0.45), 0.08), (0, 0.15, 0)), "x", u(-25, 0))
        parts.append(move(end, 0, seat, -width * 0.48))
        if rng.random() < 0.5:
            parts.append(stretch(parts[-1], z=-1))
    if rng.random() < 0.5:
        parts.append(slab(rng, (0.08, u(0.25, 0.5), width), (-depth * 0.47, seat + 0.15, 0)))
    return parts


def _bench(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    width, depth, seat = u(1.2, 2.0), u(0.42, 0.62), u(0.38, 0.48)
    parts = [box((depth * 0.16, 0.03, width), (x, seat, 0)) for x in np.linspace(-0.42, 0.42, 5) * depth]
    parts += legs(rng, seat, depth * 0.4, width * 0.42)
    for k in range(rng.integers(2, 5)):
        parts.append(box((0.03, 0.08, width), (-depth / 2 - 0.03 * k, seat + 0.12 + 0.11 * k, 0)))
    parts.append(
        mirrored(rod((-depth * 0.45, seat, width * 0.42), (-depth / 2 - 0.1, seat + 0.45, width * 0.42), 0.02))
    )
    return parts + (armrests(rng, seat, depth, width, 0.05) if rng.random() < 0.6 else [])


SOFAS = {
    "loveseat": lambda rng: _sofa(rng, 1.25, 1.6, 2), "three_seater": lambda rng: _sofa(rng, 1.7, 2.4, 3),
    "armless": lambda rng: _sofa(rng, 1.3, 2.1, int(rng.integers(2, 4)), arms=False),
    "long": lambda rng: _sofa(rng, 2.3, 3.0, int(rng.integers(3, 5))),
    "corner": _corner_sofa, "daybed": _daybed, "bench": _bench,
}  # fmt: skip
