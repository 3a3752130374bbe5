"""Anything that completes clouds, asked in batches: a Keras model, a function or a LiteRT file."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_wcd.data.contract import Sample
from keras_wcd.data.resampling import resample

PROTOCOL_POINTS = 2048
"""Points of every scan, where the network does not ask for another number."""


@dataclass(frozen=True)
class Answering:
    """A network as evaluation sees it.

    Attributes:
        name: What tables call it.
        num_points: Points N that scans are resampled to.
        predict: Scans `(B, N, 3)` in float32 to clouds `(B, M, 3)`.
        keep_partial: Whether the measured points are put before the network's.
    """

    name: str
    num_points: int
    predict: Callable[[np.ndarray], Any]
    keep_partial: bool = False

    def __call__(self, samples: Sequence[Sample], seeds: Sequence[int]) -> list[np.ndarray]:
        """The completed cloud of every scan; `seeds` draw the points that resampling repeats or leaves out."""
        pairs = zip(samples, seeds, strict=True)
        scans = np.stack([resample(s.partial, self.num_points, seed=seed) for s, seed in pairs]).astype(np.float32)
        answer = _last(self.predict(scans))
        if answer.ndim != 3 or answer.shape[0] != len(scans) or answer.shape[2] != 3 or not answer.shape[1]:
            raise ValueError(
                f"model must answer scans {scans.shape} with clouds ({len(scans)}, M, 3), got shape {answer.shape}"
            )
        if not self.keep_partial:
            return list(answer)
        return [np.concatenate([s.partial, points]) for s, points in zip(samples, answer, strict=True)]


def answering(model: Any, batch_size: int, keep_partial: bool = False) -> Answering:
    """How `model` is asked: a `keras.Model`, a function of scans `(B, N, 3)`, or the path of a `.tflite` file.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(model, str | os.PathLike):
        return _from_file(Path(model), keep_partial)
    import keras

    if isinstance(model, keras.Model):
        return Answering(model.name, _points_in(model), _in_full_batches(model, batch_size), keep_partial)
    if not callable(model):
        raise ValueError(f"model must be a keras.Model, a function or a .tflite path, got {type(model).__name__}")
    name = getattr(model, "__name__", type(model).__name__)
    return Answering(name, PROTOCOL_POINTS, model, keep_partial)


def _from_file(path: Path, keep_partial: bool) -> Answering:
    if path.suffix != ".tflite":
        raise ValueError(f"model {str(path)!r} is no .tflite file; load it and pass the network")
    from keras_wcd.export import runtime

    # The data set's frame is the network's: the file's own normalization is left out.
    network = runtime.Model(path)
    return Answering(
        path.stem, network.points_in, lambda scans: np.stack([network(scan) for scan in scans]), keep_partial
    )


def _points_in(model: Any) -> int:
    """Points that a network wants: its `num_input`, its static input shape, or the protocol's."""
    count = getattr(model, "num_input", None)
    shape = getattr(model, "input_shape", None)
    if count is None and isinstance(shape, tuple) and len(shape) == 3:
        count = shape[1]
    return count or PROTOCOL_POINTS


def _in_full_batches(model: Any, batch_size: int) -> Callable[[np.ndarray], Any]:
    """`model.predict_on_batch` that sees one batch size only: another would be traced again."""

    def predict(scans: np.ndarray) -> np.ndarray:
        missing = max(0, batch_size - len(scans))
        full = np.concatenate([scans, np.repeat(scans[-1:], missing, axis=0)]) if missing else scans
        return _last(model.predict_on_batch(full))[: len(scans)]

    return predict


def _last(answer: Any) -> np.ndarray:
    """The last of several stages, as a NumPy array."""
    if isinstance(answer, list | tuple):
        answer = answer[-1]
    if isinstance(answer, np.ndarray):
        return answer
    import keras

    return keras.ops.convert_to_numpy(answer) if keras.ops.is_tensor(answer) else np.asarray(answer)
