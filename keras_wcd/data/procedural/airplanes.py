"""Procedural airplanes: y up, nose +x, left-right symmetry in z."""

import numpy as np

from keras_wcd.data.io.mesh import Mesh
from keras_wcd.data.procedural.primitives import (
    around,
    box,
    ellipsoid,
    foil,
    join,
    lathe,
    loft,
    mirrored,
    move,
    rod,
    spindle,
    turn,
    wheel,
)

Rng = np.random.Generator


def _fuselage(rng: Rng, radius: float, *, blunt: float = 0.5, boom: float = 0.5, power: float = 2) -> Mesh:
    """A body from x = -0.5 to 0.5; `blunt` is the nose, `boom` how far forward the tail begins to taper."""
    x = np.array([-0.5, -0.4, -0.5 + 0.5 * boom, -0.1, 0.2, 0.35, 0.44, 0.485, 0.5])
    shape = np.array(
        [0.12, 0.35, 0.8, 1, 1, 0.7 + 0.3 * blunt, 0.4 + 0.5 * blunt, 0.2 + 0.4 * blunt, 0.04 + 0.1 * blunt]
    )
    lift = np.where(x < -0.1, (1 - shape) * rng.uniform(0.2, 0.9), -(1 - shape) * rng.uniform(0, 0.35))
    return spindle(x, radius * shape * rng.uniform(0.9, 1.25), radius * shape, radius * lift, power=power)


def _wings(
    rng: Rng, x: float, y: float, half: float, chord: float, sweep: float, taper: float, dihedral: float = 0.05
) -> Mesh:
    """A pair of wings; `sweep` is how far the tip lies behind the root."""
    middle = 0.45 * half if rng.random() < 0.5 else 0.3 * half
    kink = chord * (1 - (1 - taper) * rng.uniform(0.3, 0.6))
    thickness = rng.uniform(0.08, 0.14)
    inner = foil((x, y, 0.0), (x - sweep * middle / half, y + dihedral * middle, middle), (chord, kink), thickness)
    outer = foil(
        (x - sweep * middle / half, y + dihedral * middle, middle),
        (x - sweep, y + dihedral * half, half),
        (kink, chord * taper),
        thickness,
    )
    return mirrored(join([inner, outer]))


def _tail(rng: Rng, x: float, y: float, size: float, *, style: str) -> list[Mesh]:
    """Fin and tailplane: "low", "tee", "cross", "vee" or "twin"."""
    u = rng.uniform
    height, sweep, chord = size * u(0.8, 1.2), size * u(0.1, 0.9), size * u(0.6, 0.9)
    span = size * u(1.0, 1.5)
    if style == "vee":
        return [mirrored(foil((x, y, 0), (x - sweep, y + height, span * 0.7), (chord, chord * 0.6)))]
    if style == "twin":
        fins = mirrored(foil((x, y, size * 0.45), (x - sweep, y + height, size * u(0.4, 0.7)), (chord, chord * 0.5)))
        return [fins, _wings(rng, x, y, span, chord, sweep * 0.6, 0.5, 0)]
    fin = foil((x, y, 0), (x - sweep, y + height, 0.0), (chord * 1.2, chord * u(0.4, 0.8)))
    level = {"low": 0.0, "cross": 0.4, "tee": 0.97}[style]
    return [
        fin,
        _wings(rng, x - level * sweep, y + level * height, span, chord * 0.8, sweep * 0.5, u(0.4, 0.9), u(-0.05, 0.1)),
    ]


def _pods(rng: Rng, places: list[tuple[float, float, float]], length: float, radius: float) -> list[Mesh]:
    shape = np.array([0.5, 0.8, 1, 1, 0.85])
    x = np.array([-0.5, -0.25, 0, 0.3, 0.5]) * length
    return [mirrored(move(spindle(x, radius * shape, sides=12), *place)) for place in places]


