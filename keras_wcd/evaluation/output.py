"""An evaluation as files: scores of every sample, table, means, pictures of the worst and the median cases."""

import contextlib
import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_wcd.evaluation.results import Evaluation
from keras_wcd.evaluation.tables import DIGITS
from keras_wcd.files import read_json, replacing
from keras_wcd.visual.pictures import clouds_png
from keras_wcd.visual.tables import number

SHOWN = 4
"""Cases in a picture."""
SUMMARY = "evaluation.json"


def check_free(folder: Path, question: dict[str, Any] | None) -> None:
    """Raise where a folder holds an evaluation of something else, which would be lost.

    Args:
        folder: Where the files would be written.
        question: What is about to be measured: model, data set, split, metrics and settings; None replaces anything.

    Raises:
        ValueError: for a file in the folder's place, or a folder with another evaluation.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"output {str(folder)!r} is a file; name a folder")
    if question is None or not (folder / SUMMARY).is_file():
        return
    try:
        earlier = read_json(folder / SUMMARY)
        held = " ".join(str(earlier[key])[:80] for key in ("model", "dataset", "split"))
        # What an earlier version did not record does not differ.
        earlier = {**earlier["settings"], **earlier, "metrics": list(earlier["figures"])}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"output {str(folder)!r} holds an {SUMMARY} that is none of ours; {_WAYS}") from None
    other = [key for key, value in _plain(question).items() if earlier.get(key, value) != value]
    if other:
        raise ValueError(f"output {str(folder)!r} holds an evaluation with another {other[0]}, {held}; {_WAYS}")


_WAYS = "name another folder, or allow to replace it (overwrite=True, --overwrite)"


def write(evaluation: Evaluation, folder: Path, redo: Callable[[Sequence[int]], list]) -> None:
    """Write all files into a folder; they take their places together, once all of them are whole.

    Args:
        evaluation: What to write.
        folder: Made if it is not there; files of an earlier evaluation are replaced.
        redo: Completes the samples of the given rows once more, for the pictures.
    """
    metric = evaluation.metrics[0]
    ranking = evaluation.ranking(metric)
    middle = max(0, (len(ranking) - SHOWN) // 2)
    cases = {"worst": ranking[:SHOWN], "median": ranking[middle : middle + SHOWN]}
    summary = evaluation.summary()
    summary["cases"] = {name: [evaluation.samples[row].name for row in rows] for name, rows in cases.items()}
    contents = {
        "samples.csv": _csv(*_samples(evaluation)).encode(),
        "table.csv": _csv(*evaluation.rows()).encode(),
        SUMMARY: (json.dumps(_plain(summary), indent=2) + "\n").encode(),
        **{f"{name}.png": _picture(evaluation, metric, rows, redo(rows)) for name, rows in cases.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        for name, content in contents.items():
            stack.enter_context(replacing(folder / name)).write_bytes(content)


def _samples(evaluation: Evaluation) -> tuple[list[str], list[list]]:
    header = ["name", "category", "group", *evaluation.metrics]
    body = [
        [sample.name, sample.category, sample.group, *(sample.scores.get(name, "") for name in evaluation.metrics)]
        for sample in evaluation.samples
    ]
    return header, body


def _csv(header: Sequence[str], body: Sequence[Sequence]) -> str:
    """Floats are written with all their digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(body)
    return text.getvalue()


def _picture(evaluation: Evaluation, metric: str, rows: Sequence[int], done: list) -> bytes:
    """A row for each case: scan, completion and, where there is one, ground truth."""
    shown, labels = [], []
    for row, (_, sample, points) in zip(rows, done, strict=True):
        clouds = {"scan": sample.partial, "completed": points}
        if sample.complete is not None:
            clouds["truth"] = sample.complete
        shown.append({title: _drawable(cloud) for title, cloud in clouds.items()})
        score = number(evaluation.samples[row].scores[metric], DIGITS.get(metric, 3))
        labels.append(f"{sample.category} {score}")
    return clouds_png(shown, labels=labels)


def _drawable(points: np.ndarray) -> np.ndarray:
    """The finite points of a cloud; the origin where there are none."""
    finite = points[np.isfinite(points).all(axis=1)]
    return finite if len(finite) else np.zeros((1, 3))


def _plain(value: Any) -> Any:
    """Numbers that JSON has no word for become null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
