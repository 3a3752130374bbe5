"""Runs found in folders: what each was, how far it came, how well it did; several of them side by side."""

import csv
import math
import os
import pathlib
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_wcd.files import json_of, read_json, replacing
from keras_wcd.training import run_folder
from keras_wcd.training.run_files import read_table
from keras_wcd.training.words import in_words
from keras_wcd.visual.curves import panels
from keras_wcd.visual.pictures import figure_png
from keras_wcd.visual.plots import save
from keras_wcd.visual.report import Report
from keras_wcd.visual.tables import aligned, number

RUNNING, FINISHED, INTERRUPTED, DIVERGED, DAMAGED = "running", "finished", "interrupted", "diverged", "damaged"
PLAIN = "no recipe"
"""What stands in the place of a recipe for a run of `fit`."""
LONGEST = 80
"""Characters of a recipe's changes in a table of text."""
FIGURE = "val_cd_l1"
"""The figure by which runs are compared."""


@dataclass(frozen=True)
class Run:
    """A training run in a folder.

    Attributes:
        folder: Where it lies.
        state: "running", "finished", "interrupted", "diverged", or "damaged" where a file of it cannot be read.
        history: Figures by pass, rows of `log.csv`.
        config: `config.json`; empty for a run without a recipe.
        network: Key of its network.
        loss: Its loss, with the arguments that are not defaults.
    """

    folder: pathlib.Path
    state: str
    history: list[dict[str, Any]] = field(repr=False)
    config: dict[str, Any] = field(repr=False)
    network: str = ""
    loss: str = ""

    @property
    def data(self) -> str:
        """The data set, with the pairs it was trained on."""
        data = self.config.get("data", {})
        return f"{data['title']} ({data.get('train size', '?')})" if "title" in data else ""

    @property
    def recipe(self) -> str:
        """The recipe it followed and what was changed of it."""
        if "recipe" not in self.config:
            return "" if self.state == DAMAGED else PLAIN
        return in_words(self.config.get("changed", {}))

    @property
    def epochs(self) -> int | None:
        """Passes that it was to make; None where nothing says so."""
        recipe, data = self.config.get("recipe", {}), self.config.get("data", {})
        if recipe.get("epochs") or "train size" not in data or "steps" not in recipe:
            return recipe.get("epochs")
        return -(-recipe["steps"] // -(-data["train size"] // recipe["batch_size"]))

    @property
    def progress(self) -> str:
        """Passes made, of how many: `12/20`."""
        return f"{len(self.history)}/{self.epochs}" if self.epochs else str(len(self.history))

    @property
    def best(self) -> float | None:
        """The smallest validation CD-L1 x 1000; None before the first."""
        return min((row[FIGURE] for row in self.history if _finite(row.get(FIGURE))), default=None)

    @property
    def best_epoch(self) -> int | None:
        """The pass, counted from 1, after which it was reached."""
        best = self.best
        return next((i + 1 for i, row in enumerate(self.history) if best is not None and row.get(FIGURE) == best), None)

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """A figure over the passes, counted from 1."""
        rows = [(i + 1, row[name]) for i, row in enumerate(self.history) if row.get(name) is not None]
        return [epoch for epoch, _ in rows], [value for _, value in rows]


def find_runs(*folders: str | os.PathLike) -> list[Run]:
    """Every run in these folders and below them, in the order of their paths.

    A run is a folder with the `config.json` of a recipe, or with a `log.csv` that has the column `loss`.

    Raises:
        ValueError: for a path that is no folder, or a folder without a run.
    """
    found: dict[pathlib.Path, Run] = {}
    for folder in map(pathlib.Path, folders):
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "there is no such folder"
            raise ValueError(f"{folder}: {what}; name the folder of a run, or one that holds some")
        places = list(_places(folder))
        if not places:
            raise ValueError(f"{folder}: no run lies there or below; keras-wcd train -o {folder / 'mine'} makes one")
        found |= {place.resolve(): read_run(place) for place in places if place.resolve() not in found}
    return sorted(found.values(), key=lambda run: run.folder.parts)


def read_run(folder: str | os.PathLike) -> Run:
    """The run in a folder; "damaged" where one of its files cannot be read."""
    folder = pathlib.Path(folder)
    damaged = Run(folder, DAMAGED, [], {})
    try:
        config = run_folder.read_config(folder) if _has_recipe(folder) else {}
        history = read_table(folder / run_folder.LOG)
        network, loss = _of_config(config) if config else _of_network(folder / run_folder.BEST)
        run = Run(folder, _state(folder), history, config, str(network), str(loss))
        # What it says is asked for once here, where a file that holds anything is told of.
        _cells([run])
    except (OSError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError):
        return damaged
    return run


def _state(folder: pathlib.Path) -> str:
    if run_folder.holder(folder) is not None:
        return RUNNING
    if (folder / run_folder.LAST).exists():
        return FINISHED
    return DIVERGED if (folder / run_folder.DIVERGED).exists() else INTERRUPTED


def _of_config(config: dict[str, Any]) -> tuple[str, str]:
    """Network and loss of a run by a recipe."""
    loss = (config.get("loss") or {}).get("config") or {}
    return config["recipe"].get("backbone", ""), config.get("loss title") or loss.get("name", "")


def _of_network(path: pathlib.Path) -> tuple[str, str]:
    """Network and loss that a `.keras` file says it was compiled with; empty where there is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            config = json_of(archive.read("config.json"))
        loss = (config.get("compile_config") or {}).get("loss") or {}
        return str(config["class_name"]).lower(), loss["config"]["name"] if isinstance(loss, dict) else ""
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return "", ""


def _places(folder: pathlib.Path) -> Iterable[pathlib.Path]:
    """Folders of runs; what lies inside one is its own."""
    for place, inside, files in os.walk(folder):
        if _is_run(pathlib.Path(place), files):
            inside.clear()
            yield pathlib.Path(place)
        inside[:] = sorted(name for name in inside if not name.startswith("."))


def _is_run(place: pathlib.Path, files: Sequence[str]) -> bool:
    if run_folder.CONFIG in files:
        try:
            if _has_recipe(place):
                return True
        except ValueError:
            return bool({run_folder.CHECKPOINT, run_folder.LOG, run_folder.BEST, run_folder.LOCK} & set(files))
    if run_folder.LOG not in files:
        return False
    try:
        with open(place / run_folder.LOG, newline="", encoding="utf-8") as file:
            return {"epoch", "loss"} <= set(next(csv.reader(file), ()))
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def _has_recipe(place: pathlib.Path) -> bool:
    """Whether a folder has a run's configuration; presets have a file of that name, too."""
    path = place / run_folder.CONFIG
    if not path.exists():
        return False
    found = read_json(path)
    return isinstance(found, dict) and "recipe" in found


HEADER = ("run", "network", "loss", "data", "epochs", "CD-L1", "at", "state", "recipe")


def runs_table(runs: Sequence[Run]) -> str:
    """Runs as text: `CD-L1` is the smallest on validation, x 1000, `at` the pass after which it was reached.

    Changes of a recipe are cut where they are long; `write_csv` has all of them.
    """
    rows = [
        [*cells, recipe if len(recipe) <= LONGEST else f"{recipe[: LONGEST - 4]} ..."]
        for *cells, recipe in _cells(runs)
    ]
    return aligned(HEADER, rows, left=(0, 1, 2, 3, 7, 8))


def write_csv(runs: Sequence[Run], path: str | os.PathLike) -> None:
    """Write the table with all digits; the file appears whole or not at all."""
    header = [*HEADER[:4], "epochs_done", "epochs", "val_cd_l1", "at", *HEADER[7:]]
    rows = [
        [run.folder.as_posix(), run.network, run.loss, run.data, len(run.history), run.epochs, run.best, run.best_epoch]
        + [run.state, run.recipe]
        for run in runs
    ]
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def plot_runs(runs: Sequence[Run], path: str | os.PathLike) -> tuple[str, ...]:
    """Draw the validation CD-L1 of all runs over their passes, and write it as `keras_wcd.visual.plots.save` does.

    Raises:
        ValueError: where no run has made a pass, or for a suffix that is no picture's.
    """
    return save(_figure(runs), path)


def write_comparison(runs: Sequence[Run], path: str | os.PathLike) -> None:
    """Write table and curves as one HTML file."""
    report = Report(f"{len(runs)} runs")
    report.table(HEADER, _cells(runs))
    report.text("CD-L1 x 1000 on validation: the smallest, and the pass after which it was reached.")
    report.picture(figure_png(_figure(runs)), "Validation CD-L1 x 1000 while training")
    report.write(path)


def _cells(runs: Sequence[Run]) -> list[list[str]]:
    return [
        [
            *(str(run.folder), run.network or "-", run.loss or "-", run.data or "-", run.progress),
            *(number(run.best, 2), str(run.best_epoch or "-"), run.state, run.recipe),
        ]
        for run in runs
    ]


def _figure(runs: Sequence[Run]):
    lines = {str(run.folder): run.curve(FIGURE) for run in runs}
    lines = {label: line for label, line in lines.items() if line[0]}
    if not lines:
        raise ValueError("there is nothing to draw: none of these runs has made a whole pass over its data")
    return panels({"validation CD-L1 x 1000": lines}, "epoch", columns=1)


def _finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)
