"""`keras-wcd train`."""

import pathlib

import click

from keras_wcd.commands.shared import cluster, entry, example, load_framework, named_loss, settings


@click.command(**example("keras-wcd train --loss landau_cd --set num_coarse=512 --set grid_size=2 -o runs/mine"))
@click.option("-o", "--output", required=True, type=click.Path(path_type=pathlib.Path), help="Folder for the results.")
@click.option("--backbone", default="pcn", help="Name of a network.")
@click.option("--set", "arguments", multiple=True, metavar="NAME=VALUE", help="An argument of the network, in JSON.")
@click.option("--dataset", default="shapes8", help="Name of a data set.")
@click.option("--data", "root", type=click.Path(path_type=pathlib.Path), help="Folder of the data set's files.")
@click.option("--shapes", default=1600, help="Training shapes of shapes8.")
@click.option(
    "--loss", default="landau_cd", help='Name of a loss, {"name": "hyper_cd", "alpha": 1000}, or a distillation.json.'
)
@click.option("--epochs", default=20)
@click.option("--batch-size", default=16)
@click.option("--learning-rate", default=1e-3)
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier run in OUTPUT.")
@click.option("--seed", default=0)
@cluster
def train(output, backbone, arguments, dataset, root, shapes, loss, seed, cluster, **run):
    """Train a network: log.csv, best.keras and last.keras in a folder.

    A cluster makes shapes8 and puts the ground truth into order; the network is trained here.
    """
    load_framework()
    import keras

    from keras_wcd import parallel
    from keras_wcd.models import NETWORKS
    from keras_wcd.training import fit

    keras.utils.set_random_seed(seed)
    # The workers of a cluster stand in other folders.
    data = _dataset(dataset, root.absolute() if root and cluster else root, shapes)
    model = entry(NETWORKS, backbone, "--backbone")(**settings(arguments))
    with parallel.on_cluster(cluster):
        fitted = fit(model, data, named_loss(loss), output=output, seed=seed, **run)
    click.echo(f"{output / 'best.keras'}: validation CD-L1 x 1000 = {fitted.best:.2f}")


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
