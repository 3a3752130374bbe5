"""The command line: every command calls one public function."""

import os
import pathlib
import sys

import click


class Commands(click.Group):
    """A group whose commands answer a user's mistake with one line and exit code 2."""

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except (ValueError, OSError, ImportError) as error:
            if os.environ.get("KERAS_WCD_TRACEBACK"):
                raise
            lines = str(error).strip().splitlines() or [type(error).__name__]
            click.echo(f"Error: {lines[0]}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            ctx.exit(130)


def load_framework() -> None:
    """Import TensorFlow without the lines that its C++ side writes on the way."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from keras_wcd.export.quiet import quiet

    with quiet():
        import keras
        import tensorflow  # noqa: F401

        keras.backend.backend()


def example(line: str) -> dict:
    """The example that stands under a command's help."""
    return {"epilog": f"Example: {line}", "context_settings": {"show_default": True}}


@click.group(cls=Commands)
@click.version_option(package_name="keras-wcd")
def main():
    """Completes point clouds with weighted Chamfer distances.

    Set KERAS_WCD_TRACEBACK=1 to see where an error comes from.
    """


@main.command(**example("keras-wcd demo"))
@click.option("-o", "--output", default="runs/demo", help="Folder for the results.")
@click.option("--shapes", default=1600, help="Training shapes.")
@click.option("--epochs", default=6, help="Passes over them, for each loss.")
@click.option("--seed", default=0)
def demo(output, shapes, epochs, seed):
    """Distil a loss, train with it on made-up shapes, complete scans, export, and write a report."""
    load_framework()
    from keras_wcd.demo import demo

    demo(output, shapes=shapes, epochs=epochs, seed=seed, say=click.echo)


@main.command(**example("keras-wcd complete scan.pcd -o completed.ply"))
@click.argument("scan", type=click.Path(path_type=pathlib.Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=pathlib.Path), help="File to write.")
@click.option("--model", help="A .keras file, preset folder or .tflite file.  [default: the demo's]")
@click.option(
    "--normalize", type=click.Choice(["partial", "bbox", "none"]), default="partial", help="Frame of the scan."
)
@click.option("--keep-partial", is_flag=True, help="Put the measured points before the completed ones.")
def complete(scan, output, model, normalize, keep_partial):
    """Complete a scan in its own units and place."""
    load_framework()
    from keras_wcd.completing import complete_file

    normalize = None if normalize == "none" else normalize
    points = complete_file(model, scan, output, normalize=normalize, keep_partial=keep_partial)
    click.echo(f"{output}: {len(points)} points")


@main.command(**example("keras-wcd export runs/demo/model.keras -o model.tflite --quantization float16"))
@click.argument("model", type=click.Path(path_type=pathlib.Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=pathlib.Path), help="A .tflite file or a folder."
)
@click.option("--quantization", type=click.Choice(["none", "float16", "dynamic"]), default="none")
@click.option("--points", default=2048, help="Points of the exported network's input.")
def export(model, output, quantization, points):
    """Write a model as LiteRT file (.tflite) or as SavedModel folder."""
    load_framework()
    from keras_wcd.completing import find_model, load_model
    from keras_wcd.export import to_saved_model, to_tflite

    network = load_model(find_model(model))
    if output.suffix == ".tflite":
        to_tflite(network, output, None if quantization == "none" else quantization, num_points=points)
    elif quantization != "none":
        raise click.UsageError(f"--quantization goes with a .tflite file, and {output} is none")
    else:
        to_saved_model(network, output, points)
    click.echo(output)


@main.command(**example("keras-wcd bench runs/demo/model.tflite"))
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


if __name__ == "__main__":
    sys.exit(main())
