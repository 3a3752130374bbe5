"""`keras-wcd train`."""

import os
import pathlib
import sys

import click

from keras_wcd.commands.shared import cluster, entry, example, load_framework, named_loss, settings

OF_RECIPES = ("resume", "minutes", "report", "distribute", "workers")
OF_PLAIN_RUNS = ("epochs", "batch_size", "learning_rate")
"""Options that the recipe holds where one is given."""


@click.command(**example("keras-wcd train --backbone seedformer --recipe small --loss landau_cd -o runs/mine"))
@click.option("-o", "--output", type=click.Path(path_type=pathlib.Path), help="Folder for the results.")
@click.option("--backbone", default="pcn", help="Name of a network.")
@click.option(
    "--recipe",
    metavar="published|small|plain|FILE",
    help="The network's published recipe, one for two processor cores, none, or a file of YAML.  "
    "[default: published; on shapes8 plain]",
)
@click.option(
    "--from",
    "start",
    metavar="MODEL",
    help="Begin with the weights of a .keras file or a preset such as default: fine-tune it.",
)
@click.option(
    "--set",
    "arguments",
    multiple=True,
    metavar="KEY=VALUE",
    help="An argument of the network, in JSON; with a recipe a value of it: batch_size=8, network.num_coarse=512.",
)
@click.option("--dataset", default="shapes8", help="Name of a data set.")
@click.option("--data", "root", type=click.Path(path_type=pathlib.Path), help="Folder of the data set's files.")
@click.option("--shapes", default=1600, help="Training shapes of shapes8.")
@click.option(
    "--loss", help='Name of a loss, {"name": "hyper_cd", "alpha": 1000}, or a distillation.json.  [default: landau_cd]'
)
@click.option("--epochs", default=20, help="With --recipe plain.")
@click.option("--batch-size", default=16, help="With --recipe plain.")
@click.option("--learning-rate", default=1e-3, help="With --recipe plain.")
@click.option("--resume", is_flag=True, help="Go on with the run in OUTPUT, if there is one; with a recipe.")
@click.option("--minutes", default=10.0, help="Between two checkpoints within an epoch; with a recipe.")
@click.option(
    "--report/--no-report",
    default=True,
    help="Keep pictures and TensorBoard's events, measure the best network, write report.html; with a recipe.",
)
@click.option(
    "--distribute",
    metavar="mirrored|multiworker|data_parallel",
    help="All devices of this process, those of all that TF_CONFIG names, or all that JAX sees; with a recipe.",
)
@click.option("--workers", default=1, help="Train in so many processes on this machine, for a try; with a recipe.")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier run in OUTPUT.")
@click.option("--seed", default=0)
@click.option(
    "--replay",
    type=click.Path(path_type=pathlib.Path),
    metavar="FOLDER",
    help="Make the step again at which the run in FOLDER ended, its loss or gradient not finite; nothing else.",
)
@cluster
@click.pass_context
def train(
    context, output, backbone, recipe, start, arguments, dataset, root, shapes, loss, seed, cluster, replay, **run
):
    """Train a network: log.csv, best.keras and last.keras in a folder.

    Plain: Adam with a linear warm-up and a cosine decay. By a recipe all is the recipe's, and a run that was stopped or
    killed goes on with --resume.

    A cluster makes shapes8 and puts the ground truth into order; the network is trained here.
    """
    if replay is not None:
        load_framework()
        _replay(replay)
        return
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    recipe = _check_options(context, recipe, dataset)
    if run["workers"] != 1:
        from keras_wcd.training.workers import run_workers

        raise SystemExit(run_workers(run["workers"], _arguments_of_worker(sys.argv[1:])))
    load_framework()
    import keras

    from keras_wcd.training.opened import open_devices

    # Workers find each other before anything is computed.
    run["distribute"] = open_devices(run["distribute"]) if run["distribute"] else None

    from keras_wcd import parallel
    from keras_wcd.models import NETWORKS

    keras.utils.set_random_seed(seed)
    # The workers of a cluster stand in other folders.
    data = _dataset(dataset, root.absolute() if root and cluster else root, shapes)
    network = entry(NETWORKS, backbone, "--backbone")
    chosen = named_loss(loss or "landau_cd")
    options = {"output": output, "seed": seed, "overwrite": run["overwrite"]}
    with parallel.on_cluster(cluster):
        if recipe is None:
            from keras_wcd.training import fit

            own = {name: run[name] for name in OF_PLAIN_RUNS}
            made = network(**settings(arguments)) if start is None else _network_of(context, start, arguments)
            fitted = fit(made, data, chosen, **options, **own)
        else:
            own = {"start": start, **{name: run[name] for name in OF_RECIPES if name != "workers"}}
            fitted = _by_recipe(_recipe(recipe, backbone, data, arguments), data, chosen, **options, **own)
    click.echo(f"{output / 'best.keras'}: validation CD-L1 x 1000 = {fitted.best:.2f}")
    if recipe is not None and run["report"]:
        click.echo(f"{output / 'report.html'}: curves, completions over time, the best network by category")


