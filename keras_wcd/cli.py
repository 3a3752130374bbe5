"""The command line: every command calls one public function."""

import json
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


def entry(table: dict, name: str, option: str):
    """A row of a table, or a usage error that lists the rows."""
    if name not in table:
        raise click.UsageError(f"{option}: there is no {name!r}; known are {', '.join(sorted(table))}")
    return table[name]


def number(text: str) -> float:
    """A number, or a usage error."""
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"--distance-scale must be a number, median or fit, got {text!r}") from None


def numbers(path: str):
    """An array from an .npy file, never unpickled."""
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not an .npy file of numbers ({error})") from error


def settings(pairs: tuple[str, ...]) -> dict:
    """Arguments from `name=value` pairs, the values in JSON."""
    arguments = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            arguments[name] = json.loads(value)
        except json.JSONDecodeError:
            raise click.UsageError(f"--set wants NAME=VALUE with a JSON value, got {pair!r}") from None
    return arguments


def named_loss(name: str):
    """A loss by name, or the best of a distillation."""
    from keras_wcd import losses

    if name.endswith(".json"):
        from keras_wcd.distill import DistillationResult

        return DistillationResult.from_json(pathlib.Path(name)).loss()
    return losses.get(name)


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


@main.command(**example("keras-wcd distill --teacher hyper_cd --alpha 1 -o runs/distilled"))
@click.option("-o", "--output", required=True, type=click.Path(path_type=pathlib.Path), help="Folder for the results.")
@click.option("--teacher", default="hyper_cd", help="Name of a loss.")
@click.option("--alpha", type=float, help="The teacher's alpha, where it has one.")
@click.option("--families", default="all", help="Names of weightings, parted by commas.")
@click.option("--distances", default="simulated", help="simulated, or an .npy file of distances.")
@click.option("--shift", type=click.Choice(["mode", "none"]), default="mode", help="Start the weights at their mode.")
@click.option("--rescale", type=click.Choice(["max", "fit", "none"]), default="max", help="How curves are compared.")
@click.option("--distance-scale", default="1", help="Unit of the students' distances: a number, median or fit.")
@click.option("--norm", type=click.Choice(["abs", "squared"]), default="abs", help="What is summed.")
@click.option("--seed", default=0, help="Of the simulated distances.")
def distill(output, teacher, alpha, families, distances, shift, rescale, distance_scale, norm, seed):
    """Find the weighted Chamfer distances whose gradients match a teacher's best."""
    load_framework()
    from keras_wcd import losses
    from keras_wcd.distill import DistanceDistribution, distill

    if distances == "simulated":
        distribution = DistanceDistribution.simulated(seed)
    else:
        distribution = DistanceDistribution.from_samples(numbers(distances), name=distances)
    result = distill(
        losses.get({"name": teacher} if alpha is None else {"name": teacher, "alpha": alpha}),
        families=None if families == "all" else families.split(","),
        distances=distribution,
        shift=None if shift == "none" else shift,
        rescale=None if rescale == "none" else rescale,
        distance_scale=distance_scale if distance_scale in ("median", "fit") else number(distance_scale),
        norm=norm,
    )
    click.echo(result.table())
    output.mkdir(parents=True, exist_ok=True)
    result.to_json(output / "distillation.json")
    for name in ("png", "svg"):
        result.plot(output / f"curves.{name}")
        result.plot_weightings(output / f"weightings.{name}")
    click.echo(f"\n{output / 'distillation.json'}: use it with keras-wcd train --loss")


@main.command(**example("keras-wcd train --loss landau_cd --set num_coarse=512 --set grid_size=2 -o runs/mine"))
@click.option("-o", "--output", required=True, type=click.Path(path_type=pathlib.Path), help="Folder for the results.")
@click.option("--backbone", default="pcn", help="Name of a network.")
@click.option("--set", "arguments", multiple=True, metavar="NAME=VALUE", help="An argument of the network, in JSON.")
@click.option("--dataset", default="shapes8", help="Name of a data set.")
@click.option("--shapes", default=1600, help="Training shapes of shapes8.")
@click.option("--loss", default="landau_cd", help="Name of a loss, or a distillation.json: its best.")
@click.option("--epochs", default=20)
@click.option("--batch-size", default=16)
@click.option("--learning-rate", default=1e-3)
@click.option("--seed", default=0)
def train(output, backbone, arguments, dataset, shapes, loss, epochs, batch_size, learning_rate, seed):
    """Train a network: log.csv, best.keras and last.keras in a folder."""
    load_framework()
    import keras

    from keras_wcd.data import DATASETS
    from keras_wcd.models import BACKBONES
    from keras_wcd.training import fit

    keras.utils.set_random_seed(seed)
    data = entry(DATASETS, dataset, "--dataset")(shapes, max(8, shapes // 10), max(8, shapes // 10))
    model = entry(BACKBONES, backbone, "--backbone")(**settings(arguments))
    fitted = fit(
        model,
        data,
        named_loss(loss),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        output=output,
        seed=seed,
    )
    click.echo(f"{output / 'best.keras'}: validation CD-L1 x 1000 = {fitted.best:.2f}")


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
