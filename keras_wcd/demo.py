"""The main job from end to end: distil a loss, make data, train with it, complete scans, export, report."""

import dataclasses
import os
import pathlib
import textwrap
import time
from collections.abc import Callable

import keras
import numpy as np

from keras_wcd import __version__, losses
from keras_wcd.data import Shapes8, write_points
from keras_wcd.distill import distill
from keras_wcd.evaluation import evaluate
from keras_wcd.export import benchmark, to_tflite, verify
from keras_wcd.files import writable
from keras_wcd.models import PCN
from keras_wcd.training.callbacks import save_model
from keras_wcd.training.plain import Fitted, fit
from keras_wcd.visual.pictures import clouds_png, curves_png
from keras_wcd.visual.report import Report

SHOWN = 8
"""Held-out scans that are completed, drawn and written."""


def demo(
    output: str | os.PathLike = "runs/demo",
    *,
    shapes: int = 1600,
    epochs: int = 6,
    seed: int = 0,
    progress: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> pathlib.Path:
    """Run everything and write `report.html`, `distillation.json`, `model.keras`, `model.tflite` and the clouds.

    Args:
        output: Folder for the results.
        shapes: Training shapes; a tenth as many validate and test.
        epochs: Passes over them, for each of the two losses.
        seed: Of everything random.
        progress: Whether to draw bars.
        say: Where lines about the progress go.

    Returns:
        The path of the report.

    Raises:
        ValueError: for a count below 1, or an `output` that is a file.
        PermissionError: where `output` cannot be written to.
    """
    folder = writable(output, folder=True)
    data = Shapes8(shapes, max(SHOWN, shapes // 10), max(SHOWN, shapes // 10), seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    report = Report("keras-wcd demo")
    report.text(
        f"keras-wcd {__version__}, Keras {keras.__version__}: a loss is distilled, a small network is trained with "
        "it on procedural shapes, scans it has not seen are completed, and the network is exported."
    )
    _distil(folder, report, say)
    say(f"     {shapes} made-up shapes to train on: {', '.join(data.categories)}")
    trained = {name: _train(name, data, epochs, seed, progress, say) for name in ("landau_cd", "cd_l1")}
    model = trained["landau_cd"].model
    save_model(model, folder / "model.keras")
    _score(trained, data, report, say, progress)
    _draw(folder, model, data, report, say)
    _export(folder, model, data, report, say)
    report.facts({"seconds in all": round(time.perf_counter() - began)})
    report.write(folder / "report.html")
    say(f"\nReport: {folder / 'report.html'}   ({time.perf_counter() - began:.0f} s)")
    say(f"Next:   keras-wcd complete SCAN.ply -o completed.ply --model {folder / 'model.keras'}")
    return folder / "report.html"


def small_pcn() -> PCN:
    """A PCN of 2048 points that trains in a minute on two cores."""
    return PCN(num_coarse=512, grid_size=2, latent=256, encoder=(32, 64, 128), hidden=512, folding=128)


def _distil(folder: pathlib.Path, report: Report, say: Callable) -> None:
    say("1/5  Distilling HyperCD: whose gradient does a weighted Chamfer distance match best?")
    result = distill()
    say(result.table())
    result.to_json(folder / "distillation.json")
    result.plot(folder / "distillation.png")
    report.heading("Loss distillation")
    report.text(
        "Families of the weighted Chamfer distance, ordered by how closely the derivative of their profile follows "
        "that of HyperCD over the distances met between clouds."
    )
    rows = [[c.family, _arguments(c.parameters), f"{c.objective:.4g}"] for c in result.ranking]
    report.table(["family", "parameters", "objective"], rows)
    report.picture((folder / "distillation.png").read_bytes(), "Distances, teacher and families")


def _arguments(parameters: dict) -> str:
    return ", ".join(f"{name}={value:.4g}" for name, value in parameters.items())


def _train(name: str, data: Shapes8, epochs: int, seed: int, progress: bool, say: Callable) -> Fitted:
    say(f"2/5  Training a small PCN with {name}")
    # The same start for every loss.
    keras.utils.set_random_seed(seed)
    return fit(small_pcn(), data, losses.get(name), epochs=epochs, seed=seed, progress=progress)


def _score(trained: dict[str, Fitted], data: Shapes8, report: Report, say: Callable, progress: bool) -> None:
    """The table of CD-L1 by category: what needs no training, the networks, the networks and the scan."""
    say("3/5  Measuring on shapes not trained on")
    measured = []
    for keep, name in ((False, "{}"), (True, "{} + scan")):
        for loss, fitted in trained.items():
            options = {"metrics": ("cd_l1",), "keep_partial": keep, "baselines": not measured, "progress": progress}
            found = evaluate(fitted.model, data, **options)
            measured += [*found.baselines, dataclasses.replace(found, model=name.format(loss), baselines=())]
    whole = dataclasses.replace(measured[0], baselines=tuple(measured[1:]))
    say(textwrap.indent(whole.table(), "     ") + "\n     Smaller is better; Average is the mean over the categories.")
    report.heading("CD-L1 x 1000 on shapes not trained on")
    rows = [[one.model, *one.per_category("cd_l1").values(), one.class_mean("cd_l1")] for one in measured]
    report.table(["completion", *whole.categories, "mean"], rows)
    report.text(
        "Smaller is better. The first two rows need no training: the scan itself, and half of it with its mirror "
        "image in the plane of left-right symmetry. The last two put the measured points before the network's: after "
        "minutes of training a network misses what the scan already shows. In this frame LandauCD is close to CD-L1 "
        "up to a factor, and one run of each does not tell them apart."
    )
    curves = {name: fitted.history["val_cd_l1"] for name, fitted in trained.items()}
    png = curves_png(curves, x_label="epoch", y_label="validation CD-L1 x 1000")
    report.picture(png, "Validation while training")


def _draw(folder: pathlib.Path, model: PCN, data: Shapes8, report: Report, say: Callable) -> None:
    say(f"4/5  Writing {SHOWN} completed scans to {folder / 'clouds'}")
    clouds = folder / "clouds"
    clouds.mkdir(exist_ok=True)
    rows, labels = [], []
    predicted = model.predict(data.arrays("test")[0][:SHOWN], verbose=0)
    for i, points in enumerate(predicted):
        sample = data.load("test", i)
        merged = np.concatenate([sample.partial, points])
        shown = {"partial": sample.partial, "completion": points, "completion + scan": merged, "truth": sample.complete}
        for title, points in shown.items():
            write_points(clouds / f"{i}_{sample.category}_{title.replace(' + ', '_with_')}.ply", points)
        rows.append(shown)
        labels.append(sample.category)
    report.heading("Held-out scans")
    png = clouds_png(rows, labels=labels)
    report.picture(png, "Scan, completion by the network trained with LandauCD, both together, truth")
    (folder / "completions.png").write_bytes(clouds_png(rows[::2], labels=labels[::2], dpi=80))


def _export(folder: pathlib.Path, model: PCN, data: Shapes8, report: Report, say: Callable) -> None:
    say("5/5  Exporting to LiteRT in float16, verifying and timing it")
    path = to_tflite(model, folder / "model.tflite", quantization="float16")
    partial, complete = (clouds[:SHOWN] for clouds in data.arrays("test"))
    checked = verify(model, path, partial, truth=complete)
    timed = benchmark(path)
    facts = {
        "file": f"{path.name}, {timed.size / 2**20:.1f} MB",
        "largest distance to the network's answer": f"{checked.largest_distance:.2g}",
        "change of CD-L1 x 1000": f"{checked.cd_l1_change:+.2g}",
        "latency": f"{timed.latency_median:.1f} ms, {timed.threads} threads",
        "peak memory of the process": f"{timed.peak_memory / 2**20:.0f} MB",
    }
    for name, value in facts.items():
        say(f"     {name}: {value}")
    report.heading("Export")
    report.facts(facts)
