"""Procedural watercraft: y up, bow +x, left-right symmetry in z."""

import numpy as np

from keras_wcd.data.io.mesh import Mesh
from keras_wcd.data.procedural.primitives import (
    Count,
    box,
    coachwork,
    ellipsoid,
    foil,
    join,
    lathe,
    loft,
    mirrored,
    move,
    pipe,
    prism,
    rod,
    spindle,
    turn,
)

Rng = np.random.Generator


def _hull(
    rng: Rng,
    beam: float,
    depth: float,
    *,
    stern: float = 0.7,
    bow: float = 2.0,
    sheer: float = 0.2,
    vee: float = 0.5,
    open_top: bool = False,
) -> Mesh:
    """A hull from x = -0.5 to 0.5: beam at the stern as a share, sharpness of the bow, rise of the rail."""
    x = np.linspace(-0.5, 0.5, 15)
    t = x + 0.5
    half = (
        beam
        / 2
        * np.where(
            t < 0.45, stern + (1 - stern) * np.sin(t / 0.45 * np.pi / 2), 1 - (np.maximum(t - 0.45, 0) / 0.55) ** bow
        )
    )
    half = np.maximum(half, 0.004)
    rail = depth * (1 + sheer * (2 * np.abs(t - 0.35)) ** 2)
    keel = depth * 0.75 * np.clip((t - 0.7) / 0.3, 0, 1) ** rng.uniform(1.2, 3)
    angle = np.linspace(-1, 1, 13)
    z = np.sign(angle) * np.abs(angle) ** (1 - 0.6 * (1 - vee))
    y = np.abs(angle) ** (1 + 3 * (1 - vee))
    rings = np.stack(
        [
            np.stack([np.full(13, a), k + (r - k) * y, h * z], axis=1)
            for a, h, r, k in zip(x, half, rail, keel, strict=True)
        ]
    )
    parts = [
        loft(rings, closed=False, caps=False),
        loft(np.stack([rings[0], rings[0] * (1, 1, 0.02)]), closed=False, caps=False),
    ]
    if open_top:
        shell = rings.copy()
        shell[..., 1] += 0.012
        shell[..., 2] *= 0.94
        parts.append(loft(shell, closed=False, caps=False))
    else:
        deck = np.stack([rings[:, 0], rings[:, -1]], axis=1) - (0, depth * rng.uniform(0, 0.15), 0)
        parts.append(loft(deck, closed=False, caps=False))
    return join(parts)


def _blocks(rng: Rng, base: float, x: float, size: tuple[float, float, float], floors: Count) -> list[Mesh]:
    """A superstructure of decks, each smaller than the one below."""
    parts, (length, height, width) = [], size
    for _ in range(floors):
        parts.append(box((length, height, width), (x, base + height / 2, 0)))
        base += height
        length, width = length * rng.uniform(0.55, 0.95), width * rng.uniform(0.65, 0.98)
        x += rng.uniform(-0.1, 0.1) * length
        height *= rng.uniform(0.7, 1.05)
    return parts


