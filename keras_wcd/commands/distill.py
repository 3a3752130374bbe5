"""`keras-wcd distill`."""

import pathlib

import click

from keras_wcd.commands.shared import example, load_framework, named_loss, number, numbers


@click.command(**example("keras-wcd distill --teacher hyper_cd --alpha 1 -o runs/distilled"))
@click.option("-o", "--output", required=True, type=click.Path(path_type=pathlib.Path), help="Folder for the results.")
@click.option("--teacher", default="hyper_cd", help='Name of a loss, or {"name": "info_cd", "tau": 0.5}.')
@click.option("--alpha", type=float, help="The teacher's alpha, where it has one.")
@click.option("--families", default="all", help="Names of weightings, parted by commas.")
@click.option("--distances", default="simulated", help="simulated, or an .npy file of distances.")
@click.option("--shift", type=click.Choice(["mode", "none"]), default="mode", help="Start the weights at their mode.")
@click.option("--rescale", type=click.Choice(["max", "fit", "none"]), default="max", help="How curves are compared.")
@click.option("--distance-scale", default="1", help="Unit of the students' distances: a number, median or fit.")
@click.option("--norm", type=click.Choice(["abs", "squared"]), default="abs", help="What is summed.")
@click.option("--seed", default=0, help="Of the simulated distances.")
def distill(output, teacher, alpha, families, distances, shift, rescale, distance_scale, norm, seed):
    """Find the weighted Chamfer distances whose gradients match a teacher's best."""
    load_framework()
    from keras_wcd.distill import DistanceDistribution, distill

    if distances == "simulated":
        distribution = DistanceDistribution.simulated(seed)
    else:
        distribution = DistanceDistribution.from_samples(numbers(distances), name=distances)
    result = distill(
        named_loss(teacher, "--teacher", **({} if alpha is None else {"alpha": alpha})),
        families=None if families == "all" else families.split(","),
        distances=distribution,
        shift=None if shift == "none" else shift,
        rescale=None if rescale == "none" else rescale,
        distance_scale=distance_scale if distance_scale in ("median", "fit") else number(distance_scale),
        norm=norm,
    )
    click.echo(result.table())
    output.mkdir(parents=True, exist_ok=True)
    result.to_json(output / "distillation.json")
    for name in ("png", "svg"):
        result.plot(output / f"curves.{name}")
        result.plot_weightings(output / f"weightings.{name}")
    click.echo(f"\n{output / 'distillation.json'}: use it with keras-wcd train --loss")
