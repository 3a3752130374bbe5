"""A network measured on a split of a data set."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from keras_wcd.data.contract import PairDataset
from keras_wcd.evaluation import measure, tables
from keras_wcd.evaluation.baselines import BASELINES
from keras_wcd.evaluation.results import Evaluation
from keras_wcd.metrics import FIGURES
from keras_wcd.predictors import Answering, answering

DEFAULT_METRICS = ("cd_l1", "cd_l2", "f_score")


def evaluate(
    model: Any,
    dataset: PairDataset,
    split: str = "test",
    *,
    batch_size: int = 16,
    metrics: Sequence[str] = DEFAULT_METRICS,
    keep_partial: bool = False,
    baselines: bool = False,
    reference_cars: Sequence[np.ndarray] | None = None,
    output: str | os.PathLike | None = None,
    progress: bool = True,
) -> Evaluation:
    """Complete every scan of a split and measure the completions in float64.

    Scans are resampled to 2048 points (or what the network asks for) and stay in the data set's frame; the ground
    truth is taken as it is. Test scans that are cut at a difficulty (ShapeNet-55) are measured at all three. Scans
    without ground truth (KITTI) are measured by fidelity, consistency and, with `reference_cars`, by MMD.

    Args:
        model: A `keras.Model` from scans `(B, N, 3)` to clouds `(B, M, 3)` or to a tuple of them, the last of which
            counts; a function of that kind; or the path of a `.tflite` file.
        dataset: A data set of `keras_wcd.data`, or anything with its `categories`, `size` and `load`.
        split: Name of the split.
        batch_size: Scans that the network completes at once.
        metrics: Names of `keras_wcd.metrics.FIGURES`; the first ranks the worst cases.
        keep_partial: Put the measured points before the network's.
        baselines: Measure what needs no training, too: the scan itself, and the scan with its mirror image.
        reference_cars: Complete cars `(K, 3)`, those of PCN in the published protocol.
        output: Folder for `samples.csv`, `table.csv`, `evaluation.json`, `worst.png` and `median.png`, written at
            the end or not at all; None writes nothing.
        progress: Whether to draw a bar.

    Raises:
        ValueError: for an empty split, an unknown metric, an `output` that is a file, or a model whose answer is of
            another shape.
    """
    _check(metrics, batch_size, output)
    answer = answering(model, batch_size, keep_partial)
    places = measure.places(dataset, split)
    if not places:
        raise ValueError(f"split {split!r} of {type(dataset).__name__} is empty; there is nothing to measure")
    sweeps = places[0].dataset.load(split, places[0].index).complete is None
    with tqdm(total=len(places), desc=f"evaluate {answer.name}", unit="scan", disable=not progress) as bar:
        batches = measure.completions(places, split, answer, batch_size, bar.update)
        if sweeps:
            measured = measure.sweep_figures(batches, reference_cars)
        else:
            measured = measure.pair_figures(batches, metrics, baselines)
    evaluation = _evaluation(answer, dataset, split, measured)
    if output is not None:
        output.write(evaluation, Path(output), _redo(places, split, answer, batch_size))
    return evaluation


def _check(metrics: Sequence[str], batch_size: int, output: str | os.PathLike | None) -> None:
    unknown = sorted(set(metrics) - set(FIGURES))
    if unknown or not metrics:
        raise ValueError(f"metrics must be names of {sorted(FIGURES)}, got {list(metrics)}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if output is not None and Path(output).exists() and not Path(output).is_dir():
        raise ValueError(f"output {str(output)!r} is a file; name a folder")


def _evaluation(answer: Answering, dataset: PairDataset, split: str, measured: dict[str, list]) -> Evaluation:
    """The figures of the network and, beside it, of the baselines."""
    found = {sample.category for sample in measured[""]}
    categories = tables.ordered([name for name in dataset.categories if name in found])
    categories += tuple(sorted(found - set(categories)))
    settings = {"points_in": answer.num_points, "keep_partial": answer.keep_partial}
    name = " ".join(filter(None, (type(dataset).__name__, getattr(dataset, "subset", ""))))
    shared = (name, split, categories)
    others = tuple(Evaluation(kind, *shared, tuple(measured[kind])) for kind in BASELINES if kind in measured)
    return Evaluation(answer.name, *shared, tuple(measured[""]), settings, others)


def _redo(places: list, split: str, answer: Answering, batch_size: int):
    """Completes chosen samples once more: not all of their clouds would fit in memory."""

    def redo(rows: Sequence[int]) -> list[measure.Completed]:
        chosen = [places[row] for row in rows]
        batches = measure.completions(chosen, split, answer, batch_size, lambda count: None)
        return [done for batch in batches for done in batch]

    return redo
