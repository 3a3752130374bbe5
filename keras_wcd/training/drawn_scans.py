"""Pictures of a few scans of the validation split, always the same, as the network completes them over time."""

import pathlib
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_wcd.data.contract import PairDataset
from keras_wcd.files import replacing
from keras_wcd.frames import resample
from keras_wcd.training.loop import Position
from keras_wcd.training.run_files import cloud_key, picture_name, read_clouds
from keras_wcd.training.run_folder import CLOUDS
from keras_wcd.visual.pictures import clouds_png

SHOWN = 4
"""Scans that are drawn."""
KEPT = 2048
"""Points of a cloud that are kept for the report."""


class Scans(NamedTuple):
    """What is completed: scans `(K, N, 3)` as the network takes them, the truth of each `(M, 3)`, their categories."""

    partial: np.ndarray
    truths: list[np.ndarray]
    labels: list[str]


def chosen_scans(dataset: PairDataset, num_input: int) -> Scans:
    """Scans from all over the split "val"."""
    size = dataset.size("val")
    places = sorted({int(place) for place in np.linspace(0, size - 1, min(size, SHOWN))})
    samples = [dataset.load("val", place) for place in places]
    partial = np.stack([resample(sample.partial, num_input) for sample in samples]).astype("float32")
    truths = [sample.partial if sample.complete is None else sample.complete for sample in samples]
    return Scans(partial, truths, [sample.category for sample in samples])


def is_drawn(number: int, last: int) -> bool:
    """Whether pictures are drawn after this many passes: after 1, 2, 4, 8, ..., and after the last."""
    return number & (number - 1) == 0 or number == last


class DrawScans(keras.callbacks.Callback):
    """Writes `epoch_0001.png`, ... with scan, completion and truth, and the clouds of all in one file.

    The network is asked with the weights that are validated: their average, where a recipe keeps one.

    Args:
        folder: The folder of the pictures.
        network: The network itself.
        scans: What to complete.
        position: Where the run is; where it goes on, pictures of later passes are made anew.
    """

    def __init__(self, folder: pathlib.Path, network: keras.Model, scans: Scans, position: Position):
        super().__init__()
        self.folder, self.network, self.scans, self.position = folder, network, scans, position
        self._clouds, self._completed = {}, None

    def on_train_begin(self, logs: Any = None):
        self.folder.mkdir(exist_ok=True)
        kept = read_clouds(self.folder / CLOUDS)
        over = {cloud_key(number) for number in range(1, self.position.epoch + 1)}
        self._clouds = {key: array for key, array in kept.items() if key in over}
        for key in set(kept) - over:
            (self.folder / f"{key}.png").unlink(missing_ok=True)

    def on_test_end(self, logs: Any = None):
        if is_drawn(self.position.epoch + 1, self.params["epochs"]):
            # Compiling a graph would take longer than a few calls without one.
            stages = self.network(keras.ops.convert_to_tensor(self.scans.partial), training=False)
            self._completed = np.asarray(keras.ops.convert_to_numpy(stages[-1]), np.float32)

    def on_epoch_end(self, epoch, logs: Any = None):
        if self._completed is None or not np.isfinite(self._completed).all():
            return
        title = f"epoch {epoch + 1}"
        rows = [
            {"scan": scan, title: completed, "truth": truth}
            for scan, completed, truth in zip(self.scans.partial, self._completed, self.scans.truths, strict=True)
        ]
        self._clouds[cloud_key(epoch + 1)], self._completed = _thinned(self._completed), None
        clouds: dict[str, Any] = {
            **self._clouds,
            "scan": _thinned(self.scans.partial),
            "truth": _thinned(self.scans.truths),
            "labels": np.array(self.scans.labels),
        }
        with replacing(self.folder / picture_name(epoch + 1)) as temporary:
            temporary.write_bytes(clouds_png(rows, labels=self.scans.labels))
        with replacing(self.folder / CLOUDS) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **clouds)


def _thinned(clouds: Any) -> np.ndarray:
    """Clouds `(K, n, 3)` of the same number of points, few enough to be kept, as dense here and there as they were."""
    count = min(KEPT, max(map(len, clouds)))
    return np.stack([np.asarray(cloud)[np.arange(count) * len(cloud) // count] for cloud in clouds]).astype(np.float32)
