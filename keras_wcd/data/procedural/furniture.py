"""What procedural chairs, sofas and tables have in common: slabs, legs, armrests, upholstery."""

import numpy as np

from keras_wcd.data.io.mesh import Mesh
from keras_wcd.data.procedural.primitives import box, ellipsoid, join, lathe, mirrored, move, pipe, rod, turn

Rng = np.random.Generator


def slab(rng: Rng, size: tuple[float, float, float], center: tuple[float, float, float]) -> Mesh:
    """A block, sharp or upholstered."""
    if rng.random() < 0.5:
        return box(size, center)
    return ellipsoid(np.array(size) / 2 * 1.03, center, sides=16, power=rng.uniform(6, 12))


def legs(rng: Rng, height: float, x: float, z: float, *, thick: tuple[float, float] = (0.015, 0.04)) -> list[Mesh]:
    """Four legs under a plate: square, round, tapered, splayed, on frames, perhaps with stretchers."""
    r, splay = rng.uniform(*thick), rng.choice([0, 0, rng.uniform(0.02, 0.1)])
    kind = rng.integers(4)
    if kind == 0:
        legs = [box((2 * r, height, 2 * r), (a, height / 2, z)) for a in (-x, x)]
    elif kind == 3:
        foot = 1 + splay
        path = [(-x, height, z), (-x * foot, 0, z), (x * foot, 0, z), (x, height, z)]
        legs = [pipe(path, r * 0.7)]
    else:
        legs = [
            rod((a * (1 + splay * 2), 0, z * (1 + splay)), (a, height, z), r * (1, 0.5)[kind - 1], r) for a in (-x, x)
        ]
    parts = [mirrored(join(legs))]
    if rng.random() < 0.3:
        y = height * rng.uniform(0.15, 0.5)
        parts += [mirrored(rod((-x, y, z), (x, y, z), r * 0.6)), rod((0, y, -z), (0, y, z), r * 0.6)]
    return parts


def armrests(rng: Rng, seat: float, depth: float, width: float, thick: float) -> list[Mesh]:
    """Two arms beside a seat: panels, boards on posts, or bent pipes."""
    height, z = rng.uniform(0.18, 0.28), width / 2 + rng.uniform(-0.01, 0.03)
    kind = rng.integers(3)
    if kind == 0:
        part = box((depth * 0.95, height + thick, thick), (0, seat + height / 2, z))
    elif kind == 1:
        part = join(
            [
                box((depth * 0.85, 0.03, thick), (-0.03, seat + height, z)),
                rod((depth * 0.3, seat, z), (depth * 0.3, seat + height, z), 0.016),
            ]
        )
    else:
        part = pipe([(-depth / 2, seat + height, z), (depth * 0.35, seat + height, z), (depth * 0.42, seat, z)], 0.016)
    return [mirrored(part)]


def upholstered(
    rng: Rng, width: float, depth: float, seat: float, height: float, arm: float, arm_height: float, seats: int
) -> list[Mesh]:
    """A sofa's body: base, back, arms (none for 0), cushions, feet; its length lies along z."""
    u = rng.uniform
    foot, back = u(0, 0.14), depth * u(0.15, 0.3)
    inner = width - 2 * arm
    parts = [slab(rng, (depth, seat - foot - 0.08, width), (0, (seat + foot - 0.08) / 2, 0))]
    wall = move(slab(rng, (back, height - foot, width if rng.random() < 0.5 else inner), (0, (height - foot) / 2, 0)))
    parts.append(move(turn(wall, "z", u(0, 14)), -depth / 2 + back / 2, foot))
    if arm:
        kind = rng.integers(3)
        if kind == 0:
            parts.append(
                mirrored(
                    slab(
                        rng,
                        (depth * u(0.85, 1), arm_height - foot, arm),
                        (0, (arm_height + foot) / 2, (width - arm) / 2),
                    )
                )
            )
        elif kind == 1:  # rolled
            roll = turn(lathe([(arm * 0.6, -depth * 0.48), (arm * 0.6, depth * 0.48)], 14), "z", 90)
            parts.append(
                mirrored(
                    join(
                        [
                            box(
                                (depth * 0.94, arm_height - foot, arm * 0.7),
                                (0, (arm_height + foot) / 2, (width - arm) / 2),
                            ),
                            move(roll, 0, arm_height, (width - arm) / 2),
                        ]
                    )
                )
            )
        else:
            parts.append(
                mirrored(
                    join(
                        [
                            box((depth * 0.9, 0.04, arm), (0, arm_height, (width - arm) / 2)),
                            *(
                                box((0.05, arm_height - foot, 0.05), (x, (arm_height + foot) / 2, (width - arm) / 2))
                                for x in (-depth * 0.35, depth * 0.4)
                            ),
                        ]
                    )
                )
            )
    for k in range(seats if rng.random() < 0.85 else 0):
        z, w = inner * ((k + 0.5) / seats - 0.5), inner / seats * 0.97
        parts.append(ellipsoid((depth * 0.4, u(0.05, 0.1), w / 2), (depth * 0.08, seat - 0.03, z), sides=14, power=8))
        if rng.random() < 0.8:
            cushion = ellipsoid((0.08, (height - seat) * 0.5, w / 2), sides=14, power=6)
            parts.append(move(turn(cushion, "z", u(5, 20)), -depth / 2 + back + 0.06, seat + (height - seat) * 0.5, z))
    if foot > 0.03:
        parts.append(
            mirrored(
                join(
                    rod((x, 0, width * 0.45), (x, foot + 0.02, width * 0.45), u(0.012, 0.03))
                    for x in (-depth * 0.42, depth * 0.42)
                )
            )
        )
    return parts
