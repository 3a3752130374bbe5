"""The distribution p(d) of nearest-neighbor distances over which gradients are compared."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, TypeGuard

import keras
import numpy as np
from scipy import stats

from keras_wcd.distill.simulation import pairs
from keras_wcd.ops import nearest

SIZE = 512
"""Distances that a distribution is quantized to."""


@dataclasses.dataclass(frozen=True, eq=False)
class DistanceDistribution:
    r"""Distances $d_1 < \dots < d_n$ with weights $p(d_i) \ge 0$ that sum to 1.

    Args:
        support: The distances, ascending `(n,)`.
        weights: Their weights `(n,)`; divided by their sum.
        name: What the distances are, for tables, plots and files.

    Raises:
        ValueError: for distances that are negative, not finite, all equal or not ascending, or bad weights.
    """

    support: np.ndarray
    weights: np.ndarray
    name: str = "distances"

    def __post_init__(self):
        support = _checked(self.support, "support")
        weights = np.asarray(self.weights, np.float64)
        if (np.diff(support) <= 0).any():
            raise ValueError("support must be ascending; DistanceDistribution.from_samples sorts distances")
        if weights.shape != support.shape or not (np.isfinite(weights) & (weights >= 0)).all() or weights.sum() <= 0:
            raise ValueError(f"weights must be {support.size} numbers >= 0, not all zero, got shape {weights.shape}")
        total = weights.sum()
        object.__setattr__(self, "support", support)
        # A sum that is 1 but for rounding is left alone, so that a distribution survives being saved to the bit.
        object.__setattr__(self, "weights", weights if abs(total - 1) < 1e-12 else weights / total)

    @property
    def median(self) -> float:
        """The distance below which half of the weight lies."""
        return self.quantile(0.5)

    def quantile(self, level: float) -> float:
        """The smallest distance up to which at least a share `level` of the weight lies."""
        index = np.searchsorted(np.cumsum(self.weights), level - 1e-12)
        return float(self.support[min(index, self.support.size - 1)])

    @classmethod
    def from_samples(cls, distances: Any, *, size: int = SIZE, name: str | None = None) -> "DistanceDistribution":
        """The distribution of measured distances.

        Up to `size` different distances are kept as they are, weighted by how often they occur; more are sorted
        and cut into `size` groups of equal count, each represented by its mean.

        Args:
            distances: Distances of any shape.
            size: Most distances to keep.
            name: What they are.

        Raises:
            ValueError: for no distances, or some that are negative, not finite or all equal.
        """
        samples = np.sort(_checked(distances, "distances"))
        name = name or f"{samples.size} samples"
        support, counts = np.unique(samples, return_counts=True)
        if support.size > size:
            groups = np.array_split(samples, size)
            # Many equal samples make equal means: they are merged.
            means = np.array([group.mean() for group in groups])
            support, inverse = np.unique(means, return_inverse=True)
            counts = np.bincount(inverse, [group.size for group in groups])
        return cls(support, counts / counts.sum(), name)

    @classmethod
    def simulated(cls, seed: int = 0) -> "DistanceDistribution":
        """Distances, both ways, between clouds of unit diagonal and their disturbed, partial or predicted versions.

        The clouds are sampled from spheres, boxes, cylinders and tori of random proportions. No network and no data
        are needed; `from_model` measures the distances that a training really meets.
        """
        met = [distance for cloud, version in pairs(seed) for distance in residuals(cloud, version)]
        return cls.from_samples(np.concatenate(met), name=f"simulated(seed={seed})")

    @classmethod
    def from_model(cls, model: keras.Model, dataset: Iterable | tuple) -> "DistanceDistribution":
        """Distances, both ways, between what a model predicts and the truth.

        Args:
            model: Anything whose `predict` maps partial clouds `(B, N, 3)` to clouds, the last one the answer.
            dataset: Batches (partial, truth) of a finite `tf.data.Dataset` or another iterable, or one such pair of
                arrays. Rows of the truth that hold NaN are padding.

        Raises:
            ValueError: for an empty dataset, batches of another form or predictions that are not finite.
        """
        met = []
        for batch in [dataset] if _is_pair(dataset) else dataset:
            if not _is_pair(batch):
                raise ValueError(f"dataset must yield pairs (partial, truth) of clouds (B, N, 3), got {type(batch)}")
            predicted = model.predict(batch[0], verbose=0)
            predicted = predicted[-1] if isinstance(predicted, (tuple, list)) else predicted
            if not np.isfinite(predicted).all():
                raise ValueError(f"model {model.name!r} predicts values that are not finite")
            met += residuals(predicted, keras.ops.convert_to_numpy(batch[1]))
        if not met:
            raise ValueError("dataset must hold at least one batch, got none")
        return cls.from_samples(np.concatenate(met), name=f"residuals of {model.name}")

    @classmethod
    def uniform(cls, low: float = 0.0, high: float = 1.0, *, size: int = SIZE) -> "DistanceDistribution":
        """Equal weights on [low, high]: the middles of `size` equal intervals."""
        if not 0 <= low < high < math.inf:
            raise ValueError(f"uniform needs 0 <= low < high, got low {low} and high {high}")
        middles = (np.arange(size) + 0.5) / size
        return cls(low + (high - low) * middles, np.full(size, 1 / size), f"uniform({low:g}, {high:g})")

    @classmethod
    def half_normal(cls, sigma: float = 1.0, *, size: int = SIZE) -> "DistanceDistribution":
        """The distribution of |N(0, sigma)|: the middles of `size` intervals of equal weight, by quantile."""
        if not 0 < sigma < math.inf:
            raise ValueError(f"sigma must be a positive number, got {sigma}")
        middles = (np.arange(size) + 0.5) / size
        return cls(sigma * stats.halfnorm.ppf(middles), np.full(size, 1 / size), f"half_normal({sigma:g})")


def residuals(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Distances from x `(B, N, 3)` to y `(B, M, 3)` and back, flat; rows of y that hold NaN count nowhere."""
    x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
    there = np.sqrt(keras.ops.convert_to_numpy(nearest(x, y)[0]))
    valid = ~np.any(np.isnan(y), axis=-1)
    back = np.sqrt(keras.ops.convert_to_numpy(nearest(np.where(valid[..., None], y, 0), x)[0]))
    return [there.ravel(), back[valid]]


def _is_pair(value: Any) -> TypeGuard[tuple | list]:
    return (
        isinstance(value, (tuple, list))
        and len(value) >= 2
        and all(len(getattr(part, "shape", ())) == 3 for part in value[:2])
    )


def _checked(distances: Any, name: str) -> np.ndarray:
    values = np.asarray(distances, np.float64).ravel()
    if values.size == 0:
        raise ValueError(f"{name} must hold at least two distances, got none")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got {np.count_nonzero(~np.isfinite(values))} values that are not")
    if values.min() < 0:
        raise ValueError(f"{name} must not be negative, got a smallest value of {values.min():g}")
    if values.min() == values.max():
        raise ValueError(f"{name} must not all be equal, got {values.size} times {values[0]:g}")
    return values
