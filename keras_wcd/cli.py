"""The command line."""

import os
import sys

import click

from keras_wcd.commands.complete import complete
from keras_wcd.commands.data import data
from keras_wcd.commands.data_make import make
from keras_wcd.commands.demo import demo
from keras_wcd.commands.distill import distill
from keras_wcd.commands.evaluate import evaluate
from keras_wcd.commands.export import bench, export
from keras_wcd.commands.runs import runs
from keras_wcd.commands.train import train
from keras_wcd.commands.web import web


class Commands(click.Group):
    """A group whose commands answer a user's mistake with one line and exit code 2."""

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except (ValueError, OSError, ImportError) as error:
            if os.environ.get("KERAS_WCD_TRACEBACK"):
                raise
            lines = str(error).strip().splitlines() or [type(error).__name__]
            click.echo(f"Error: {lines[0]}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            ctx.exit(130)


@click.group(cls=Commands)
@click.version_option(package_name="keras-wcd")
def main():
    """Completes point clouds with weighted Chamfer distances.

    Set KERAS_WCD_TRACEBACK=1 to see where an error comes from.
    """


for command in (demo, distill, train, runs, evaluate, complete, export, bench, data, web):
    main.add_command(command)
data.add_command(make)


if __name__ == "__main__":
    sys.exit(main())
