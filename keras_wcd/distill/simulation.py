"""Clouds on simple surfaces and the versions of them that a completion network meets or makes."""

from collections.abc import Iterator

import numpy as np

POINTS = 1024
CLOUDS = 3
"""Clouds of each surface."""


def pairs(seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of clouds `(B, N, 3)` of unit bounding-box diagonal, with their versions `(B, M, 3)`.

    The versions are: *disturbed*, the surface sampled anew with noise of 0.002 to 0.02; *partial*, the half of
    another sample that is nearest in some direction; *predicted*, patches of four points around 256 places near the
    surface.
    """
    rng = np.random.default_rng(seed)
    clouds, again, places = zip(
        *[_normalized(surface(rng), rng) for surface in SURFACES for _ in range(CLOUDS)], strict=True
    )
    clouds, again, places = np.stack(clouds), np.stack(again), np.stack(places)[:, : POINTS // 4]
    size = np.exp(rng.uniform(np.log(0.002), np.log(0.02), (len(clouds), 1, 1)))
    yield clouds, again + size * rng.normal(size=again.shape)
    yield clouds, _near_half(again, rng)
    places = places + size * rng.normal(size=places.shape)
    yield clouds, np.repeat(places, 4, axis=1) + 0.01 * rng.normal(size=clouds.shape)


def _normalized(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three samples `(3, N, 3)` of a surface, in random proportions, of unit diagonal."""
    points = points * rng.uniform(0.3, 1.0, 3)
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - (low + high) / 2) / np.linalg.norm(high - low)
    return points.reshape(3, POINTS, 3)


def _near_half(clouds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    views = rng.normal(size=(len(clouds), 3, 1))
    order = np.argsort((clouds @ views)[..., 0], axis=1)[:, : POINTS // 2]
    return np.take_along_axis(clouds, order[..., None], axis=1)


def _sphere(rng: np.random.Generator) -> np.ndarray:
    points = rng.normal(size=(3 * POINTS, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _box(rng: np.random.Generator) -> np.ndarray:
    points = rng.uniform(-1, 1, (3 * POINTS, 3))
    rows = np.arange(len(points))
    points[rows, rng.integers(3, size=len(points))] = rng.choice([-1.0, 1.0], len(points))
    return points


def _cylinder(rng: np.random.Generator) -> np.ndarray:
    angle, height = rng.uniform(0, 2 * np.pi, 3 * POINTS), rng.uniform(-1, 1, 3 * POINTS)
    return np.stack([np.cos(angle), height, np.sin(angle)], axis=1)


def _torus(rng: np.random.Generator) -> np.ndarray:
    u, v = rng.uniform(0, 2 * np.pi, (2, 3 * POINTS))
    ring = 1 + 0.35 * np.cos(v)
    return np.stack([ring * np.cos(u), 0.35 * np.sin(v), ring * np.sin(u)], axis=1)


SURFACES = (_sphere, _box, _cylinder, _torus)
