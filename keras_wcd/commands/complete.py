"""`keras-wcd complete`."""

import pathlib
import sys
import warnings

import click

from keras_wcd.commands.shared import example, load_framework
from keras_wcd.files import writable

PATH = click.Path(path_type=pathlib.Path)


@click.command(**example("keras-wcd complete scan.pcd -o completed.ply --html view.html"))
@click.argument("scan", type=PATH)
@click.option("-o", "--output", required=True, type=PATH, help="File to write; a folder where SCAN is one.")
@click.option(
    "--model",
    help="A .keras file, preset, .tflite file or SavedModel.  [default: the preset that ships, else the demo's]",
)
@click.option(
    "--normalize", type=click.Choice(["partial", "bbox", "none"]), default="partial", help="Frame of the scan."
)
@click.option("--up", type=click.Choice(["x", "y", "z"]), default="y", help="The scan's axis that points up.")
@click.option("--keep-partial", is_flag=True, help="Put the measured points before the completed ones.")
@click.option(
    "--kitti-box", type=PATH, help="KITTI box of the scan: 8 corners, 3 numbers a line. A folder has one per scan."
)
@click.option("--box", type=PATH, hidden=True)
@click.option("--dataset", help="Array of an npz or h5 file that holds several.")
@click.option("--index", type=int, help="Row of an array of several clouds, from 0.")
@click.option("--clean", is_flag=True, help="Drop no-returns, stray points and floors before the scan is completed.")
@click.option("--html", type=PATH, help="Page with a view one can turn; a folder where SCAN is one.")
@click.option("--picture", type=PATH, help="PNG of scan and completion; a folder where SCAN is one.")
@click.option("--format", "suffix", help="Extension of a folder's results.  [default: that of each scan]")
@click.option("--overwrite", is_flag=True, help="Complete again what a folder of results holds already.")
def complete(scan, output, model, normalize, html, picture, suffix, overwrite, box, **settings):
    """Complete SCAN, a file or a folder of files, in its own units and place."""
    settings["normalize"] = None if normalize == "none" else normalize
    if box:
        click.echo("--box is called --kitti-box now, and goes with the next release", err=True)
        settings["kitti_box"] = settings["kitti_box"] or box
    if scan.is_dir():
        suffix = suffix and "." + suffix.lstrip(".")
        _folder(model, scan, output, html, picture, suffix=suffix, overwrite=overwrite, **settings)
        return
    if suffix or overwrite:
        raise click.UsageError("--format and --overwrite go with a folder of scans")
    from keras_wcd.complete import ArtifactWarning, complete_file, output_path, write_views

    for view, end in ((html, ".html"), (picture, ".png")):
        if view and view.suffix.lower() != end and str(view) != "-":
            raise click.UsageError(f"{view}: it would hold {end[1:].upper()}; give a name that ends in {end}")
    for path in filter(None, (output_path(scan, output), html, picture)):
        writable(path)
    _load(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ArtifactWarning)
        done = complete_file(model, scan, output, **settings)
    _say(scan, done.artifacts, settings["clean"])
    write_views(done, scan.name, html, picture)
    click.echo(f"{done.path}: {len(done.cloud)} points")


def _folder(model, scans, output, html, picture, **settings):
    from keras_wcd.complete import ArtifactWarning, complete_folder, write_views

    def views(name, done):
        pages = [folder and _file(folder / name.with_name(name.name + end)) for folder, end in targets]
        write_views(done, str(name), *pages)

    targets = [(html, ".html"), (picture, ".png")]
    for folder, end in targets:
        if folder and folder.suffix == end:
            raise click.UsageError(f"{folder}: give a folder, into which every scan's {end} file goes")
    for folder in filter(None, (output, html, picture)):
        writable(folder, folder=True)
    _load(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ArtifactWarning)
        found = complete_folder(model, scans, output, each=views, **settings)
    for scan, artifacts in found.artifacts.items():
        _say(scan, artifacts, settings["clean"])
    for error in found.failed.values():
        click.echo(f"Error: {error.splitlines()[0]}", err=True)
    if found.passed_over:
        click.echo(f"Passed over, being no scans: {found.in_words()}", err=True)
    if found.artifacts:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in found.kinds().items())
        what = "were cleaned" if settings["clean"] else "hold more than the object (--clean drops it)"
        click.echo(f"{len(found.artifacts)} of the scans {what}: {kinds}", err=True)
    skipped = f", {len(found.skipped)} there already (--overwrite completes them again)" if found.skipped else ""
    click.echo(f"{output}: {len(found.written)} completed{skipped}, {len(found.failed)} failed")
    if found.failed:
        sys.exit(2)


def _say(scan, artifacts, clean):
    """A line on the artifacts of a scan, where it has any."""
    from keras_wcd.complete import in_words

    if artifacts:
        click.echo(("" if clean else "Warning: ") + in_words(scan, artifacts, clean=clean), err=True)


def _load(model):
    """The framework, where the model needs it: a LiteRT file runs by itself."""
    if pathlib.Path(model or "").suffix.lower() != ".tflite":
        load_framework()


def _file(path: pathlib.Path) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
