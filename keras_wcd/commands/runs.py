"""`keras-wcd runs`."""

import pathlib

import click

from keras_wcd.commands.shared import example

FILE = click.Path(path_type=pathlib.Path)


@click.command(**example("keras-wcd runs runs --plot curves.png"))
@click.argument("folders", nargs=-1, required=True, type=FILE)
@click.option("--plot", type=FILE, metavar="FILE", help="Draw the validation CD-L1 of all runs over their epochs.")
@click.option("--html", type=FILE, metavar="FILE", help="Write table and curves as one page.")
@click.option("--csv", type=FILE, metavar="FILE", help="Write the table with all digits.")
@click.option("--report", is_flag=True, help="Write report.html into every run with a recipe, from what lies there.")
def runs(folders, plot, html, csv, report):
    """List the training runs in FOLDERS and below, and compare them.

    CD-L1 is the smallest on validation, x 1000, and `at` the epoch after which it was reached. `recipe` says what was
    changed of the published or the small one.
    """
    from keras_wcd.files import writable
    from keras_wcd.training import runs

    for file in filter(None, (plot, html, csv)):
        writable(file)
    found = runs.find_runs(*folders)
    click.echo(runs.runs_table(found))
    for file, write in ((plot, runs.plot_runs), (html, runs.write_comparison), (csv, runs.write_csv)):
        if file is not None:
            write(found, file)
    if report:
        _reports(found)


def _reports(found):
    """Write the page of every run that has a recipe, and say where."""
    from keras_wcd.training.run_report import write_report

    for run in found:
        if "recipe" in run.config:
            click.echo(write_report(run.folder))
