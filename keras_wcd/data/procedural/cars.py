"""Procedural cars: y up, front +x, left-right symmetry in z."""

import numpy as np

from keras_wcd.data.io.mesh import Mesh
from keras_wcd.data.procedural.primitives import (
    Count,
    box,
    coachwork,
    ellipsoid,
    join,
    mirrored,
    move,
    rod,
    spindle,
    turn,
    wheel,
)

Rng = np.random.Generator


def _wheels(axles: list[float], radius: float, track: float, width: float) -> Mesh:
    return mirrored(join(wheel((x, radius, track / 2), radius, width) for x in axles))


def _side_profile(rng: Rng, points: list[tuple[float, float]], jitter: float = 0.012) -> np.ndarray:
    return np.array(points) + rng.normal(0, jitter, (len(points), 2))


_PASSENGER = {
    "sedan": ((0.29, 0.36), (-0.24, -0.16), (0.1, 0.16)),
    "hatch": ((0.34, 0.42), (-0.42, -0.34), (0.02, 0.06)),
    "wagon": ((0.31, 0.37), (-0.46, -0.42), (0.02, 0.06)),
    "suv": ((0.37, 0.44), (-0.46, -0.42), (0.02, 0.06)),
    "sports": ((0.24, 0.31), (-0.2, -0.1), (0.16, 0.26)),
    "pickup": ((0.36, 0.43), (-0.08, 0.0), (0.02, 0.06)),
    "minivan": ((0.38, 0.46), (-0.46, -0.42), (0.02, 0.06)),
}
"""Ranges of a car's height, of the place where its roof ends, and of the length of its rear window."""


def _rounded(profile: np.ndarray, times: Count) -> np.ndarray:
    """A closed outline with its corners cut `times` times (Chaikin, 1974)."""
    for _ in range(times):
        following = np.roll(profile, -1, axis=0)
        profile = np.stack([0.75 * profile + 0.25 * following, 0.25 * profile + 0.75 * following], 1).reshape(-1, 2)
    return profile


def _seats(rng: Rng, rear: float, front: float, belt: float, width: float) -> list[Mesh]:
    """A floor, a dashboard and rows of seats, as seen through the windows of many models."""
    u = rng.uniform
    parts = [box((u(0.6, 0.9), 0.01, width * 0.85), (0, u(0.07, 0.1), 0))]
    parts.append(box((0.05, 0.05, width * 0.8), (front + 0.05, belt - 0.03, 0)))
    for x in np.linspace(max(rear, -0.25) + 0.06, front - 0.1, rng.integers(1, 4)):
        seat = [ellipsoid((0.05, 0.03, 0.06), (x + 0.04, belt * 0.55, width * 0.22), sides=10, power=4)]
        seat.append(ellipsoid((0.02, belt * 0.35, 0.055), (x, belt * 0.85, width * 0.22), sides=10, power=4))
        parts.append(mirrored(join(seat)))
    return parts


def _passenger_car(rng: Rng, kind: str) -> list[Mesh]:
    u = rng.uniform
    heights, ends, windows = _PASSENGER[kind]
    roof, rear = u(*heights), u(*ends)
    tail = max(rear - u(*windows), -0.485)
    floor, width = u(0.04, 0.07) + 0.03 * (kind in ("suv", "pickup")), u(0.38, 0.48)
    hood, trunk = roof * u(0.6, 0.72), roof * u(0.62, 0.76)
    windshield = u(0.18, 0.26) if kind != "minivan" else u(0.3, 0.36)
    front, nose, belt = windshield - u(0.12, 0.2), hood * u(0.72, 0.95), hood * u(0.85, 1.0)
    back = [(-0.5, floor), (-0.5, trunk * 0.6), (-0.49, trunk * 0.97), (tail, trunk), (rear, roof * 0.97)]
    top = [((rear + front) / 2, roof), (front, roof * 0.97), (windshield, hood)]
    points = [*back, *top, (0.4, (hood + nose) / 2), (0.48, nose), (0.5, nose * 0.6), (0.485, floor)]
    profile = _rounded(_side_profile(rng, points, 0.008), rng.integers(0, 3))
    parts = [coachwork(profile, width, belt, u(0.12, 0.4), u(0.04, 0.4))]
    radius = u(0.062, 0.08) * (1.15 if kind in ("suv", "pickup") else 1)
    parts.append(_wheels([-0.5 + u(0.16, 0.22), 0.5 - u(0.15, 0.2)], radius, width * u(0.86, 0.93), u(0.05, 0.07)))
    if kind == "pickup":
        bed = trunk * u(0.95, 1.05)
        parts.append(mirrored(box((0.5 + rear, 0.12, 0.02), ((rear - 0.5) / 2, bed, width / 2 - 0.02))))
        parts.append(box((0.02, 0.12, width - 0.04), (-0.49, bed, 0)))
    elif kind in ("suv", "wagon", "minivan") and rng.random() < 0.4:
        rail = rod((rear, roof + 0.01, width * 0.3), (front, roof + 0.01, width * 0.3), 0.008, sides=6)
        parts.append(mirrored(rail))
    elif rng.random() < 0.3:
        wing = box((0.05, 0.012, width * 0.8), (-0.46, trunk + u(0.02, 0.06), 0))
        parts += [wing, mirrored(box((0.03, 0.06, 0.012), (-0.46, trunk, width * 0.3)))]
    if rng.random() < 0.6:
        parts.append(mirrored(ellipsoid((0.015, 0.018, 0.03), (windshield - 0.04, belt + 0.02, width / 2), sides=8)))
    if rng.random() < 0.4:
        parts += [box((0.03, 0.05, width * 0.85), (s * 0.5, floor + 0.05, 0)) for s in (-1, 1)]
    return parts + (_seats(rng, rear, front, belt, width) if rng.random() < 0.6 else [])


