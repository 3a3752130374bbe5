"""`keras-wcd data make`."""

import pathlib

import click

from keras_wcd.commands.shared import cluster, example

SHOWN = 20
"""Meshes that are named as skipped; the others are counted."""


@click.command(**example("keras-wcd data make meshes -o data/mine --views 8 --points 16384"))
@click.argument("meshes", type=click.Path(path_type=pathlib.Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=pathlib.Path), help="Folder to write.")
@click.option("--views", default=8, help="Virtual scans of each mesh.")
@click.option("--points", default=16384, help="Points of the ground truth.")
@click.option("--splits", nargs=3, type=float, default=(0.8, 0.1, 0.1), help="Shares of train, val and test.")
@click.option("--up", type=click.Choice(["y", "z"]), default="y", help="Axis of the meshes that points up.")
@click.option(
    "--encoding", type=click.Choice(["binary", "ascii", "binary_compressed"]), default="binary", help="Of the files."
)
@click.option(
    "--method",
    type=click.Choice(["z_buffer", "embree", "auto"]),
    default="z_buffer",
    help="Of the visibility; embree needs keras-wcd[embree].",
)
@click.option("--workers", type=int, help="Processes.  [default: one for each core]")
@cluster
@click.option("--seed", default=0)
def make(meshes, output, **options):
    """Make a data set in PCN's layout from a folder of meshes, its sub-folders the categories.

    A run that was stopped goes on when the same command is given again.
    """
    from keras_wcd.data.from_meshes.make import make_dataset

    made = make_dataset(meshes, output, **options)
    for path, reason in list(made.skipped.items())[:SHOWN]:
        click.echo(f"skipped {path}: {reason}", err=True)
    counts = ", ".join(f"{count} {split}" for split, count in made.counts.items())
    repeated = f"; {made.repeated} of a shape that another has too" if made.repeated else ""
    skipped = f"; {len(made.skipped)} meshes skipped" if made.skipped else ""
    click.echo(f"{output}: {counts} shapes, {options['views']} scans each{repeated}{skipped}")
