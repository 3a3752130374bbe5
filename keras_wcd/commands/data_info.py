"""`keras-wcd data info`."""

import pathlib

import click

from keras_wcd.commands.shared import example


@click.command(**example("keras-wcd data info scan.csv"))
@click.argument("file", type=click.Path(path_type=pathlib.Path))
@click.option("--dataset", help="Array of an npz or h5 file that holds several.")
@click.option("--index", type=int, help="Row of an array (B, N, 3) of an npy, npz or h5 file.")
def info(file, dataset, index):
    """Say how FILE is read: its format, what was decided about columns, numbers and colors, and what is left out."""
    from keras_wcd.data.io.info import inspect_file

    found = inspect_file(file, dataset=dataset, index=index)
    width = max(map(len, found))
    for name, what in found.items():
        click.echo(f"{name.ljust(width)}  {what}")
