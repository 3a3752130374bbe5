"""What can be distilled: a loss through its profile, or a function of a distance."""

from typing import Any

import keras
import numpy as np

from keras_wcd import losses
from keras_wcd.distill.gradients import profile_gradient


def teacher_name(teacher: Any) -> str:
    """What a teacher is called in messages and tables."""
    if isinstance(teacher, keras.losses.Loss):
        return type(teacher).__name__
    return getattr(teacher, "__name__", type(teacher).__name__)


def resolve_teacher(teacher: Any) -> Any:
    """A loss with a profile or a function, from itself, a class or a name.

    Raises:
        ValueError: for a loss without a profile, or anything else.
    """
    if isinstance(teacher, (str, dict)) or (isinstance(teacher, type) and issubclass(teacher, keras.losses.Loss)):
        teacher = losses.get(teacher)
    if isinstance(teacher, keras.losses.Loss) and not hasattr(teacher, "profile"):
        raise ValueError(f"teacher {teacher_name(teacher)} has no profile: give it a method profile(distance)")
    if not callable(teacher):
        raise ValueError(f"teacher must be a loss with a profile, its name or a function, got {teacher!r}")
    return teacher


def teacher_gradient(teacher: Any, distances: np.ndarray) -> np.ndarray:
    """$z_T$ of a loss with a profile or of a function, `(n,)`.

    Raises:
        ValueError: where the teacher has no finite gradient, or one that is zero everywhere.
    """
    name = teacher_name(teacher)
    try:
        gradient = profile_gradient(getattr(teacher, "profile", teacher), distances)
    except (AttributeError, NotImplementedError, TypeError) as error:
        raise ValueError(f"teacher {name} must map a tensor of distances to costs; it fails with: {error}") from error
    if gradient is None or not gradient.any():
        raise ValueError(
            f"teacher {name} has no gradient: its cost must depend on the distance, "
            "through functions of keras.ops or TensorFlow"
        )
    if gradient.shape != distances.shape or not np.isfinite(gradient).all():
        where = distances[~np.isfinite(gradient)]
        raise ValueError(f"teacher {name} has no finite gradient at {where.size} distances, the first {where[:1]}")
    return gradient
