"""`keras-wcd complete`."""

import pathlib
import sys

import click

from keras_wcd.commands.shared import example, load_framework

PATH = click.Path(path_type=pathlib.Path)


@click.command(**example("keras-wcd complete scan.pcd -o completed.ply --html view.html"))
@click.argument("scan", type=PATH)
@click.option("-o", "--output", required=True, type=PATH, help="File to write; a folder where SCAN is one.")
@click.option(
    "--model", help="A .keras file, preset or .tflite file.  [default: the preset that ships, else the demo's]"
)
@click.option(
    "--normalize", type=click.Choice(["partial", "bbox", "none"]), default="partial", help="Frame of the scan."
)
@click.option("--up", type=click.Choice(["x", "y", "z"]), default="y", help="The scan's axis that points up.")
@click.option("--keep-partial", is_flag=True, help="Put the measured points before the completed ones.")
@click.option("--box", type=PATH, help="KITTI box of the scan: 8 corners, 3 numbers a line. A folder has one per scan.")
@click.option("--dataset", help="Array of an npz or h5 file that holds several.")
@click.option("--html", type=PATH, help="Page with a view one can turn; a folder where SCAN is one.")
@click.option("--picture", type=PATH, help="PNG of scan and completion; a folder where SCAN is one.")
@click.option("--format", "suffix", help="Extension of a folder's results.  [default: that of each scan]")
@click.option("--overwrite", is_flag=True, help="Complete again what a folder of results holds already.")
def complete(scan, output, model, normalize, html, picture, suffix, overwrite, **settings):
    """Complete SCAN, a file or a folder of files, in its own units and place."""
    load_framework()
    from keras_wcd.complete import complete_file, complete_folder, write_views

    settings["normalize"] = None if normalize == "none" else normalize
    if not scan.is_dir():
        if suffix or overwrite:
            raise click.UsageError("--format and --overwrite go with a folder of scans")
        for view in (html, picture):
            if view and not view.parent.is_dir():
                raise click.UsageError(f"{view}: the folder {view.parent} does not exist; create it first")
        done = complete_file(model, scan, output, **settings)
        write_views(done, scan.name, html, picture)
        click.echo(f"{done.path}: {len(done.cloud)} points")
        return

    def views(name, done):
        pages = [folder and _file(folder / name.with_name(name.name + end)) for folder, end in targets]
        write_views(done, str(name), *pages)

    targets = [(html, ".html"), (picture, ".png")]
    for folder, end in targets:
        if folder and folder.suffix == end:
            raise click.UsageError(f"{folder}: give a folder, into which every scan's {end} file goes")
    suffix = suffix and "." + suffix.lstrip(".")
    batch = complete_folder(model, scan, output, suffix=suffix, overwrite=overwrite, each=views, **settings)
    for error in batch.failed.values():
        click.echo(f"Error: {error.splitlines()[0]}", err=True)
    skipped = f", {len(batch.skipped)} there already (--overwrite completes them again)" if batch.skipped else ""
    click.echo(f"{output}: {len(batch.written)} completed{skipped}, {len(batch.failed)} failed")
    if batch.failed:
        sys.exit(2)


def _file(path: pathlib.Path) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
