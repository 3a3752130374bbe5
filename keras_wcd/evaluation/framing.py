"""The frame in which a network sees a data set's shapes, and the way there and back."""

from collections.abc import Callable

import numpy as np

from keras_wcd.data.contract import BOX, SPHERE, PairDataset, Sample
from keras_wcd.frames import Frame, frame_of
from keras_wcd.names import suggestion


def of_box(truth: np.ndarray) -> Frame:
    """The frame in which the bounding box of a whole shape `(M, 3)` is centered and has diagonal 1."""
    return frame_of(truth, "bbox")


def of_sphere(truth: np.ndarray) -> Frame:
    """The frame in which the mean of a whole shape `(M, 3)` is the origin and its farthest point has distance 1."""
    center = truth.mean(axis=0, dtype=np.float64)
    radius = float(np.sqrt(((truth - center) ** 2).sum(axis=1).max()))
    return Frame(center, radius or 1.0)


FRAMES: dict[str, Callable[[np.ndarray], Frame]] = {BOX: of_box, SPHERE: of_sphere}
"""Frames that a scan can be moved into, from its ground truth."""
AUTO, DATASET = "auto", "dataset"
CHOICES = (AUTO, DATASET, *FRAMES)


class Framing:
    r"""Where a network sees the scans: in the data set's frame, or in the one that it was trained in.

    A scan p is moved by the frame of its ground truth, $q = (p - c) / s$, as the shapes were that the network was
    trained on; the answer is moved back. Scans without ground truth stay: KITTI's cars are given to networks of PCN's
    frame as they are, in the published test.

    Args:
        choice: One of `CHOICES`. "auto" is the frame that the network records, or the data set's where it records
            none; "dataset" is the data set's always.
        recorded: The frame that the network records, if any.
        dataset: The data set.
        known: Whether its scans have a ground truth.

    Attributes:
        name: The frame that the network sees.

    Raises:
        ValueError: for another choice, a frame that is asked for where there is no ground truth, or a network of a
            frame that scans cannot be moved into.
    """

    def __init__(self, choice: str, recorded: str | None, dataset: PairDataset, known: bool):
        if choice not in CHOICES:
            raise ValueError(f"frame must be one of {CHOICES}, got {choice!r}; {suggestion(choice, CHOICES)}")
        if choice in FRAMES and not known:
            raise ValueError(
                f"frame={choice!r} is taken from the ground truth, which {dataset.title} lacks; leave it out"
            )
        wanted = None if not known else recorded if choice == AUTO else choice
        self.name = dataset.frame if wanted in (None, DATASET) else wanted
        self._frame_of = None if self.name == dataset.frame else FRAMES.get(self.name)
        if self.name != dataset.frame and self._frame_of is None:
            raise ValueError(
                f"the network was trained in the frame {self.name!r} and {dataset.title} is in {dataset.frame!r}; "
                'frame="dataset" measures it there'
            )

    def frame(self, sample: Sample) -> Frame | None:
        """How a sample is moved before the network sees it; None for not at all."""
        if self._frame_of is None or sample.complete is None:
            return None
        return self._frame_of(sample.complete)
