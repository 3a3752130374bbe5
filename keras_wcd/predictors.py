"""Anything that completes clouds, opened as one thing: a file, a preset, a Keras model or a function."""

import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from keras_wcd.frames import resample
from keras_wcd.heaps import check_heaps
from keras_wcd.names import suggestion
from keras_wcd.record import digest

PROTOCOL_POINTS = 2048
"""Points of every scan, where the network does not ask for another number."""
DEMO_MODEL = Path("runs/demo/model.keras")
"""Where the demo leaves its model."""
SHIPPED = "default"
"""The preset that ships with the package."""

Complete = Callable[[np.ndarray, str | None], np.ndarray]
"""A model as a function of one scan: points `(N, 3)` and a normalization to completed points `(M, 3)`."""


@dataclass(frozen=True)
class Predictor:
    """A network as one thing: batches in its own frame to clouds, and single scans in their own frames.

    Attributes:
        name: What tables call it.
        num_points: Points N that scans are resampled to.
        forward: Scans `(B, N, 3)` in float32 to clouds `(B, M, 3)`, or to several stages, the last of which counts.
        scan: Completes one scan by another way than `models.inference`; None where there is no other.
        keep_partial: Whether `predict_each` puts the measured points before the network's.
        frame: The frame that the network says it was trained in, as data sets name theirs; None where it says none.
        source: What it was opened from: a path, or the model itself.
    """

    name: str
    num_points: int
    forward: Callable[[np.ndarray], Any]
    scan: Complete | None = None
    keep_partial: bool = False
    frame: str | None = None
    source: Any = None

    def predict(self, scans: np.ndarray) -> np.ndarray:
        """The completions `(B, M, 3)` of scans `(B, num_points, 3)`, both in the network's frame.

        Raises:
            ValueError: where the answer is of another shape.
        """
        answer = _last(self.forward(scans))
        if answer.ndim != 3 or answer.shape[0] != len(scans) or answer.shape[2] != 3 or not answer.shape[1]:
            raise ValueError(
                f"model must answer scans {scans.shape} with clouds ({len(scans)}, M, 3), got shape {answer.shape}"
            )
        return answer

    def predict_each(self, scans: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The completions of scans `(N, 3)` of any N in the network's frame, resampled by `frames.resample`."""
        batch = np.stack([resample(np.asarray(scan, np.float32), self.num_points) for scan in scans])
        answer = self.predict(batch)
        if not self.keep_partial:
            return list(answer)
        return [np.concatenate([scan, points]) for scan, points in zip(scans, answer, strict=True)]

    def complete(self, points: np.ndarray, normalize: str | None = "partial") -> np.ndarray:
        """The completion `(M, 3)` of one scan in its own frame and units, as of `CompletionModel.complete`."""
        if self.scan is not None:
            return self.scan(points, normalize)
        from keras_wcd.models import inference

        return inference.complete(self.predict, points, self.num_points, normalize)


def as_predictor(model: Any = None, batch_size: int = 1, keep_partial: bool = False) -> Predictor:
    """Anything that completes clouds as a `Predictor`.

    Args:
        model: A `Predictor`, which stays as it is; a `.keras` file, a preset's name or folder, a `.tflite` file or a
            SavedModel folder; a `keras.Model` or a function from scans `(B, N, 3)` to clouds `(B, M, 3)` or to a tuple
            of them, the last of which counts; None takes the preset that ships, else what the demo trained.
        batch_size: Scans that a Keras model completes at once.
        keep_partial: Of the predictor.

    Raises:
        FileNotFoundError: where there is no such file or preset.
        ValueError: for a file that cannot be read, or anything else.
    """
    if isinstance(model, Predictor):
        return model
    if model is None or isinstance(model, str | os.PathLike):
        path = find_model(model)
        if path.suffix.lower() == ".tflite":
            opened = _of_tflite(path)
        elif _is_saved_model(path):
            opened = _of_saved_model(path)
        else:
            opened = _of_network(load_model(path), batch_size)
        return replace(opened, keep_partial=keep_partial, source=path)
    import keras

    if isinstance(model, keras.Model):
        return replace(_of_network(model, batch_size), keep_partial=keep_partial, source=model)
    if not callable(model):
        raise ValueError(f"model must be a keras.Model, a function or the path of a model, got {type(model).__name__}")
    name = getattr(model, "__name__", type(model).__name__)
    return Predictor(name, PROTOCOL_POINTS, model, keep_partial=keep_partial, source=model)


def open_model(model: Any = None) -> Complete:
    """A model as a function of one scan, loaded once.

    Args:
        model: As of `as_predictor`; a function is one of points `(N, 3)` and a normalization, and comes back as it is.
    """
    if hasattr(model, "complete"):
        return model.complete
    if callable(model) and not hasattr(model, "predict_on_batch"):
        return cast("Complete", model)  # Of what a function takes and returns nobody knows more.
    return as_predictor(model).complete


def find_model(model: str | os.PathLike | None = None) -> Path:
    """The path of a model; by default the preset that ships, or what the demo trained where none ships.

    Raises:
        FileNotFoundError: where there is none.
    """
    path = DEMO_MODEL if model is None else Path(model)
    if model is None or not path.suffix:
        # A file needs no networks: a .tflite opens without a framework.
        from keras_wcd.models import presets

        name = SHIPPED if model is None else str(model)
        if name in presets.PRESETS:
            return presets.locate(name)
        if not path.exists() and model is not None and len(path.parts) == 1:
            raise FileNotFoundError(f"{path}: there is no model of this name; {suggestion(name, presets.PRESETS)}")
    if not path.exists():
        hint = "name one with --model, or run keras-wcd demo here first" if model is None else "check the path"
        raise FileNotFoundError(f"{path}: there is no model; {hint}")
    return path


def model_digest(model: Any = None) -> str:
    """A short name for what `open_model` takes, another one for another model: of its files, weights or function."""
    if isinstance(model, Predictor) or isinstance(getattr(model, "__self__", None), Predictor):
        model = getattr(model, "__self__", model).source
    if model is None or isinstance(model, str | os.PathLike):
        path = find_model(model)
        files = sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]
        return digest(found.read_bytes() for found in files)
    network = getattr(model, "__self__", model)
    if hasattr(network, "get_weights"):
        weights = (np.ascontiguousarray(weight).tobytes() for weight in network.get_weights())
        return digest([type(network).__name__.encode(), *weights])
    return f"{getattr(model, '__module__', '')}.{getattr(model, '__qualname__', type(model).__qualname__)}"