def _propeller(rng: Rng, x: float, y: float, z: float, radius: float) -> Mesh:
    """A spinner with blades that turn about the x axis."""
    count = rng.integers(2, 5)
    blade = box((radius, 0.008, radius * 0.14), (radius / 2, 0, 0))
    disk = join(
        [
            around(turn(blade, "x", 30), count, rng.uniform(0, 360)),
            lathe([(0.018, -0.01), (0.016, 0.01), (0.003, 0.035)], 10),
        ]
    )
    return move(turn(disk, "z", -90), x, y, z)


def _gear(rng: Rng, y: float, track: float, *, tail_wheel: bool) -> list[Mesh]:
    if rng.random() < 0.5:
        return []
    drop, r = rng.uniform(0.05, 0.1), rng.uniform(0.018, 0.03)
    legs = [
        mirrored(
            join(
                [rod((0.1, y, track * 0.5), (0.1, y - drop, track), 0.006), wheel((0.1, y - drop, track), r, 0.02, 12)]
            )
        )
    ]
    x = -0.42 if tail_wheel else 0.38
    low = y - drop * (0.3 if tail_wheel else 1)
    return [*legs, rod((x, y * 0.7, 0), (x, low, 0), 0.006), wheel((x, low, 0), r * 0.8, 0.015, 12)]


