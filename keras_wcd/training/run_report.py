"""The report of a run: one HTML page of what its folder holds, whether it is over or not."""

import csv
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_wcd.evaluation.tables import DIGITS, TITLES
from keras_wcd.files import writable
from keras_wcd.training.run_files import read_clouds, read_table
from keras_wcd.training.run_folder import CLOUDS, EPOCHS, EVALUATION, PICTURES, REPORT
from keras_wcd.training.runs import Run, read_run
from keras_wcd.training.words import flat, short
from keras_wcd.visual.curves import panels
from keras_wcd.visual.pictures import clouds_png, figure_png
from keras_wcd.visual.report import Report

COLUMNS = 7
"""Completions over time that stand side by side: the first, the last, and some between."""


def write_report(folder: str | os.PathLike, *, state: str | None = None) -> pathlib.Path:
    """Write `report.html` into a run's folder, from what lies there.

    Args:
        folder: The folder of a run.
        state: What the page says that the run is; found by itself, as `keras-wcd runs` does, where it is None.

    Returns:
        The page's path.

    Raises:
        ValueError: for a folder in which no run has left its configuration, or whose files are damaged.
        PermissionError: where the folder cannot be written to.
    """
    folder = pathlib.Path(folder)
    run = read_run(folder)
    if "recipe" not in run.config:
        raise ValueError(f"{folder}: no run with a recipe lies there, or its config.json or log.csv is damaged")
    writable(folder / REPORT)
    rows = read_table(folder / EPOCHS)
    title = f"{run.network}, {run.loss}, {run.config.get('data', {}).get('title', '')}"
    report = Report(title.strip(", "))
    report.facts(_summary(run, rows, state or run.state))
    _curves(report, run, rows)
    _completions(report, read_clouds(folder / PICTURES / CLOUDS))
    for table in sorted((folder / EVALUATION).glob("*/table.csv"), key=lambda path: path.parent.name != "val"):
        _final(report, table)
    _configuration(report, run)
    report.write(folder / REPORT)
    return folder / REPORT


def _summary(run: Run, rows: Sequence[Mapping[str, Any]], state: str) -> dict[str, object]:
    facts: dict[str, object] = {"state": state, "epochs": run.progress.replace("/", " of ")}
    if run.best is not None:
        facts["best validation CD-L1 x 1000"] = f"{run.best:.2f} after epoch {run.best_epoch}"
    if run.recipe:
        facts["recipe"] = run.recipe
    if not rows:
        return facts
    training, validation = (_sum(rows, f"{part}_seconds") for part in ("training", "validation"))
    facts["steps"] = int(rows[-1].get("step") or 0)
    facts["time"] = f"{_duration(training)} of training, {_duration(validation)} of validation"
    # The first pass of a process compiles the step.
    facts["time of an epoch"] = f"{_duration(_median(rows, 'training_seconds'))}, median"
    for name, what in (("peak_memory_mb", "peak memory"), ("device_memory_mb", "peak memory of a GPU")):
        peak = max((row[name] for row in rows if row.get(name) is not None), default=None)
        if peak is not None:
            facts[what] = f"{peak:.0f} MB"
    return facts


def _curves(report: Report, run: Run, rows: Sequence[Mapping[str, Any]]) -> None:
    if not run.history:
        report.text("No epoch is over yet.")
        return
    quantities = {
        "loss": {"training": run.curve("loss"), "validation": run.curve("val_loss")},
        "CD-L1 x 1000": {"training": run.curve("cd_l1"), "validation": run.curve("val_cd_l1")},
        "learning rate": {"learning rate": _column(rows, "learning_rate")},
        "norm of the gradient": {"mean of an epoch": _column(rows, "gradient_norm")},
        "weights of the stages": {
            name.removeprefix("weight_"): _column(rows, name)
            for name in (rows[0] if rows else {})
            if name.startswith("weight_")
        },
    }
    drawn = {title: {n: line for n, line in lines.items() if line[0]} for title, lines in quantities.items()}
    drawn = {title: lines for title, lines in drawn.items() if lines}
    constant = {1.0} if drawn.get("weights of the stages") else set()
    if constant and {v for line in drawn["weights of the stages"].values() for v in line[1]} <= constant:
        del drawn["weights of the stages"]
    report.heading("Training")
    report.picture(figure_png(panels(drawn, "epoch"), 90), ", ".join(drawn))


