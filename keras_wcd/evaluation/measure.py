"""The samples of a data set completed in batches, and the scores of every one."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_wcd import parallel
from keras_wcd.data.contract import PairDataset, Sample
from keras_wcd.data.datasets.view_cuts import DIFFICULTIES
from keras_wcd.evaluation.baselines import BASELINES
from keras_wcd.evaluation.framing import Framing
from keras_wcd.evaluation.results import Measured
from keras_wcd.metrics import consistency, fidelity, figures, mmd
from keras_wcd.ops import host
from keras_wcd.predictors import Predictor


class Place(NamedTuple):
    """Where a sample comes from: a data set, its number there, and the group that it is counted in."""

    dataset: PairDataset
    number: int
    group: str


class Completed(NamedTuple):
    """A sample and its completion."""

    place: Place
    sample: Sample
    points: np.ndarray


def places(dataset: PairDataset, split: str) -> list[Place]:
    """Every sample of a split in the order in which it is measured.

    Test splits that are cut at a difficulty come at all of them; the sweeps of a car follow each other.
    """
    cars = [(name, index) for name, indices in dataset.tracklets().items() for index in indices]
    if cars:
        tracked = {index for _, index in cars}
        others = [("", index) for index in range(dataset.size(split)) if index not in tracked]
        return [Place(dataset, index, name) for name, index in [*cars, *others]]
    levels = {name: dataset.at(name) for name in DIFFICULTIES} if split == "test" else {}
    found = [(name, data) for name, data in levels.items() if data is not None] or [("", dataset)]
    return [Place(data, index, name) for name, data in found for index in range(data.size(split))]


class Network(NamedTuple):
    """A network and where it sees the scans."""

    predictor: Predictor
    framing: Framing

    def complete(self, places: Sequence[Place], split: str) -> list[Completed]:
        """The completions of a batch of places, in the data set's frame."""
        samples = [place.dataset.load(split, place.number) for place in places]
        frames = [self.framing.frame(sample) for sample in samples]
        pairs = zip([sample.partial for sample in samples], frames, strict=True)
        clouds = self.predictor.predict_each([scan if frame is None else frame.apply(scan) for scan, frame in pairs])
        clouds = [c if frame is None else frame.invert(c) for c, frame in zip(clouds, frames, strict=True)]
        return [Completed(*row) for row in zip(places, samples, clouds, strict=True)]


def completions(
    network: Network, found: Sequence[Place], split: str, batch_size: int, advance: Callable[[int], Any] = int
) -> Iterator[list[Completed]]:
    """The completions of all places, a batch at a time; `advance` hears how many are done."""
    for start in range(0, len(found), batch_size):
        batch = found[start : start + batch_size]
        yield network.complete(batch, split)
        advance(len(batch))


def pair_scores(
    batches: Iterator[list[Completed]], metrics: Sequence[str], baselines: bool
) -> dict[str, list[Measured]]:
    """Scores against the ground truth, of the network under the name "" and of every baseline."""
    methods = {"": None, **(BASELINES if baselines else {})}
    measured = {name: [] for name in methods}
    for batch in batches:
        for name, complete in methods.items():
            clouds = [
                done.points if complete is None else complete(done.sample.partial, len(done.points)) for done in batch
            ]
            truths = [done.sample.complete for done in batch if done.sample.complete is not None]
            for done, values in zip(batch, _measure(truths, clouds, metrics), strict=True):
                measured[name].append(Measured(done.sample.name, done.sample.category, done.place.group, values))
    return measured


def _measure(truths: list[np.ndarray], clouds: list[np.ndarray], metrics: Sequence[str]) -> list[dict[str, float]]:
    """The scores of a batch, on all cores or a cluster; the earth mover's distance spreads over cores by itself."""
    if parallel.clustered():
        tasks = [{"true": t, "pred": c, "metrics": tuple(metrics)} for t, c in zip(truths, clouds, strict=True)]
        return parallel.results(figures, tasks)
    quick = tuple(name for name in metrics if name != "emd")
    found = host.parallel(figures, [(*pair, quick) for pair in zip(truths, clouds, strict=True)])
    if len(quick) < len(metrics):
        slow = [figures(*pair, ("emd",)) for pair in zip(truths, clouds, strict=True)]
        found = [{**one, **other} for one, other in zip(found, slow, strict=True)]
    return [{name: values[name] for name in metrics} for values in found]


def sweep_scores(
    batches: Iterator[list[Completed]], reference_cars: Sequence[np.ndarray] | None
) -> dict[str, list[Measured]]:
    """Fidelity of every scan, its distance to the most similar car, its consistency with the sweep before."""
    measured, before = [], None
    for done in (done for batch in batches for done in batch):
        values = {"fidelity": fidelity(done.sample.partial, done.points)}
        if reference_cars is not None:
            values["mmd"] = mmd(done.points, reference_cars)
        if before is not None and _follows(done.place, before.place):
            values["consistency"] = consistency([before.points, done.points])
        measured.append(Measured(done.sample.name, done.sample.category, done.place.group, values))
        before = done
    return {"": measured}


def _follows(place: Place, before: Place) -> bool:
    """Whether a scan shows the car of the scan before, one sweep later."""
    if not place.group or place.group != before.group:
        return False
    sweep, earlier = place.dataset.sweep(place.number), before.dataset.sweep(before.number)
    return sweep is None or earlier is None or sweep == earlier + 1
