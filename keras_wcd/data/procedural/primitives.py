"""Solids that procedural shapes are put together from, as triangle meshes."""

from collections.abc import Iterable, Sequence

import numpy as np

from keras_wcd.data.io.mesh import Mesh

Numbers = Sequence[float] | np.ndarray
Rows = Sequence[Sequence[float]] | np.ndarray
Count = int | np.integer
"""What a generator of random numbers gives as well as a literal."""

_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
_BOX_FACES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ]
)  # fmt: skip


def join(parts: Iterable[Mesh]) -> Mesh:
    """One mesh of all `parts`."""
    parts = list(parts)
    start = np.cumsum([0] + [len(part.vertices) for part in parts])
    faces = [part.faces + first for part, first in zip(parts, start, strict=False)]
    return Mesh(np.concatenate([part.vertices for part in parts]), np.concatenate(faces))


def move(mesh: Mesh, x: float = 0, y: float = 0, z: float = 0) -> Mesh:
    """`mesh` moved."""
    return Mesh(mesh.vertices + (x, y, z), mesh.faces)


def stretch(mesh: Mesh, x: float = 1, y: float = 1, z: float = 1) -> Mesh:
    """`mesh` scaled about the origin."""
    return Mesh(mesh.vertices * (x, y, z), mesh.faces)


def turn(mesh: Mesh, axis: str, degrees: float) -> Mesh:
    """`mesh` turned about an axis through the origin: "x", "y" or "z"."""
    a, b = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    vertices = mesh.vertices.copy()
    vertices[:, a] = cos * mesh.vertices[:, a] - sin * mesh.vertices[:, b]
    vertices[:, b] = sin * mesh.vertices[:, a] + cos * mesh.vertices[:, b]
    return Mesh(vertices, mesh.faces)


def mirrored(mesh: Mesh) -> Mesh:
    """`mesh` and its image in the plane z = 0."""
    return join([mesh, stretch(mesh, z=-1)])


def around(mesh: Mesh, count: Count, first: float = 0) -> Mesh:
    """`count` copies of `mesh` about the y axis, evenly turned."""
    return join(turn(mesh, "y", first + 360 * k / count) for k in range(count))


def box(size: Numbers, center: Numbers = (0, 0, 0)) -> Mesh:
    """An axis-aligned block."""
    return Mesh(_CORNERS * size + center, _BOX_FACES)


def loft(rings: np.ndarray, *, closed: bool = True, caps: bool = True) -> Mesh:
    """The surface through rings of points `(S, K, 3)`, each joined to the next.

    `closed` joins the last point of a ring to its first; `caps` closes both ends by fans from their centers.
    """
    rings = np.asarray(rings, np.float64)
    sections, corners = rings.shape[:2]
    a = np.arange(corners if closed else corners - 1)
    b = (a + 1) % corners
    faces = [
        np.concatenate([np.stack([a, b, b + corners], 1), np.stack([a, b + corners, a + corners], 1)]) + s * corners
        for s in range(sections - 1)
    ]
    vertices = rings.reshape(-1, 3)
    if caps:
        ends = (0, sections - 1)
        centers = np.stack([rings[end].mean(axis=0) for end in ends])
        for k, end in enumerate(ends):
            hub = np.full(len(a), len(vertices) + k)
            faces.append(np.stack([a + end * corners, b + end * corners, hub], 1))
        vertices = np.concatenate([vertices, centers])
    return Mesh(vertices, np.concatenate(faces))


def circle(sides: int, first: float = 0) -> np.ndarray:
    """Points `(sides, 2)` of the unit circle."""
    angle = np.radians(first) + 2 * np.pi * np.arange(sides) / sides
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def squircle(sides: int, power: float) -> np.ndarray:
    """Points `(sides, 2)` with |x|^p + |y|^p = 1: a circle for 2, nearly a square for 8."""
    ring = circle(sides, 180 / sides)
    return ring / (np.abs(ring) ** power).sum(axis=1, keepdims=True) ** (1 / power)


def lathe(profile: Rows, sides: int = 20, *, caps: bool = True, power: float = 2) -> Mesh:
    """A profile of (radius, height) turned about the y axis; `power` squares it up as in `squircle`."""
    ring = squircle(sides, power) if power != 2 else circle(sides)
    rings = [np.stack([r * ring[:, 0], np.full(sides, h), r * ring[:, 1]], axis=1) for r, h in profile]
    return loft(np.array(rings), caps=caps)