def _check_options(context, recipe, dataset):
    """The way of training, None for plain; options that it has not are refused."""

    def given(names):
        source = click.core.ParameterSource.COMMANDLINE
        return [name for name in names if context.get_parameter_source(name) is source]

    plain, of_recipe = given(OF_PLAIN_RUNS), given(OF_RECIPES)
    if recipe is None:
        # No recipe was published for shapes that are made up here, nor for fine-tuning.
        recipe = "plain" if dataset == "shapes8" or plain or context.params["start"] else "published"
    if recipe == "plain":
        if of_recipe:
            option = f"--{of_recipe[0].replace('_', '-')}"
            raise click.UsageError(f"{option} goes with a recipe: add --recipe published, small or a file")
        return None
    if plain:
        option, key = f"--{plain[0].replace('_', '-')}", "schedule" if plain[0] == "learning_rate" else plain[0]
        value = context.params[plain[0]]
        raise click.UsageError(f"{option} is the recipe's; change it there: --set {key}={value}")
    return recipe


def _arguments_of_worker(arguments):
    """The same command for one of the workers."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument != "--workers" and not argument.startswith("--workers="):
            kept.append(argument)
        skip = argument == "--workers"
    return [*kept, "--distribute", "multiworker"]


def _network_of(context, start, arguments):
    """The network to fine-tune, which is made already."""
    named = context.get_parameter_source("backbone") is click.core.ParameterSource.COMMANDLINE
    if named or arguments:
        raise click.UsageError(f"{'--backbone' if named else '--set'} makes a new network; --from {start} has its own")
    from keras_wcd.training.starting import network_of

    return network_of(start)


def _recipe(recipe, backbone, data, arguments):
    """The recipe of a name or file, with the changes of the command line."""
    from keras_wcd.training.recipe_files import changed, recipe_of, settings

    try:
        return changed(recipe_of(recipe, backbone, data), settings(arguments))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _by_recipe(recipe, data, loss, **options):
    """Train, and say after Ctrl-C how to go on."""
    from keras_wcd.training import Interrupted, WorkerLostError, train

    try:
        return train(recipe, dataset=data, loss=loss, **options)
    except Interrupted as stopped:
        click.echo(f"{stopped}; the same command with --resume goes on", err=True)
        raise SystemExit(130) from None
    except WorkerLostError as lost:
        click.echo(f"Error: {lost}", err=True)
        # TensorFlow would wait for the worker that is gone.
        sys.stderr.flush()
        os._exit(3)


def _replay(folder):
    """Say what was not finite in the step at which a run ended."""
    from keras_wcd.training import replay

    made = replay(folder)
    click.echo(f"step {made.step}: loss {made.loss:.6g}, norm of the gradient {made.gradient_norm:.6g}")
    for name, loss in made.losses.items():
        click.echo(f"  {name}: loss {loss:.6g} alone")
    for path in made.variables:
        click.echo(f"  the gradient of {path} is not finite")


def _dataset(name, root, shapes):
    """A data set to train on, or an error that says why it is none."""
    from keras_wcd.data.datasets.table import DATASETS, open_dataset

    entry(DATASETS, name, "--dataset")
    if name == "shapes8":
        held_back = max(8, shapes // 10)
        return open_dataset(name, root, train=shapes, val=held_back, test=held_back)
    data = open_dataset(name, root)
    if not {"train", "val"} <= set(data.splits):
        raise click.UsageError(f"--dataset: {name} has only the splits {', '.join(data.splits)}; train on another")
    return data
