"""`keras-wcd web`."""

import importlib.util
import pathlib
import tempfile
import time
import webbrowser

import click

from keras_wcd.commands.shared import example, load_framework


@click.command(**example("keras-wcd web"))
@click.option("--port", type=click.IntRange(0, 65535), default=8517, help="Port of 127.0.0.1; 0 takes a free one.")
@click.option("--no-open", is_flag=True, help="Open no browser.")
@click.option("--model", help="A .tflite file, .keras file or preset.  [default: the preset that ships]")
@click.option("-o", "--output", type=click.Path(path_type=pathlib.Path), help="Write the page here and serve nothing.")
def web(port, no_open, model, output):
    """Complete scans in the browser: a page of this machine, from which nothing leaves it.

    The first start fetches the page's packages with npm and keeps them; later ones need no network.
    """
    from keras_wcd.data.cache import folder
    from keras_wcd.export.serving import serving
    from keras_wcd.export.site import build_page, write_model, write_site

    cache = folder() / "web"
    page = build_page(cache, click.echo)
    path = _tflite(model, cache)
    # In a folder of its own: another server may run with another model.
    with tempfile.TemporaryDirectory(prefix="keras-wcd-") as home:
        network = write_model(path, home)
        if output:
            click.echo(write_site(page, network, output))
            return
        with serving(page, network, port) as address:
            click.echo(f"{address}  (Ctrl-C ends it)")
            if not no_open:
                webbrowser.open(address)
            while True:
                # Ctrl-C ends a sleep on every system.
                time.sleep(3600)


def _tflite(model: str | None, cache: pathlib.Path) -> pathlib.Path:
    """The LiteRT file of a model, exported where it is another one and kept in `cache`."""
    from keras_wcd.record import digest

    path = pathlib.Path(model) if model else _shipped()
    if path.suffix.lower() == ".tflite":
        return path
    known = cache / f"{digest(file.read_bytes() for file in _files(path))}.tflite" if path.exists() else None
    if known is None or not known.is_file():
        load_framework()
        from keras_wcd.export import to_tflite
        from keras_wcd.predictors import find_model, load_model, model_digest

        path = find_model(path if model is None else model)
        known = cache / f"{model_digest(path)}.tflite"
        if not known.is_file():
            click.echo("Exporting the network, once")
            to_tflite(load_model(path), known)
    return known


def _shipped() -> pathlib.Path:
    """The folder of the preset that ships; its networks are not imported, which takes seconds."""
    found = importlib.util.find_spec("keras_wcd.models")
    if found is None or not found.submodule_search_locations:
        raise ValueError("the package of networks, keras_wcd.models, is not installed; install keras-wcd again")
    return pathlib.Path(found.submodule_search_locations[0]) / "preset-default"


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    return sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]
