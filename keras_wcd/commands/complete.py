"""`keras-wcd complete`."""

import pathlib

import click

from keras_wcd.commands.shared import example, load_framework


@click.command(**example("keras-wcd complete scan.pcd -o completed.ply"))
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