def rod(start: Numbers, end: Numbers, radius: float, tip: float | None = None, sides: int = 10) -> Mesh:
    """A cylinder between two points, or a cone where the radius at its `tip` differs."""
    first, last = np.asarray(start, float), np.asarray(end, float)
    axis = (last - first) / np.linalg.norm(last - first)
    side = np.cross(axis, (0.0, 1.0, 0.0) if abs(axis[1]) < 0.9 else (1.0, 0.0, 0.0))
    side /= np.linalg.norm(side)
    ring = circle(sides, 45) @ np.stack([side, np.cross(axis, side)])
    return loft(np.stack([first + radius * ring, last + (radius if tip is None else tip) * ring]))


def pipe(path: Rows, radius: float, sides: int = 8) -> Mesh:
    """Rods along a path of points."""
    return join(rod(a, b, radius, sides=sides) for a, b in zip(path[:-1], path[1:], strict=True))


def ellipsoid(radii: Numbers, center: Numbers = (0, 0, 0), *, sides: int = 16, power: float = 2) -> Mesh:
    """An ellipsoid; a `power` above 2 makes it a cushion, near a block for 8."""
    latitude = np.radians(np.linspace(-88, 88, max(5, sides // 2)))
    c, s = np.cos(latitude), np.sin(latitude)
    norm = (np.abs(c) ** power + np.abs(s) ** power) ** (1 / power)
    return move(stretch(lathe(np.stack([c / norm, s / norm], 1), sides, power=power), *radii), *center)


def prism(outline: Rows, low: float, high: float, *, taper: float = 1) -> Mesh:
    """An outline `(K, 2)` in x and z, star-shaped, raised from y = low to high, where it is scaled by `taper`."""
    x, z = np.asarray(outline, float).T
    rings = [np.stack([x * t, np.full(len(x), h), z * t], axis=1) for h, t in ((low, 1), (high, taper))]
    return loft(np.array(rings))


def spindle(
    x: Numbers, height: Numbers, width: Numbers | None = None,
    y: Numbers | None = None, *, sides: int = 16, power: float = 2,
) -> Mesh:  # fmt: skip
    """A body along the x axis: half height, half width and height of its center at every x."""
    widths, centers = height if width is None else width, np.zeros(len(x)) if y is None else y
    ring = squircle(sides, power)
    rings = [
        np.stack([np.full(sides, a), c + h * ring[:, 1], w * ring[:, 0]], axis=1)
        for a, h, w, c in zip(x, height, widths, centers, strict=True)
    ]
    return loft(np.array(rings))


def wheel(center: Numbers, radius: float, width: float, sides: int = 18) -> Mesh:
    """A wheel whose axle lies along z, with a dent for the rim."""
    x, y, z = center
    profile = [(0.55 * radius, -0.3), (0.7 * radius, -0.5), (radius, -0.4), (radius, 0.4), (0.7 * radius, 0.5),
               (0.55 * radius, 0.3)]  # fmt: skip
    return move(turn(lathe([(r, h * width) for r, h in profile], sides), "x", 90), x, y, z)


def foil(root: Numbers, tip: Numbers, chords: Numbers, thickness: float = 0.1) -> Mesh:
    """A wing from `root` to `tip`, the middles of its first and last chord, with a rounded leading edge at +x.

    It may stand upright: its thickness is measured across the plane of its chord and its direction.
    """
    first, last = np.asarray(root, float), np.asarray(tip, float)
    shape = np.array([[0.5, 0], [0.42, 0.4], [0.1, 0.5], [-0.5, 0.06], [-0.5, -0.06], [0.1, -0.4], [0.42, -0.35]])
    across = np.cross(last - first, (1.0, 0.0, 0.0))
    across /= np.linalg.norm(across)
    rings = [
        at + chord * (shape[:, :1] * (1.0, 0.0, 0.0) + thickness * shape[:, 1:] * across)
        for at, chord in ((first, chords[0]), (last, chords[1]))
    ]
    return loft(np.array(rings))


def coachwork(profile: np.ndarray, width: float, belt: float, lean: float, plan: float) -> Mesh:
    """A car's body: a side profile `(K, 2)` made `width` wide, leaning in above the belt and at both ends."""
    x, y = profile.T
    half = np.ptp(x) / 2
    inward = 1 - lean * np.clip((y - belt) / max(y.max() - belt, 1e-6), 0, 1)
    inward = inward * (1 - plan * np.abs((x - x.mean()) / half) ** 5)
    rings = []
    center = np.array([x.mean(), belt])
    for share, shrink in ((-1, 0.92), (-0.95, 0.97), (-0.8, 1), (0, 1.02), (0.8, 1), (0.95, 0.97), (1, 0.92)):
        outline = center + (profile - center) * (1 - (1 - shrink) * np.array([0.5, 1.5]))
        rings.append(np.column_stack([outline, share * inward * width / 2]))
    return loft(np.array(rings))
