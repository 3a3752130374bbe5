"""`keras-wcd data`."""

import pathlib

import click

from keras_wcd.commands.data_make import make
from keras_wcd.commands.shared import example

SHOWN = 20
"""Files that are named; the others are counted."""


@click.group(**example("keras-wcd data check data/PCN"))
def data():
    """Data sets on the disk."""


data.add_command(make)


@data.command(**example("keras-wcd data check data/PCN"))
@click.argument("root", type=click.Path(path_type=pathlib.Path))
@click.option("--dataset", help="Name of the data set.  [default: what the folder looks like]")
def check(root, dataset):
    """Say what of a published data set a folder holds and lacks; exit code 2 where something is missing.

    Nothing is downloaded: docs/data.md says where each data set is to be had.
    """
    from keras_wcd.data.datasets.check import check_tree, guess_datasets

    reports = [check_tree(root, name, progress=True) for name in ([dataset] if dataset else guess_datasets(root))]
    for report in reports:
        click.echo(f"{report.dataset} in {report.root}")
        for split, count in report.counts.items():
            click.echo(f"  {split:6}{count.whole:7d} of {count.listed} shapes")
        _name(report.missing, "missing")
        _name(report.surplus, "in no list")
    if any(report.missing for report in reports):
        raise click.exceptions.Exit(2)


def _name(files, what):
    for file in files[:SHOWN]:
        click.echo(f"  {what}: {file}")
    if len(files) > SHOWN:
        click.echo(f"  {what}: {len(files) - SHOWN} more")