def _completions(report: Report, clouds: Mapping[str, np.ndarray]) -> None:
    """A row for each scan, time from left to right."""
    epochs = sorted(key for key in clouds if key.startswith("epoch_"))
    if not epochs:
        return
    places = np.linspace(0, len(epochs) - 1, min(len(epochs), COLUMNS)).round().astype(int)
    shown = {f"epoch {int(epochs[i].removeprefix('epoch_'))}": clouds[epochs[i]] for i in places}
    shown = {"scan": clouds["scan"], **shown, "truth": clouds["truth"]}
    rows = [{title: each[i] for title, each in shown.items()} for i in range(len(clouds["scan"]))]
    report.heading("Scans of the validation split, completed over time")
    png = clouds_png(rows, labels=[str(label) for label in clouds["labels"]], dpi=75)
    report.picture(png, "Scan, completions by the network after so many epochs, truth")


def _final(report: Report, path: pathlib.Path) -> None:
    """The table of an evaluation, a part for each score, and its median and worst cases."""
    report.heading(f"The best network on {path.parent.name}")
    try:
        _scores(report, path)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"{path}: no table of an evaluation ({error}); remove it") from None
    for name in ("median", "worst"):
        png = path.parent / f"{name}.png"
        if png.is_file():
            report.picture(png.read_bytes(), f"{name.capitalize()} cases: scan, completion, truth")


def _scores(report: Report, path: pathlib.Path) -> None:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for metric in dict.fromkeys(row.get("metric", "") for row in rows):
        part = [row for row in rows if row.get("metric", "") == metric]
        grouped = any(row.get("difficulty", "all") != "all" for row in part)
        columns = [name for name in part[0] if name not in ("method", "metric", "difficulty")]
        header = [TITLES.get(metric, metric), *(["difficulty"] if grouped else []), *columns]
        report.table(
            header,
            [
                [row["method"], *([row["difficulty"]] if grouped else []), *(_score(row[c], metric) for c in columns)]
                for row in part
            ],
        )


def _configuration(report: Report, run: Run) -> None:
    config = run.config
    changed = config.get("changed", {}).get("values", {})
    rows = [[key, short(value), "changed" if key in changed else ""] for key, value in flat(config["recipe"]).items()]
    report.heading("Recipe")
    report.table(["key", "value", ""], rows)
    report.heading("Loss, data, versions")
    loss, data = config.get("loss", {}), config.get("data", {})
    facts = {"loss": run.loss, **{f"loss.{key}": short(value) for key, value in loss.get("config", {}).items()}}
    facts |= {f"data.{key}": value for key, value in data.items()} | {"seed": config.get("seed", "")}
    report.facts(facts | config.get("versions", {}))


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    found = [(row["epoch"] + 1, row[name]) for row in rows if row.get(name) is not None]
    return [epoch for epoch, _ in found], [value for _, value in found]


def _sum(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return sum(row[name] for row in rows if row.get(name) is not None)


def _median(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    found = [row[name] for row in rows if row.get(name) is not None]
    return float(np.median(found)) if found else 0.0


def _duration(seconds: float) -> str:
    """`3.2 s`, `12:05 min`, `7:30 h`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"
    return f"{int(seconds) // 3600}:{int(seconds) % 3600 // 60:02d} h"


def _score(text: str, metric: str) -> str:
    value = float(text) if text else math.nan
    return f"{value:.{DIGITS.get(metric, 4)}f}" if math.isfinite(value) else text or "-"
