"""What a run keeps for people to look at: callbacks while it runs, the final tables and the report in the end."""

import importlib.util
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

import keras

from keras_wcd.data.contract import PairDataset
from keras_wcd.evaluation import evaluate
from keras_wcd.training.beside import Interrupted
from keras_wcd.training.diverged import DivergedError
from keras_wcd.training.drawn_scans import DrawScans, chosen_scans
from keras_wcd.training.epoch_table import RecordEpochs
from keras_wcd.training.events import WriteEvents
from keras_wcd.training.loop import Position
from keras_wcd.training.recipes import Recipe
from keras_wcd.training.run_folder import BEST, EPOCHS, EVALUATION, PICTURES
from keras_wcd.training.run_report import write_report
from keras_wcd.training.runs import DIVERGED, FINISHED, INTERRUPTED


def recorders(
    folder: pathlib.Path, recipe: Recipe, network: keras.Model, dataset: PairDataset, position: Position
) -> list[keras.callbacks.Callback]:
    """Callbacks that keep `epochs.csv`, pictures and events in a run's folder.

    They are called before the checkpoint of a pass is written: what stands in it they have written, and the rest they
    write anew where the run goes on.
    """
    stages = [stage.name for stage in recipe.stages]
    found: list[keras.callbacks.Callback] = [
        RecordEpochs(folder / EPOCHS, network, stages, position),
        DrawScans(folder / PICTURES, network, chosen_scans(dataset, network.num_input), position),
    ]
    # Keras on JAX runs without TensorFlow, whose records events are.
    if importlib.util.find_spec("tensorflow") is not None:
        found.append(WriteEvents(folder, position))
    return found


@contextmanager
def reported(folder: pathlib.Path, dataset: PairDataset, recipe: Recipe, progress: bool) -> Iterator[None]:
    """Measure the best network and write the report when the run in the block is over.

    Where it is interrupted, or a step is not finite, the report alone is written: the run goes on, or is replayed.
    """
    try:
        yield
    except (Interrupted, DivergedError) as stopped:
        write_report(folder, state=INTERRUPTED if isinstance(stopped, Interrupted) else DIVERGED)
        raise
    measure_best(folder, dataset, recipe.batch_size, progress)
    write_report(folder, state=FINISHED)


def measure_best(folder: pathlib.Path, dataset: PairDataset, batch_size: int, progress: bool) -> None:
    """Evaluate the best network of a run, and the baselines, into `evaluation/val` and the split that is published.

    One trains without the test split, too: where its first pair cannot be read it is left out.
    """
    best = folder / BEST
    if not best.is_file():
        return
    for split in dict.fromkeys(("val", dataset.evaluation_split)):
        output = folder / EVALUATION / split
        done = output / "evaluation.json"
        # A run that is over is gone on with in vain.
        fresh = done.is_file() and done.stat().st_mtime >= best.stat().st_mtime
        if not fresh and _is_there(dataset, split):
            evaluate(
                best,
                dataset,
                split,
                batch_size=batch_size,
                baselines=True,
                output=output,
                overwrite=True,
                progress=progress,
            )


def _is_there(dataset: PairDataset, split: str) -> bool:
    if split not in dataset.splits:
        return False
    try:
        return dataset.size(split) > 0 and dataset.load(split, 0) is not None
    except (ValueError, OSError):
        if split == "val":
            raise
        return False