def load_model(path: str | os.PathLike):
    """The network of a `.keras` file or of a preset folder.

    Raises:
        ValueError: naming the path, where it is damaged or of another kind, or its input is no cloud.
    """
    path = Path(path)
    if path.is_dir():
        from keras_wcd.models import CompletionModel

        if not (path / "config.json").is_file():
            kind = "a SavedModel, which Keras cannot load" if _is_saved_model(path) else "a folder, and no preset"
            raise ValueError(f"{path}: is {kind}; give a .keras file or a preset")
        return CompletionModel.from_preset(path)
    model = _read_keras(path)
    shape = getattr(model, "input_shape", None)
    if not (isinstance(shape, tuple) and len(shape) == 3 and shape[2] in (3, None)):
        raise ValueError(f"{path}: holds a {type(model).__name__} for inputs {shape}; a network here takes (B, N, 3)")
    return model


def _read_keras(path: Path):
    import keras

    import keras_wcd.models  # noqa: F401 - registers the networks

    # Keras calls a file that is no archive "not found".
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not a model that Keras can read; it is damaged, or no .keras file")
    try:
        # Keras puts the weights into the archive as they are.
        check_heaps(path)
        return keras.saving.load_model(path, compile=False)
    except Exception as error:
        # What lies in a damaged archive may fail anywhere in Keras, h5py, json or zlib.
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path}: not a model that Keras can read, or damaged: {line[:200]}") from error


def _is_saved_model(path: Path) -> bool:
    return (path / "saved_model.pb").is_file()


def _of_tflite(path: Path) -> Predictor:
    from keras_wcd.export import runtime

    completer = runtime.Completer(path)
    network = completer.model

    def forward(scans: np.ndarray) -> np.ndarray:
        return np.stack([network(scan) for scan in scans])

    def scan(points: np.ndarray, normalize: str | None) -> np.ndarray:
        return completer(points, normalize=normalize)

    try:
        # Files of earlier versions record the box's diagonal alone.
        frame = completer.metadata["frame"].get("trained_in", "box")
    except ValueError:
        frame = None  # A file of another converter says nothing about itself.
    return Predictor(path.stem, network.points_in, forward, scan, frame=frame)


def _of_saved_model(path: Path) -> Predictor:
    from keras_wcd.export.savedmodel import open_saved_model

    forward, num_points = open_saved_model(path)
    return Predictor(path.name, num_points, forward)


def _of_network(model: Any, batch_size: int) -> Predictor:
    frame = getattr(model, "frame", None)
    forward = _in_full_batches(model, batch_size)
    return Predictor(model.name, _points_in(model), forward, frame=frame if isinstance(frame, str) else None)


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
