"""`keras-wcd demo`."""

import click

from keras_wcd.commands.shared import example, load_framework


@click.command(**example("keras-wcd demo"))
@click.option("-o", "--output", default="runs/demo", help="Folder for the results.")
@click.option("--shapes", default=1600, help="Training shapes.")
@click.option("--epochs", default=6, help="Passes over them, for each loss.")
@click.option("--seed", default=0)
def demo(output, shapes, epochs, seed):
    """Distil a loss, train with it on made-up shapes, complete scans, export, and write a report."""
    load_framework()
    from keras_wcd.demo import demo

    demo(output, shapes=shapes, epochs=epochs, seed=seed, say=click.echo)
