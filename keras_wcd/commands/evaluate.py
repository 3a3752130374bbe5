"""`keras-wcd evaluate`."""

import pathlib

import click

from keras_wcd.commands.shared import cluster, example, load_framework

PROVENANCE = (
    "Published rows: PCN's test split, each network trained with its authors' loss, as other publications print them "
    "(sources: docs/paper_table1.csv)."
)


@click.command(**example("keras-wcd evaluate runs/mine/best.keras --data PCN --dataset pcn --baselines -o runs/eval"))
@click.argument("model", type=click.Path(path_type=pathlib.Path))
@click.option("--data", type=click.Path(path_type=pathlib.Path), help="Folder of the data set; shapes8 needs none.")
@click.option("--dataset", default="pcn", help="Name of a data set.")
@click.option("--split", help="Name of a split.  [default: the one whose figures are published]")
@click.option("--batch-size", default=16)
@click.option("--metrics", default="cd_l1,cd_l2,f_score", help="Names parted by commas; the first ranks the cases.")
@click.option("--keep-partial", is_flag=True, help="Put the measured points before the network's.")
@click.option("--baselines", is_flag=True, help="Measure the scan itself and its mirror image, too.")
@click.option("--cars", type=click.Path(path_type=pathlib.Path), help="Folder of PCN: its cars, for KITTI's MMD.")
@click.option("--cars-split", default="test", help="Splits of PCN that the cars are taken from, parted by commas.")
@click.option("--paper", is_flag=True, help="Print published figures beside the network's.")
@click.option(
    "--frame",
    default="auto",
    help="Where the network sees scans: auto (the frame it was trained in, if it says so), dataset, box or sphere.",
)
@click.option(
    "-o", "--output", default="runs/eval", type=click.Path(path_type=pathlib.Path), help="Folder for the results."
)
@click.option("--overwrite", is_flag=True, help="Replace another evaluation in that folder.")
@cluster
def evaluate(model, data, dataset, split, metrics, cars, cars_split, paper, output, **options):
    """Measure a .keras file, preset, .tflite file or SavedModel on a data set: tables, CSV, JSON, pictures."""
    if paper and "cd_l1" not in metrics.split(","):
        raise click.UsageError("--paper compares CD-L1: name cd_l1 in --metrics")
    load_framework()
    from keras_wcd.data import open_dataset
    from keras_wcd.evaluation import evaluate, paper_table

    opened = open_dataset(dataset, data)
    evaluation = evaluate(
        model,
        opened,
        split or opened.evaluation_split,
        metrics=tuple(name.strip() for name in metrics.split(",")),
        reference_cars=_cars(open_dataset("pcn", cars), cars_split.split(",")) if cars else None,
        output=output,
        **options,
    )
    click.echo(evaluation.table())
    if evaluation.settings["frame"] != opened.frame:
        click.echo(f"\nThe network saw the scans in the frame {evaluation.settings['frame']!r}: docs/evaluation.md")
    if paper and "cd_l1" in evaluation.metrics:
        click.echo(f"\n{paper_table(evaluation, _backbone(model))}\n{PROVENANCE}")
    click.echo(f"\n{output}: samples.csv, table.csv, evaluation.json, worst.png, median.png")


def _cars(pcn, splits: list[str]) -> list:
    """Every complete car of PCN's splits, once."""
    samples = (pcn.load(split, index) for split in splits for index in range(pcn.size(split)))
    cars = {sample.name.rsplit("/", 1)[0]: sample.complete for sample in samples if sample.category == "car"}
    if not cars:
        raise ValueError(f"--cars {pcn.root}: there are no cars in {', '.join(splits)}")
    return list(cars.values())


def _backbone(model: pathlib.Path) -> str | None:
    """The key of a model's network in the table of networks; none for a file that is no Keras model."""
    from keras_wcd.models import BACKBONES
    from keras_wcd.predictors import find_model, load_model

    if model.suffix not in ("", ".keras"):
        return None
    network = load_model(find_model(model))
    return next((key for key, kind in BACKBONES.items() if type(network) is kind), None)
