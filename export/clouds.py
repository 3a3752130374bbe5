"""Clouds given by a user, one by one, in the size that an export takes."""

from collections.abc import Iterable, Iterator

import numpy as np

from keras_wcd.export.runtime import as_cloud, resample


def each_cloud(clouds: Iterable | None, name: str, num_points: int) -> Iterator[np.ndarray]:
    """Clouds `(N, 3)` or `(B, N, 3)` one by one, as `(1, num_points, 3)` in float32.

    Raises:
        ValueError: where there is none, or one is no cloud; `name` is what the message calls them.
    """
    count = 0
    for points in flat(clouds):
        count += 1
        try:
            yield resample(as_cloud(points).astype(np.float32), num_points)[None]
        except ValueError as error:
            raise ValueError(f"{name}, cloud {count}: {error}") from error
    if not count:
        raise ValueError(f"{name} must hold clouds (N, 3) or (B, N, 3), as an array or an iterable; got none")


def flat(clouds: Iterable | None) -> Iterator[np.ndarray]:
    """The single clouds of an array `(N, 3)` or `(B, N, 3)`, or of an iterable of such arrays."""
    if getattr(clouds, "ndim", None) == 2:
        clouds = [clouds]
    for cloud in () if clouds is None else clouds:
        cloud = np.asarray(cloud)
        yield from cloud if cloud.ndim == 3 else [cloud]
