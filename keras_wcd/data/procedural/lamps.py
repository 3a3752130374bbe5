"""Procedural lamps: y up, what reaches out reaches to +x."""

import numpy as np

from keras_wcd.data.io.mesh import Mesh
from keras_wcd.data.procedural.primitives import (
    around,
    box,
    ellipsoid,
    join,
    lathe,
    mirrored,
    move,
    pipe,
    rod,
    stretch,
    turn,
)

Rng = np.random.Generator


def _shade(rng: Rng, radius: float, height: float) -> Mesh:
    """A lamp shade that hangs from y = 0 downwards."""
    u, kind = rng.uniform, rng.integers(6)
    sides = int(rng.choice([4, 6, 8, 24, 24, 24]))
    if kind <= 1:
        profile = [(radius * u(0.4, 0.95), 0), (radius, -height)]
    elif kind == 2:
        t = np.linspace(0.08, 1, 7)
        profile = [(radius * np.sin(a * np.pi / 2), -height * (1 - np.cos(a * np.pi / 2))) for a in t]
    elif kind == 3:
        return ellipsoid((radius, height / 2, radius), (0, -height / 2, 0), sides=20)
    elif kind == 4:
        profile = [
            (radius * 0.15, 0),
            (radius * u(0.2, 0.5), -height * 0.4),
            (radius * u(0.5, 0.8), -height * 0.7),
            (radius, -height),
        ]
    else:
        profile = [(radius * u(0.4, 0.7), 0), (radius, -height * u(0.3, 0.6)), (radius * u(0.3, 0.8), -height)]
    shade = lathe(profile, sides, caps=False)
    return join(
        [
            shade,
            stretch(shade, 0.96, 1, 0.96),
            rod((0, -height * 0.1, 0), (0, -height * 0.5, 0), radius * 0.08, radius * 0.16),
        ]
    )


def _foot(rng: Rng, radius: float) -> Mesh:
    if rng.random() < 0.2:
        return around(rod((0, 0.25 * radius, 0), (radius, 0, 0), 0.015), rng.integers(3, 5))
    sides = int(rng.choice([4, 24, 24]))
    return lathe([(radius, 0), (radius, 0.02), (radius * rng.uniform(0.2, 0.9), rng.uniform(0.03, 0.06))], sides)


