"""A network measured on a split of a data set."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from keras_wcd import parallel
from keras_wcd.data.contract import PairDataset
from keras_wcd.evaluation import measure, tables
from keras_wcd.evaluation.baselines import BASELINES
from keras_wcd.evaluation.framing import AUTO, Framing
from keras_wcd.evaluation.output import check_free, write
from keras_wcd.evaluation.results import Evaluation
from keras_wcd.metrics import FIGURES
from keras_wcd.names import suggestion
from keras_wcd.predictors import as_predictor

DEFAULT_METRICS = ("cd_l1", "cd_l2", "f_score")


def evaluate(
    model: Any,
    dataset: PairDataset,
    split: str = "test",
    *,
    batch_size: int = 16,
    metrics: Sequence[str] = DEFAULT_METRICS,
    frame: str = AUTO,
    keep_partial: bool = False,
    baselines: bool = False,
    reference_cars: Sequence[np.ndarray] | None = None,
    output: str | os.PathLike | None = None,
    overwrite: bool = False,
    cluster: str | None = None,
    progress: bool = True,
) -> Evaluation:
    """Complete every scan of a split and measure the completions in float64, in the data set's frame.

    Scans are resampled to 2048 points (or what the network asks for); the ground truth is taken as it is. Test scans
    that are cut at a difficulty (ShapeNet-55) are measured at all three. Scans without ground truth (KITTI) are
    measured by fidelity, consistency and, with `reference_cars`, by MMD.

    Args:
        model: A `keras.Model` from scans `(B, N, 3)` to clouds `(B, M, 3)` or to a tuple of them, the last of which
            counts; a function of that kind; or the path of a `.keras` file, a preset, a `.tflite` file or a SavedModel.
        dataset: A data set of `keras_wcd.data`, or another `PairDataset`.
        split: Name of the split.
        batch_size: Scans that the network completes at once.
        metrics: Names of `keras_wcd.metrics.FIGURES`; the first ranks the worst cases.
        frame: Where the network sees a scan: "auto" in the frame that it says it was trained in (the data set's,
            where it says none), "dataset" in the data set's, "box" with the shape's bounding box centered and of
            diagonal 1, "sphere" with the shape's mean at the origin and its farthest point at distance 1. Its
            answers are moved back.
        keep_partial: Put the measured points before the network's.
        baselines: Measure what needs no training, too: the scan itself, and the scan with its mirror image.
        reference_cars: Complete cars `(K, 3)`, those of PCN in the published protocol.
        output: Folder for `samples.csv`, `table.csv`, `evaluation.json`, `worst.png` and `median.png`, written at
            the end or not at all; None writes nothing.
        overwrite: Whether an evaluation of something else that lies in `output` may be replaced.
        cluster: Address of a Dask scheduler whose workers measure the completions, as in `keras_wcd.parallel.run`;
            the network stays here.
        progress: Whether to draw a bar.

    Raises:
        ValueError: for an empty or unknown split, an unknown metric or frame, an `output` that is a file or holds
            another evaluation, or a model whose answer is of another shape.
    """
    _check(dataset, metrics, batch_size)
    predictor = as_predictor(model, batch_size, keep_partial)
    places = measure.places(dataset, split)
    if not places:
        raise ValueError(
            f"split {split!r} of {dataset.title} is empty; there is nothing to measure: {dataset.remedy(split)}"
        )
    sweeps = places[0].dataset.load(split, places[0].number).complete is None
    network = measure.Network(predictor, Framing(frame, predictor.frame, dataset, known=not sweeps))
    settings = _settings(model, network, reference_cars if sweeps else None)
    if output is not None:
        question = {"model": predictor.name, "dataset": dataset.title, "split": split, **settings}
        question |= {} if sweeps else {"metrics": list(metrics)}
        check_free(Path(output), None if overwrite else question)
    with (
        parallel.on_cluster(cluster),
        tqdm(total=len(places), desc=f"evaluate {predictor.name}", unit="scan", disable=not progress) as bar,
    ):
        batches = measure.completions(network, places, split, batch_size, bar.update)
        if sweeps:
            measured = measure.sweep_scores(batches, reference_cars)
        else:
            measured = measure.pair_scores(batches, metrics, baselines)
    evaluation = _evaluation(predictor.name, dataset, split, measured, settings)
    if output is not None:
        write(evaluation, Path(output), _redo(network, places, split, batch_size))
    return evaluation


def _check(dataset: PairDataset, metrics: Sequence[str], batch_size: int) -> None:
    if not isinstance(dataset, PairDataset):
        raise ValueError(
            f"dataset must be a data set of keras_wcd.data (a keras_wcd.data.PairDataset), got {type(dataset).__name__}"
        )
    unknown = sorted(set(metrics) - set(FIGURES))
    if unknown or not metrics:
        near = f"; {suggestion(unknown[0], FIGURES)}" if unknown else ""
        raise ValueError(f"metrics must be names of {sorted(FIGURES)}, got {list(metrics)}{near}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def _settings(model: Any, network: measure.Network, cars: Sequence[np.ndarray] | None) -> dict[str, Any]:
    """What the scores depend on, besides the model, the data set and the split."""
    settings = {
        "points_in": network.predictor.num_points,
        "keep_partial": network.predictor.keep_partial,
        "frame": network.framing.name,
    }
    if isinstance(model, str | os.PathLike):
        settings["path"] = os.fspath(model)
    if cars is not None:
        settings["reference_cars"] = len(cars)
    return settings


def _evaluation(
    model: str, dataset: PairDataset, split: str, measured: dict[str, list], settings: dict[str, Any]
) -> Evaluation:
    """The scores of the network and, beside it, of the baselines."""
    found = {sample.category for sample in measured[""]}
    categories = tables.ordered([name for name in dataset.categories if name in found])
    categories += tuple(sorted(found - set(categories)))
    shared = (dataset.title, split, categories)
    others = tuple(Evaluation(kind, *shared, tuple(measured[kind])) for kind in BASELINES if kind in measured)
    return Evaluation(model, *shared, tuple(measured[""]), settings, others)


def _redo(network: measure.Network, places: list[measure.Place], split: str, batch_size: int):
    """Completes chosen samples once more: not all of their clouds would fit in memory."""

    def redo(rows: Sequence[int]) -> list[measure.Completed]:
        batches = measure.completions(network, [places[row] for row in rows], split, batch_size)
        return [done for batch in batches for done in batch]

    return redo