def _airliner(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    r, half, chord = u(0.045, 0.07), u(0.36, 0.52), u(0.14, 0.22)
    x, sweep = u(0.0, 0.1), u(0.14, 0.32)
    y = rng.choice([-0.6, 0.75], p=[0.8, 0.2]) * r
    parts = [
        _fuselage(rng, r, blunt=u(0.4, 0.8), boom=u(0.3, 0.6)),
        _wings(rng, x, y, half, chord, sweep, u(0.2, 0.45), u(-0.05, 0.12)),
    ]
    parts += _tail(rng, -0.42, r * 0.5, u(0.11, 0.16), style=rng.choice(["low", "low", "tee"]))
    spots = [u(0.25, 0.38)] if rng.random() < 0.7 else [0.28, 0.55]
    places = [(x - sweep * s + chord * u(0.35, 0.55), y - r * u(0.5, 0.8), half * s) for s in spots]
    return parts + _pods(rng, places, u(0.08, 0.14), u(0.02, 0.035)) + _gear(rng, -r, 0.06, tail_wheel=False)


def _private_jet(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    r = u(0.045, 0.07)
    parts = [
        _fuselage(rng, r, blunt=u(0.2, 0.6)),
        _wings(rng, u(-0.08, 0.03), -r * 0.7, u(0.32, 0.46), u(0.13, 0.2), u(0.08, 0.25), u(0.25, 0.5), u(0, 0.1)),
    ]
    parts += _tail(rng, -0.42, r * 0.6, u(0.12, 0.17), style="tee")
    return (
        parts
        + _pods(rng, [(-0.27, r * u(0.4, 0.8), r * 1.7)], u(0.12, 0.18), u(0.022, 0.032))
        + _gear(rng, -r, 0.06, tail_wheel=False)
    )


def _fighter(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    r, half = u(0.045, 0.065), u(0.24, 0.36)
    delta = rng.random() < 0.4
    chord = u(0.38, 0.55) if delta else u(0.2, 0.34)
    sweep = chord * 0.42 if delta else u(0.05, 0.22)
    taper = u(0.08, 0.2) if delta else u(0.25, 0.5)
    body = _fuselage(rng, r, blunt=u(0, 0.15), boom=u(0, 0.15), power=rng.choice([2, 3, 4]))
    parts = [body, _wings(rng, u(-0.18, -0.08), u(-0.3, 0.4) * r, half, chord, sweep, taper, u(-0.08, 0.05))]
    tail = _tail(rng, -0.4, r * 0.3, u(0.12, 0.18), style=rng.choice(["low", "twin"]))
    parts += tail[:1] if delta else tail
    parts.append(ellipsoid((u(0.08, 0.13), r * 0.7, r * 0.55), (u(0.18, 0.28), r * 0.9, 0), sides=12))
    if rng.random() < 0.5:
        parts.append(mirrored(box((u(0.3, 0.5), r * 1.3, r), (-0.1, -r * 0.1, r * 1.3))))
    if rng.random() < 0.5:
        places = [(u(-0.2, -0.1), -r * 0.7, half * s) for s in (0.45, 0.7)[: rng.integers(1, 3)]]
        parts += _pods(rng, places, u(0.12, 0.2), 0.012)
    if delta and rng.random() < 0.6:
        parts.append(mirrored(foil((0.2, r * 0.3, 0), (0.15, r * 0.3, u(0.1, 0.15)), (0.1, 0.05))))
    return parts + _gear(rng, -r, 0.08, tail_wheel=False)


def _propeller_plane(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    r, half, chord = u(0.055, 0.085), u(0.46, 0.68), u(0.14, 0.2)
    high = rng.random() < 0.5
    y = r * (1.0 if high else -0.7)
    x = u(0.12, 0.22)
    parts = [
        _fuselage(rng, r, blunt=u(0.6, 1.0), boom=u(0.6, 1.0), power=rng.choice([2, 4])),
        _wings(rng, x, y, half, chord, u(-0.03, 0.06), u(0.5, 1.0), u(0, 0.12)),
    ]
    parts += _tail(rng, -0.44, r * 0.4, u(0.12, 0.18), style=rng.choice(["low", "low", "cross", "tee"]))
    parts.append(_propeller(rng, 0.5, -r * 0.1, 0, u(0.09, 0.15)))
    if high and rng.random() < 0.7:
        parts.append(mirrored(rod((x, -r * 0.7, r * 0.8), (x, y + 0.01, half * 0.45), 0.008, sides=6)))
    if not high or rng.random() < 0.5:
        parts.append(ellipsoid((u(0.1, 0.16), r * u(0.5, 0.8), r * 0.8), (x - 0.03, r * 0.95, 0), sides=12))
    return parts + _gear(rng, -r * 0.8, u(0.08, 0.14), tail_wheel=rng.random() < 0.5)


def _twin(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    r, half, chord = u(0.05, 0.08), u(0.46, 0.65), u(0.13, 0.2)
    y, x = r * rng.choice([-0.6, 0.2, 0.95]), u(0.05, 0.15)
    parts = [
        _fuselage(rng, r, blunt=u(0.2, 0.8), boom=u(0.4, 0.9)),
        _wings(rng, x, y, half, chord, u(-0.02, 0.08), u(0.3, 0.8), u(0, 0.1)),
    ]
    parts += _tail(rng, -0.43, r * 0.5, u(0.12, 0.18), style=rng.choice(["low", "twin", "cross", "tee"]))
    for s in (0.3, 0.55)[: rng.integers(1, 3)]:
        nose = x + chord * 0.9
        parts += _pods(rng, [(nose - 0.09, y, half * s)], 0.18, u(0.022, 0.035))
        parts.append(mirrored(_propeller(rng, nose, y, half * s, u(0.06, 0.09))))
    return parts + _gear(rng, y - 0.02, half * 0.3, tail_wheel=rng.random() < 0.5)


def _biplane(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    r, half, chord = u(0.055, 0.08), u(0.45, 0.65), u(0.13, 0.18)
    x, gap, stagger = u(0.15, 0.25), u(0.14, 0.2), u(-0.02, 0.06)
    lower, upper = -r * 0.8, -r * 0.8 + gap
    parts = [
        _fuselage(rng, r, blunt=1.0, boom=u(0.6, 1.0)),
        _wings(rng, x, lower, half * u(0.85, 1), chord, 0, 0.95, 0.03),
        _wings(rng, x + stagger, upper, half, chord, 0, 0.95, 0.0),
    ]
    for s in (0.1, 0.7):
        parts += [
            mirrored(rod((x + d, lower, half * s), (x + stagger + d, upper, half * s), 0.006, sides=6))
            for d in (-0.04, 0.04)
        ]
    parts += [*_tail(rng, -0.44, r * 0.3, u(0.12, 0.16), style="low"), _propeller(rng, 0.5, 0, 0, u(0.1, 0.15))]
    return parts + _gear(rng, -r, 0.1, tail_wheel=True)


def _glider(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    half = u(0.6, 1.1)
    x = np.array([-0.5, -0.1, 0.1, 0.2, 0.32, 0.42, 0.46])
    h = np.array([0.25, 0.35, 0.7, 1, 1, 0.6, 0.1]) * u(0.035, 0.06)
    parts = [
        spindle(x, h, h * 0.8),
        _wings(rng, u(0.12, 0.2), u(0, 0.03), half, u(0.08, 0.13), u(-0.02, 0.05), u(0.4, 0.7), u(0.02, 0.12)),
    ]
    return parts + _tail(rng, -0.46, 0.01, u(0.1, 0.16), style=rng.choice(["tee", "tee", "low", "vee"]))


def _flying_wing(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    chord, half = u(0.3, 0.6), u(0.5, 0.8)
    sweep = u(0.15, 0.45)
    parts = [
        _wings(rng, 0, 0, half, chord, sweep, u(0.2, 0.6), u(0, 0.06)),
        ellipsoid((chord * 0.55, u(0.03, 0.07), u(0.05, 0.14)), (0, 0.01, 0)),
    ]
    if rng.random() < 0.5:
        parts.append(
            mirrored(foil((-sweep, 0, half), (-sweep - 0.05, u(0.06, 0.15), half + 0.01), (chord * 0.4, chord * 0.2)))
        )
    if rng.random() < 0.3:
        parts.append(_propeller(rng, -chord * 0.55, 0, 0, 0.1))
    return parts


def _twin_boom(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    half, gap = u(0.45, 0.65), u(0.12, 0.2)
    x = np.array([-0.12, 0, 0.15, 0.3, 0.38])
    h = np.array([0.5, 1, 1, 0.6, 0.1]) * u(0.045, 0.07)
    parts = [spindle(x, h), _wings(rng, 0.08, 0, half, u(0.12, 0.18), u(0, 0.06), u(0.5, 0.9), 0.04)]
    parts.append(mirrored(rod((0.15, 0, gap), (-0.48, 0.01, gap), u(0.015, 0.03), 0.012)))
    parts.append(mirrored(foil((-0.43, 0, gap), (-0.46, u(0.09, 0.15), gap), (0.11, 0.08))))
    parts.append(box((0.08, 0.01, 2 * gap), (-0.45, rng.choice([0.01, 0.09]), 0)))
    return [*parts, _propeller(rng, -0.14, 0, 0, 0.08)] if rng.random() < 0.5 else parts


def _shuttle(rng: Rng) -> list[Mesh]:
    """A lifting body or a supersonic airliner: a long delta."""
    u = rng.uniform
    r, half, chord = u(0.035, 0.08), u(0.2, 0.32), u(0.5, 0.7)
    rings = np.array(
        [
            [(0.5 - t, -r * 0.5, z * half * t**1.3) for z in (-1, -0.5, 0, 0.5, 1)]
            for t in np.linspace(1 - chord, 0.95, 8)
        ]
    )
    wing = [loft(rings + (0, d, 0), closed=False, caps=False) for d in (0, -0.012)]
    parts = [_fuselage(rng, r, blunt=u(0, 0.6), boom=u(0, 0.2)), *wing]
    parts.append(foil((-0.38, r * 0.6, 0), (-0.47, r + u(0.1, 0.16), 0), (0.2, 0.09)))
    return parts + (_pods(rng, [(-0.33, -r * 0.9, half * 0.4)], 0.2, 0.022) if rng.random() < 0.6 else [])


AIRPLANES = {
    "airliner": _airliner,
    "private_jet": _private_jet,
    "fighter": _fighter,
    "propeller": _propeller_plane,
    "twin": _twin,
    "biplane": _biplane,
    "glider": _glider,
    "flying_wing": _flying_wing,
    "twin_boom": _twin_boom,
    "shuttle": _shuttle,
}
