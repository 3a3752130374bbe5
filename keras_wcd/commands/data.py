"""`keras-wcd data`."""

import pathlib

import click

from keras_wcd.commands.data_info import info
from keras_wcd.commands.data_make import make
from keras_wcd.commands.shared import example

SHOWN = 20
"""Files that are named; the others are counted."""


@click.group(**example("keras-wcd data check data/PCN"))
def data():
    """Files of clouds and data sets on the disk."""


data.add_command(make)
data.add_command(info)


@data.command(**example("keras-wcd data check data/PCN"))
@click.argument("root", type=click.Path(path_type=pathlib.Path))
@click.option("--dataset", help="Name of the data set.  [default: what the folder looks like]")
def check(root, dataset):
    """Say what of a published data set a folder holds and lacks.

    The exit code is 2 where a file is missing or a shape is listed twice in a split.

    Nothing is downloaded: docs/data.md says where each data set is to be had.
    """
    from keras_wcd.data.datasets.check import check_tree, guess_datasets

    reports = [check_tree(root, name, progress=True) for name in ([dataset] if dataset else guess_datasets(root))]
    for report in reports:
        click.echo(f"{report.dataset} in {report.root}")
        for split, count in report.counts.items():
            click.echo(f"  {split:6}{count.whole:7d} of {count.listed} shapes")
        _name(report.missing, "missing")
        _name(report.repeated, "listed twice")
        _name(report.hints, "note")
        _name(report.surplus, "in no list")
    if not all(report.whole for report in reports):
        raise click.exceptions.Exit(2)


def _name(files, what):
    for file in files[:SHOWN]:
        click.echo(f"  {what}: {file}")
    if len(files) > SHOWN:
        click.echo(f"  {what}: {len(files) - SHOWN} more")
