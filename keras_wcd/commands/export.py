"""`keras-wcd export` and `keras-wcd bench`."""

import pathlib

import click

from keras_wcd.commands.shared import example, load_framework


@click.command(**example("keras-wcd export runs/demo/model.keras -o model.tflite --quantization float16"))
@click.argument("model", type=click.Path(path_type=pathlib.Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=pathlib.Path), help="A .tflite file or a folder."
)
@click.option("--quantization", type=click.Choice(["none", "float16", "dynamic"]), default="none")
@click.option("--points", default=2048, help="Points of the exported network's input.")
def export(model, output, quantization, points):
    """Write a model as LiteRT file (.tflite) or as SavedModel folder."""
    from keras_wcd.export.targets import file_target, folder_target

    as_file = output.suffix.lower() == ".tflite"
    (file_target if as_file else folder_target)(output)
    if quantization != "none" and not as_file:
        raise click.UsageError(f"--quantization goes with a .tflite file, and {output} is none")
    load_framework()
    from keras_wcd.export import to_saved_model, to_tflite
    from keras_wcd.predictors import find_model, load_model

    network = load_model(find_model(model))
    if as_file:
        to_tflite(network, output, None if quantization == "none" else quantization, num_points=points)
    else:
        to_saved_model(network, output, points)
    click.echo(output)


@click.command(**example("keras-wcd bench runs/demo/model.tflite"))
@click.argument("model", type=click.Path(path_type=pathlib.Path))
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
