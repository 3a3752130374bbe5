r"""The objective of distillation, $E = \sum_d p(d) \, |z_T(d) - z_W(d)|$, for curves given as arrays."""

import numpy as np

SHIFTS = ("mode", None)
RESCALES = ("max", "fit", None)
NORMS = ("abs", "squared")


def factors(teacher: np.ndarray, students: np.ndarray, weights: np.ndarray, rescale: str | None) -> np.ndarray:
    r"""By how much each student's curve is multiplied to meet the teacher's, `(P,)`.

    - `"max"`: $\max_d |z_T| / \max_d |z_W|$ over the support, so that a curve keeps its sign.
    - `"fit"`: $\sum p \, z_T z_W / \sum p \, z_W^2$, and 0 where that is negative: a loss is not turned around.
    - None: 1.

    It is NaN where a student's curve is zero or not finite.

    Args:
        teacher: $z_T$ `(D,)`.
        students: $z_W$ `(P, D)`.
        weights: p `(D,)`.
        rescale: One of `RESCALES`.
    """
    height = np.abs(students).max(axis=1)
    height = np.where(np.isfinite(height) & (height > 0), height, np.nan)
    if rescale is None:
        return np.where(np.isnan(height), np.nan, 1.0)
    if rescale == "max":
        return np.abs(teacher).max() / height
    # Divided by its height first: the square of a tiny curve would be 0.
    unit = students / height[:, None]
    return np.maximum((unit @ (weights * teacher)) / (np.square(unit) @ weights), 0) / height


def objectives(
    teacher: np.ndarray, students: np.ndarray, weights: np.ndarray, *, rescale: str | None, norm: str
) -> np.ndarray:
    r"""E of each student, `(P,)`; infinite where a student's curve is zero or not finite.

    With `rescale="max"` both curves are divided by their largest magnitude, so E has no unit and lies in [0, 2];
    otherwise E is in the teacher's units. `norm="squared"` sums the squares of the differences.
    """
    difference = teacher - students * factors(teacher, students, weights, rescale)[:, None]
    if rescale == "max":
        difference = difference / np.abs(teacher).max()
    cost = (np.square(difference) if norm == "squared" else np.abs(difference)) @ weights
    return np.where(np.isfinite(cost), cost, np.inf)
