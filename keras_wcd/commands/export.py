"""`keras-wcd export` and `keras-wcd bench`."""

import pathlib

import click

from keras_wcd.commands.shared import example, load_framework

PATH = click.Path(path_type=pathlib.Path)
QUANTIZATIONS = ["none", "float16", "dynamic", "dynamic4", "int8"]


@click.command(**example("keras-wcd export runs/demo/model.keras -o model.tflite --quantization dynamic"))
@click.argument("model", type=PATH)
@click.option("-o", "--output", required=True, type=PATH, help="A .tflite file, an .onnx file or a folder.")
@click.option("--quantization", type=click.Choice(QUANTIZATIONS), default="none", help="Of a .tflite file.")
@click.option("--calibration", type=PATH, help="Folder of scans on which int8 measures its ranges; 100 will do.")
@click.option("--points", default=2048, help="Points of the exported network's input.")
def export(model, output, quantization, calibration, points):
    """Write a model as LiteRT file (.tflite), ONNX file (.onnx) or SavedModel folder."""
    from keras_wcd.export.targets import FILES, file_target, folder_target

    suffix = output.suffix.lower()
    file_target(output, suffix) if suffix in FILES else folder_target(output)
    if quantization != "none" and suffix != ".tflite":
        raise click.UsageError(f"--quantization goes with a .tflite file, and {output} is none")
    if (calibration is not None) != (quantization == "int8"):
        raise click.UsageError("--calibration FOLDER and --quantization int8 go together")
    clouds = None if calibration is None else _framed(calibration)
    load_framework()
    from keras_wcd.export import to_onnx, to_saved_model, to_tflite
    from keras_wcd.predictors import find_model, load_model

    network = load_model(find_model(model))
    if suffix == ".tflite":
        to_tflite(network, output, None if quantization == "none" else quantization, clouds, points)
    else:
        (to_onnx if suffix == ".onnx" else to_saved_model)(network, output, points)
    click.echo(output)


def _framed(folder: pathlib.Path) -> list:
    """The scans of a folder, each in the frame in which a network completes it."""
    from keras_wcd.complete import scans_in
    from keras_wcd.data.io.formats import read_points
    from keras_wcd.frames import frame_of

    scans = [read_points(path) for path in scans_in(folder)[0]]
    return [frame_of(scan).apply(scan) for scan in scans]


@click.command(**example("keras-wcd bench runs/demo/model.tflite"))
@click.argument("model", type=PATH)
@click.option("--runs", default=20)
@click.option("--threads", default=2)
def bench(model, runs, threads):
    """Size, latency and memory of a LiteRT file."""
    from keras_wcd.export import benchmark

    timed = benchmark(model, runs=runs, threads=threads)
    click.echo(f"size     {timed.size / 2**20:.2f} MB")
    click.echo(f"latency  {timed.latency_median:.2f} ms ({timed.latency_min:.2f} to {timed.latency_max:.2f})")
    click.echo(
        f"memory   {timed.peak_memory / 2**20:.0f} MB at most, {timed.model_memory / 2**20:.0f} MB of it the model's"
    )