def _floor_lamp(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    height, radius = u(1.2, 1.8), u(0.12, 0.28)
    shade = move(_shade(rng, radius, u(0.15, 0.4)), y=height)
    pole, foot = rod((0, 0, 0), (0, height - 0.05, 0), u(0.008, 0.03)), _foot(rng, u(0.12, 0.22))
    if rng.random() < 0.3:  # an uplighter
        shade = move(turn(_shade(rng, radius, u(0.08, 0.2)), "x", 180), y=height - 0.1)
    if rng.random() < 0.2:
        foot = join([foot, *(around(rod((0, height * 0.7, 0), (0.3, 0, 0), 0.012), 3) for _ in range(1))])
    return [shade, pole, foot]


def _arc_lamp(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    reach, height = u(0.5, 1.1), u(1.2, 1.8)
    angle = np.linspace(0, np.pi * u(0.6, 0.95), 9)
    path = [(0, 0, 0), *((reach / 2 * (1 - np.cos(a)), height * (0.65 + 0.35 * np.sin(a)), 0) for a in angle)]
    return [
        pipe(path, u(0.008, 0.016)),
        move(_shade(rng, u(0.1, 0.2), u(0.1, 0.2)), *path[-1]),
        _foot(rng, u(0.14, 0.24)),
    ]


def _table_lamp(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    body, radius = u(0.2, 0.45), u(0.1, 0.22)
    count = rng.integers(3, 8)
    widths = u(0.02, 0.11, count)
    profile = [(w, body * k / (count - 1)) for k, w in enumerate(widths)]
    if rng.random() < 0.3:
        profile = [(u(0.01, 0.02), 0), (0.012, body)]
    sides = int(rng.choice([4, 6, 20, 20]))
    return [
        lathe(profile, sides),
        move(_shade(rng, radius, u(0.12, 0.3)), y=body + u(0.08, 0.22)),
        _foot(rng, u(0.07, 0.14)),
        rod((0, body, 0), (0, body + 0.06, 0), 0.01),
    ]


def _desk_lamp(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    elbow = (-u(0.05, 0.2), u(0.2, 0.35), 0)
    head = (elbow[0] + u(0.2, 0.38), elbow[1] + u(-0.02, 0.25), 0)
    shade = turn(_shade(rng, u(0.05, 0.1), u(0.08, 0.18)), "z", u(-10, 60))
    arms = pipe([(0, 0.02, 0), elbow, head], u(0.006, 0.014))
    if rng.random() < 0.4:
        arms = mirrored(move(arms, z=u(0.012, 0.025)))
    joint = ellipsoid((0.02, 0.02, 0.02), elbow, sides=8)
    return [arms, joint, move(shade, *head), _foot(rng, u(0.07, 0.12))]


def _pendant(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    drop, radius = u(0.2, 1.2), u(0.1, 0.35)
    parts = [
        rod((0, 0, 0), (0, -drop, 0), u(0.005, 0.012), sides=6),
        move(_shade(rng, radius, radius * u(0.5, 2.2)), y=-drop),
    ]
    return [*parts, lathe([(u(0.04, 0.09), 0), (0.04, -0.04)], 16)]


def _chandelier(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    count, reach, drop = rng.integers(3, 11), u(0.25, 0.5), u(0.15, 0.6)
    dip = u(-0.12, 0.12)
    arm = pipe([(0, -drop, 0), (reach * 0.5, -drop - 0.08 + dip * 0.3, 0), (reach, -drop + dip, 0)], u(0.008, 0.015), 6)
    bulb = _shade(rng, u(0.04, 0.1), u(0.06, 0.14))
    bulb = turn(bulb, "x", 180) if rng.random() < 0.5 else bulb
    parts = [
        around(join([arm, move(bulb, reach, -drop + dip, 0)]), count),
        rod((0, 0, 0), (0, -drop - 0.1, 0), u(0.01, 0.03)),
    ]
    if rng.random() < 0.5:
        parts.append(lathe([(0.02, -drop - 0.15), (u(0.05, 0.1), -drop), (0.02, -drop + 0.1)], 14))
    return [*parts, lathe([(0.06, 0), (0.04, -0.04)], 16)]


def _wall_lamp(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    reach, rise = u(0.1, 0.3), u(-0.1, 0.15)
    shade = _shade(rng, u(0.06, 0.14), u(0.1, 0.25))
    shade = turn(shade, "x", 180) if rng.random() < 0.5 else shade
    plate = box((0.02, u(0.08, 0.25), u(0.06, 0.16)))
    return [
        plate,
        pipe([(0, 0, 0), (reach * 0.7, rise * 0.2, 0), (reach, rise, 0)], u(0.008, 0.016)),
        move(shade, reach, rise, 0),
    ]


def _lantern(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    r, height, sides = u(0.08, 0.16), u(0.2, 0.45), int(rng.choice([4, 4, 6, 8]))
    top, low = r * u(0.8, 1.4), r * u(0.5, 1.0)
    glass = lathe([(low, 0), (top, height)], sides)
    roof = lathe(
        [(top * u(1.0, 1.3), height), (top * 0.5, height + u(0.05, 0.12)), (0.01, height + u(0.12, 0.2))], sides
    )
    parts = [glass, roof, lathe([(low * 1.15, -0.03), (low * 1.15, 0)], sides)]
    kind = rng.integers(3)
    if kind == 0:  # on a post
        pole = u(0.3, 1.8)
        parts += [
            rod((0, -pole, 0), (0, 0, 0), u(0.015, 0.04)),
            lathe([(u(0.07, 0.14), -pole), (0.05, -pole + 0.06)], 12),
        ]
    elif kind == 1:  # hanging
        parts.append(rod((0, height + 0.12, 0), (0, height + u(0.25, 0.8), 0), 0.008, sides=6))
    else:
        ring = np.linspace(0, np.pi, 8)
        parts.append(pipe([(0, height + 0.12 + 0.1 * np.sin(a), 0.08 * np.cos(a)) for a in ring], 0.007, 6))
    return parts


def _street_lamp(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    height, reach = u(1.4, 2.4), u(0.15, 0.6)
    head = ellipsoid((u(0.1, 0.2), 0.03, u(0.04, 0.08)), (reach, height, 0), sides=12, power=rng.choice([2, 4]))
    arm = join([pipe([(0, height * 0.85, 0), (reach * 0.4, height * 0.98, 0), (reach, height, 0)], 0.015), head])
    arms = around(arm, rng.integers(1, 3))
    return [
        arms,
        rod((0, 0, 0), (0, height * 0.88, 0), u(0.025, 0.045), 0.018),
        lathe([(0.07, 0), (0.05, u(0.05, 0.3))], 12),
    ]


def _ceiling_lamp(rng: Rng) -> list[Mesh]:
    """A flush dome, a tube light, or a bar with spots."""
    u, kind = rng.uniform, rng.integers(3)
    if kind == 0:
        return [lathe([(0.3, 0), (0.32, -0.03)], 24), stretch(_shade(rng, 0.3, u(0.08, 0.2)), 1, 1, 1)]
    length = u(0.6, 1.2)
    if kind == 1:
        return [
            box((u(0.06, 0.2), 0.05, length)),
            *(rod((x, -0.05, -length * 0.48), (x, -0.05, length * 0.48), 0.018) for x in (-0.03, 0.03)),
        ]
    spots = []
    for z in np.linspace(-0.45, 0.45, rng.integers(2, 6)) * length:
        spot = turn(turn(_shade(rng, u(0.04, 0.07), u(0.08, 0.14)), "x", u(-40, 40)), "z", u(0, 60))
        spots += [rod((0, 0, z), (0, -0.06, z), 0.008, sides=6), move(spot, 0, -0.05, z)]
    return [box((0.04, 0.03, length)), *spots]


LAMPS = {
    "floor": _floor_lamp, "arc": _arc_lamp, "table": _table_lamp, "desk": _desk_lamp, "pendant": _pendant,
    "chandelier": _chandelier, "wall": _wall_lamp, "lantern": _lantern, "street": _street_lamp,
    "ceiling": _ceiling_lamp,
}  # fmt: skip