def _sailboat(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    beam, depth, mast = u(0.18, 0.36), u(0.06, 0.13), u(0.7, 1.7)
    foot = u(-0.02, 0.15)
    parts = [_hull(rng, beam, depth, stern=u(0.4, 0.8), bow=u(1.5, 2.5), vee=u(0.4, 0.9))]
    parts.append(rod((foot, depth * 0.8, 0), (foot, depth + mast, 0), u(0.006, 0.012), 0.005))
    parts.append(rod((foot, depth + 0.08, 0), (-0.45, depth + 0.08, 0), 0.007))
    if rng.random() < 0.75:
        swing = u(-0.03, 0.03)
        sail = np.array(
            [
                [[foot, depth + 0.1, 0], [(foot - 0.44) / 2, depth + 0.1, swing], [-0.44, depth + 0.1, 0]],
                [
                    [foot, depth + mast / 2, 0],
                    [foot - 0.13, depth + mast / 2, swing],
                    [foot - 0.28, depth + mast / 2, 0],
                ],
                [[foot, depth + mast, 0], [foot - 0.01, depth + mast, 0], [foot - 0.02, depth + mast, 0]],
            ]
        )
        parts.append(loft(sail, closed=False, caps=False))
    if rng.random() < 0.7:
        jib = np.array(
            [
                [[0.47, depth * 1.3, 0], [foot + 0.04, depth + 0.08, u(0.0, 0.05)]],
                [[foot + 0.02, depth + mast * 0.85, 0], [foot + 0.015, depth + mast * 0.85, 0]],
            ]
        )
        parts.append(loft(jib, closed=False, caps=False))
    else:
        parts.append(rod((0.48, depth, 0), (foot, depth + mast, 0), 0.004, sides=5))
    parts.append(rod((-0.49, depth, 0), (foot, depth + mast, 0), 0.003, sides=5))
    if rng.random() < 0.6:
        parts.append(ellipsoid((u(0.1, 0.2), 0.05, beam * 0.3), (u(-0.05, 0.1), depth, 0), power=4))
    if rng.random() < 0.6:
        parts.append(foil((0, 0.03, 0), (-0.02, -u(0.08, 0.2), 0), (u(0.15, 0.25), u(0.1, 0.15))))
    return parts


def _ship(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    beam, depth = u(0.11, 0.2), u(0.06, 0.12)
    parts = [_hull(rng, beam, depth, stern=u(0.7, 1), bow=u(2.5, 6), sheer=u(0, 0.2), vee=u(0, 0.3))]
    kind = rng.integers(4)
    if kind == 0:  # container ship
        parts += _blocks(rng, depth, u(-0.42, -0.3), (u(0.06, 0.1), u(0.04, 0.06), beam * 0.9), rng.integers(2, 4))
        for k in range(rng.integers(4, 8)):
            height = u(0.02, 0.08)
            parts.append(box((0.075, height, beam * u(0.75, 0.95)), (-0.2 + k * 0.085, depth + height / 2, 0)))
    elif kind == 1:  # cruise ship, ferry
        parts += _blocks(rng, depth, u(-0.06, 0), (u(0.6, 0.8), u(0.025, 0.04), beam * 0.92), rng.integers(2, 5))
        parts.append(rod((u(-0.2, 0), depth, 0), (u(-0.25, -0.1), depth + u(0.14, 0.2), 0), 0.03))
    elif kind == 2:  # tanker
        parts += _blocks(rng, depth, -0.4, (u(0.08, 0.14), u(0.04, 0.05), beam * 0.9), rng.integers(2, 4))
        parts += [rod((-0.25, depth + 0.01, z), (0.35, depth + 0.01, z), 0.008, sides=6) for z in (-0.02, 0, 0.02)]
        parts.append(rod((0.0, depth, 0), (0.0, depth + u(0.05, 0.12), 0), 0.008))
    else:  # coaster with masts
        parts += _blocks(rng, depth, u(-0.35, 0.3), (u(0.12, 0.22), u(0.04, 0.05), beam * 0.85), rng.integers(1, 4))
        parts += [rod((x, depth, 0), (x, depth + u(0.1, 0.25), 0), 0.006) for x in (u(-0.2, -0.05), u(0.1, 0.3))]
    return parts


def _warship(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    beam, depth = u(0.09, 0.14), u(0.05, 0.08)
    parts = [_hull(rng, beam, depth, stern=u(0.6, 0.9), bow=u(1.4, 2.2), sheer=u(0.1, 0.35), vee=u(0.2, 0.5))]
    parts += _blocks(rng, depth, u(-0.05, 0.08), (u(0.2, 0.4), u(0.03, 0.05), beam * 0.75), rng.integers(2, 5))
    for x in (u(0.22, 0.33), u(-0.42, -0.3)):
        parts.append(lathe([(0.03, depth), (0.03, depth + 0.03)], 10))
        parts[-1] = move(parts[-1], x)
        parts.append(
            mirrored(rod((x, depth + 0.02, 0.01), (x + np.sign(x) * 0.09, depth + 0.03, 0.01), 0.004, sides=6))
        )
    mast = u(0.12, 0.25)
    parts += [
        rod((0.02, depth, 0), (0.02, depth + mast, 0), 0.008, 0.004),
        rod((-0.1, depth, 0), (-0.11, depth + 0.12, 0), 0.02),
    ]
    if rng.random() < 0.5:
        parts.append(box((0.012, 0.008, 0.08), (0.02, depth + mast * 0.8, 0)))
    return parts


def _motorboat(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    beam, depth = u(0.26, 0.4), u(0.1, 0.18)
    parts = [
        _hull(
            rng,
            beam,
            depth,
            stern=u(0.8, 1),
            bow=u(1.6, 3),
            sheer=u(0, 0.3),
            vee=u(0.3, 0.8),
            open_top=rng.random() < 0.4,
        )
    ]
    x = u(-0.1, 0.1)
    if rng.random() < 0.6:
        points = np.array([(-0.2, 0), (-0.18, u(0.05, 0.14)), (0.05, u(0.06, 0.14)), (u(0.15, 0.25), 0)])
        parts.append(move(coachwork(points, beam * u(0.6, 0.85), 0, u(0.1, 0.3), 0), x, depth * 0.9))
    else:
        screen = turn(box((0.008, u(0.06, 0.12), beam * 0.7), (0, 0.04, 0)), "z", u(10, 40))
        parts += [
            move(screen, x + 0.1, depth),
            mirrored(ellipsoid((0.05, 0.06, 0.05), (x - 0.1, depth, beam * 0.2), power=5)),
        ]
    if rng.random() < 0.5:
        parts.append(ellipsoid((0.04, 0.08, 0.04), (-0.52, depth * u(0.7, 1.1), 0), power=4))
    if rng.random() < 0.3:
        parts += [
            mirrored(rod((x, depth, beam * 0.4), (x, depth + 0.2, beam * 0.35), 0.006)),
            box((0.25, 0.01, beam * 0.8), (x, depth + 0.2, 0)),
        ]
    return parts


def _yacht(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    beam, depth = u(0.2, 0.3), u(0.08, 0.14)
    parts = [_hull(rng, beam, depth, stern=u(0.8, 1), bow=u(1.8, 3), sheer=u(0.1, 0.4), vee=u(0.3, 0.7))]
    base, length, x = depth * 0.95, u(0.5, 0.7), u(-0.15, -0.05)
    for _ in range(rng.integers(1, 4)):
        height = u(0.04, 0.07)
        points = np.array([(-0.5, 0), (-0.46, 1), (0.25, 1), (0.5, 0)]) * (length, height)
        parts.append(move(coachwork(points, beam * u(0.6, 0.85), 0, u(0.05, 0.2), 0), x, base))
        base, length, x = base + height, length * u(0.5, 0.8), x + u(-0.04, 0.04)
    if rng.random() < 0.6:
        parts.append(rod((x, base, 0), (x - 0.03, base + u(0.05, 0.12), 0), 0.008, 0.004))
    if rng.random() < 0.6:
        rail = [(0.48, depth * 1.5, 0), (0.3, depth * 1.35, beam * 0.35), (0.1, depth * 1.3, beam * 0.45)]
        parts.append(mirrored(pipe(rail, 0.004, 5)))
    return parts


def _rowboat(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    canoe = rng.random() < 0.5
    beam, depth = (u(0.14, 0.22), u(0.07, 0.12)) if canoe else (u(0.26, 0.42), u(0.1, 0.17))
    hull = _hull(
        rng,
        beam,
        depth,
        stern=0.06 if canoe else u(0.5, 0.8),
        bow=u(1.6, 2.4),
        sheer=u(0.1, 0.6),
        vee=u(0.1, 0.6),
        open_top=True,
    )
    seats = [
        box((u(0.04, 0.08), 0.012, beam * 0.8), (x, depth * u(0.6, 0.8), 0))
        for x in (-0.25, 0, 0.2)[: rng.integers(1, 4)]
    ]
    if rng.random() < 0.4:
        seats.append(mirrored(rod((0.02, depth, beam * 0.4), (u(-0.1, 0.1), depth * 0.8, beam * u(1.0, 1.6)), 0.007)))
    return [hull, *seats]


def _submarine(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    r = u(0.045, 0.075)
    x = np.array([-0.5, -0.38, -0.2, 0.2, 0.38, 0.46, 0.5])
    parts = [
        spindle(
            x,
            r * np.array([0.12, 0.6, 1, 1, 0.85, 0.5, 0.08]),
            r * u(0.9, 1.2) * np.array([0.12, 0.6, 1, 1, 0.85, 0.5, 0.08]),
        )
    ]
    sail = u(0.05, 0.18)
    parts.append(foil((sail, r * 0.8, 0), (sail - 0.01, r + u(0.05, 0.09), 0), (u(0.12, 0.2), u(0.1, 0.16)), 0.25))
    parts.append(mirrored(foil((-0.43, 0, 0.01), (-0.45, 0, u(0.08, 0.13)), (0.08, 0.05))))
    parts.append(foil((-0.43, -0.1, 0), (-0.43, 0.1, 0), (0.06, 0.06)))
    if rng.random() < 0.5:
        parts.append(mirrored(foil((sail, r + 0.02, 0.01), (sail, r + 0.02, 0.08), (0.05, 0.04))))
    return [*parts, rod((sail, r, 0), (sail, r + u(0.1, 0.16), 0), 0.004)]


def _workboat(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    beam, depth = u(0.25, 0.36), u(0.12, 0.2)
    parts = [_hull(rng, beam, depth, stern=u(0.7, 0.95), bow=u(2, 4), sheer=u(0.3, 0.8), vee=u(0.2, 0.6))]
    x = u(-0.3, 0.15)
    parts += _blocks(rng, depth * 0.9, x, (u(0.18, 0.3), u(0.1, 0.16), beam * u(0.5, 0.8)), rng.integers(1, 3))
    mast = rng.choice([-1, 1]) * u(0.1, 0.25)
    parts.append(rod((x + mast, depth, 0), (x + mast, depth + u(0.3, 0.6), 0), 0.01, 0.006))
    if rng.random() < 0.5:
        parts.append(rod((x + mast, depth + 0.05, 0), (x + 2.2 * mast, depth + u(0.2, 0.4), 0), 0.008))
    if rng.random() < 0.5:
        parts.append(rod((x - 0.05, depth, 0), (x - 0.06, depth + u(0.25, 0.4), 0), 0.035))
    return parts


def _catamaran(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    gap, depth = u(0.15, 0.3), u(0.06, 0.11)
    hull = move(_hull(rng, u(0.07, 0.12), depth, stern=u(0.5, 0.9), bow=u(1.6, 2.4), vee=0.4), z=gap)
    parts = [mirrored(hull), box((u(0.4, 0.6), 0.03, 2 * gap), (-0.08, depth, 0))]
    if rng.random() < 0.6:
        mast = u(0.6, 1.2)
        parts.append(rod((0.05, depth, 0), (0.05, depth + mast, 0), 0.008))
        sail = np.array(
            [[[0.04, depth + 0.08, 0], [-0.4, depth + 0.08, 0]], [[0.04, depth + mast, 0], [0.02, depth + mast, 0]]]
        )
        parts.append(loft(sail, closed=False, caps=False))
    if rng.random() < 0.7:
        parts.append(ellipsoid((0.2, 0.08, gap * 0.7), (-0.05, depth + 0.03, 0), power=4))
    return parts


def _raft(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    if rng.random() < 0.5:  # an inflatable boat
        width, r = u(0.2, 0.28), u(0.05, 0.08)
        tube = pipe([(-0.5, 0.06, width), (0.15, 0.06, width), (0.36, 0.09, width * 0.75), (0.5, 0.12, 0)], r)
        return [
            mirrored(tube),
            box((0.75, 0.02, 2 * width), (-0.1, 0.03, 0)),
            box((0.04, 0.1, 2 * width), (-0.4, 0.06, 0)),
        ]
    barge = prism(
        np.array([(-0.5, -1), (0.4, -1), (0.5, -0.7), (0.5, 0.7), (0.4, 1), (-0.5, 1)]) * np.array([1, u(0.12, 0.25)]),
        0,
        u(0.06, 0.12),
    )
    return [barge, *_blocks(rng, 0.08, u(-0.3, 0.0), (u(0.15, 0.4), u(0.08, 0.14), 0.2), rng.integers(1, 3))]


WATERCRAFT = {
    "sailboat": _sailboat,
    "ship": _ship,
    "warship": _warship,
    "motorboat": _motorboat,
    "yacht": _yacht,
    "rowboat": _rowboat,
    "submarine": _submarine,
    "workboat": _workboat,
    "catamaran": _catamaran,
    "raft": _raft,
}
