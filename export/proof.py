"""What lets a file prove itself where it is run: a cloud that a rule draws, and what the network makes of it."""

import base64
from typing import Any

import keras
import numpy as np
from scipy.spatial import KDTree

from keras_wcd.export.graph import answer
from keras_wcd.export.runtime import drawn_cloud

TOLERANCES = {None: 1e-4, "float16": 1e-2, "dynamic": 5e-2, "dynamic4": 2e-1, "int8": 1e-1}
"""By quantization, the largest distance accepted; the frame's bounding box has diagonal 1."""
ROUNDING = {None: 1e-6, "float16": 1e-4, "dynamic": 1e-3, "dynamic4": 1e-2, "int8": 1e-3}
"""By quantization, standard deviation of the disturbance of the input whose effect on the model's own answer a file may
have: some roundings of float32, whose step at 0.5 is 6e-8; one of float16 (4.9e-4; the deviation of a rounding is the
step over the root of 12) and of 8 bits (1/255); of 4 bits (1/15) less than one, as a layer's sums even them out."""
DISTURBANCES = 3
ROWS = 64
"""Points of the answer that a file holds."""


def proof(model: keras.Model, points_in: int, quantization: str | None) -> dict[str, Any]:
    """The network's own answer to the cloud of `runtime.drawn_cloud`, as a file's record holds it.

    A network that selects points may select others after any rounding, so the tolerance is no less than what
    disturbing the cloud by `ROUNDING` does to the answer; for an answer wider than the frame it grows with it.
    """
    points = drawn_cloud(points_in)
    cloud = _answer(model, points)
    rows = np.arange(min(ROWS, len(cloud))) * len(cloud) // min(ROWS, len(cloud))
    kept = np.ascontiguousarray(cloud[rows], "<f4")
    diagonal = float(np.linalg.norm(np.ptp(cloud, axis=0)))
    effect = _effect_of_rounding(model, points, kept, ROUNDING[quantization])
    return {
        "cloud": "drawn",
        "rows": base64.b64encode(kept.tobytes()).decode(),
        "diagonal": diagonal,
        "tolerance": max(TOLERANCES[quantization] * max(1.0, diagonal), effect),
    }


def _answer(model: keras.Model, points: np.ndarray) -> np.ndarray:
    cloud = keras.ops.convert_to_numpy(answer(model, points[None]))[0]
    if not np.isfinite(cloud).all():
        raise ValueError(f"model {model.name!r} answers a cloud in its frame with coordinates that are not finite")
    return cloud


def _effect_of_rounding(model: keras.Model, points: np.ndarray, kept: np.ndarray, scale: float) -> float:
    """Largest distance of points of the answer to those of the answers to clouds disturbed by `scale`."""
    rng = np.random.default_rng(0)
    disturbed = (points + rng.normal(scale=scale, size=points.shape).astype(np.float32) for _ in range(DISTURBANCES))
    return max(float(KDTree(_answer(model, cloud)).query(kept)[0].max()) for cloud in disturbed)
