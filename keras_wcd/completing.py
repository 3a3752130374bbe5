"""From a scan on disk to its completion on disk, with any trained model."""

import pathlib

import numpy as np

DEMO_MODEL = pathlib.Path("runs/demo/model.keras")
"""Where the demo leaves its model."""


def complete_file(
    model: str | pathlib.Path | None,
    scan: str | pathlib.Path,
    output: str | pathlib.Path,
    *,
    normalize: str | None = "partial",
    keep_partial: bool = False,
) -> np.ndarray:
    """Read a scan, complete it in its own frame and units, and write the result.

    Args:
        model: A `.keras` file, a preset folder or a `.tflite` file; None takes what the demo trained.
        scan: A file that `read_points` knows.
        output: A file that `write_points` knows.
        normalize: As in `CompletionModel.complete`.
        keep_partial: Put the measured points before the completed ones.

    Returns:
        The written points `(M, 3)`.
    """
    from keras_wcd.data import read_points, write_points

    points = read_points(scan)
    path = find_model(model)
    if path.suffix == ".tflite":
        from keras_wcd.export import runtime

        completed = runtime.complete(path, points, normalize=normalize)
        if keep_partial:
            completed = np.concatenate([points, completed])
    else:
        completed = load_model(path).complete(points, normalize, keep_partial=keep_partial)
    write_points(output, completed)
    return completed


def find_model(model: str | pathlib.Path | None) -> pathlib.Path:
    """The path of a model, that of the demo's by default."""
    path = pathlib.Path(model or DEMO_MODEL)
    if not path.exists():
        hint = "name one with --model, or run keras-wcd demo here first" if model is None else "check the path"
        raise FileNotFoundError(f"{path}: there is no model; {hint}")
    return path


def load_model(path: pathlib.Path):
    """The network of a `.keras` file or of a preset folder."""
    from keras_wcd.models import CompletionModel

    if path.is_dir():
        return CompletionModel.from_preset(path)
    import keras

    try:
        model = keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, TypeError) as error:
        raise ValueError(f"{path}: not a model that Keras can read: {str(error).splitlines()[0]}") from error
    if not isinstance(model, CompletionModel):
        raise ValueError(f"{path}: holds a {type(model).__name__}, not a completion network")
    return model