def _van(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    height, width, floor = u(0.36, 0.52), u(0.34, 0.44), u(0.04, 0.08)
    hood, nose = height * u(0.42, 0.6), u(0.02, 0.14)
    points = [
        (-0.5, floor),
        (-0.5, height * 0.5),
        (-0.495, height * 0.97),
        (0, height),
        (0.44 - nose - 0.08, height * 0.98),
        (0.47 - nose, hood),
        (0.49, hood * 0.9),
        (0.5, floor * 2),
        (0.49, floor),
    ]
    body = coachwork(_side_profile(rng, points, 0.004), width, hood, u(0.03, 0.12), u(0, 0.06))
    return [body, _wheels([-0.5 + u(0.16, 0.24), 0.5 - u(0.13, 0.18)], u(0.06, 0.08), width * 0.9, 0.055)]


def _bus(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    height, width, floor = u(0.24, 0.36), u(0.2, 0.27), u(0.03, 0.05)
    points = [
        (-0.5, floor),
        (-0.5, height * 0.5),
        (-0.49, height),
        (0, height),
        (0.48, height),
        (0.5, height * 0.5),
        (0.495, floor),
    ]
    parts = [coachwork(_side_profile(rng, points, 0.003), width, height * 0.6, u(0, 0.08), u(0, 0.04))]
    parts.append(_wheels([-0.5 + u(0.16, 0.25), 0.5 - u(0.12, 0.2)], u(0.035, 0.05), width * 0.92, 0.035))
    if rng.random() < 0.4:
        parts.append(box((u(0.1, 0.3), 0.03, width * 0.6), (u(-0.2, 0.2), height + 0.01, 0)))
    return parts


def _truck(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    width, cab, floor = u(0.2, 0.3), u(0.2, 0.3), u(0.08, 0.11)
    height, load = u(0.26, 0.34), u(0.1, 0.4)
    rear = [(0.5 - cab, floor), (0.5 - cab, height), (0.47, height * 0.97), (0.5, height * 0.55), (0.5, floor)]
    parts = [coachwork(_side_profile(rng, rear, 0.005), width, height * 0.6, 0.08, 0.02)]
    parts.append(box((0.98 - cab, 0.03, width * 0.8), (-cab / 2, floor, 0)))
    parts.append(box((0.96 - cab, load, width), (-cab / 2 - 0.015, floor + load / 2 + 0.01, 0)))
    return [*parts, _wheels([-0.38, -0.38 + u(0.1, 0.14), 0.36], u(0.05, 0.06), width * 0.9, 0.05)]


def _formula(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    x = np.array([-0.42, -0.25, -0.05, 0.12, 0.35, 0.5])
    height = np.array([0.05, 0.08, 0.07, 0.05, 0.035, 0.02]) * u(0.8, 1.3)
    track = u(0.34, 0.44)
    parts = [spindle(x, height, height * u(0.8, 1.3), [0.1, 0.12, 0.1, 0.09, 0.08, 0.06], power=3)]
    parts.append(mirrored(box((u(0.25, 0.35), 0.09, 0.1), (-0.1, 0.09, u(0.09, 0.12)))))
    parts.append(box((0.07, 0.012, track * 1.05), (0.48, 0.04, 0)))
    parts += [
        box((0.07, 0.012, track * 0.8), (-0.47, u(0.2, 0.26), 0)),
        mirrored(box((0.08, 0.16, 0.01), (-0.46, 0.17, track * 0.4))),
    ]
    parts += [mirrored(rod((a, 0.09, 0.03), (a, 0.08, track / 2), 0.008)) for a in (-0.36, 0.3)]
    return [*parts, _wheels([-0.36, 0.3], u(0.07, 0.085), track, u(0.07, 0.1))]


def _open_car(rng: Rng) -> list[Mesh]:
    u = rng.uniform
    height, width = u(0.18, 0.24), u(0.38, 0.44)
    points = [
        (-0.5, 0.05),
        (-0.49, height * 0.9),
        (-0.3, height),
        (-0.15, height * 0.95),
        (0.1, height),
        (0.4, height * 0.9),
        (0.49, height * 0.7),
        (0.5, 0.05),
    ]
    parts = [coachwork(_side_profile(rng, points), width, height, 0.1, u(0.05, 0.2))]
    parts.append(turn(move(box((0.008, u(0.1, 0.14), width * 0.8)), y=0.06), "z", u(10, 40)))
    parts[-1] = move(parts[-1], u(0.05, 0.15), height)
    parts.append(mirrored(ellipsoid((0.03, 0.08, 0.06), (u(-0.2, -0.1), height + 0.04, width * 0.22), power=4)))
    return [*parts, _wheels([-0.32, 0.32], u(0.065, 0.08), width * 0.9, 0.06)]


CARS = {
    **{
        kind: (lambda rng, kind=kind: _passenger_car(rng, kind))
        for kind in ("sedan", "hatch", "wagon", "suv", "sports", "pickup", "minivan")
    },
    "van": _van,
    "bus": _bus,
    "truck": _truck,
    "formula": _formula,
    "cabriolet": _open_car,
}
