"""Published figures on PCN's test split, in the layout of Table 1 of the paper.

The paper is Lin et al., "Loss Distillation via Gradient Matching for Point Cloud Completion with Weighted Chamfer
Distance" (IROS 2024, arXiv 2409.06171). Its table could not be read, and nothing here is from it: the rows are those
of the networks it compares, trained with their authors' own losses, each as another publication prints it. Its rows of
HyperCD and of the weighted Chamfer distances, and all of PointAttN's, are therefore not here.
"""

import csv
import io
import math
from typing import NamedTuple

from keras_wcd.evaluation import tables
from keras_wcd.evaluation.results import Evaluation
from keras_wcd.visual.tables import aligned, number

HYPER2 = "README of github.com/Ethan-Zheng136/Hyper-2 at 6afcecad22ff"
POINTR = "Table 3 of PoinTr (arXiv 2108.08839) as a public reading note copies it"
SNOWFLAKE = "Table 1 of SnowflakeNet (arXiv 2108.04444) as a public reading note copies it"


class PaperRow(NamedTuple):
    """CD-L1 x 1000 of one network on PCN's test split.

    Attributes:
        backbone: Key of the network in `BACKBONES`.
        method: Its name in the tables.
        loss: What it was trained with: "own" is its authors' loss.
        average: Mean over the categories as printed.
        figures: Plane, Cabinet, Car, Chair, Lamp, Couch, Table, Boat.
        source: Where the row was read; several places agree to the digit.
        remark: What to mind about it.
    """

    backbone: str
    method: str
    loss: str
    average: float
    figures: tuple[float, ...]
    source: str
    remark: str = ""


def _row(backbone: str, method: str, average: float, figures: str, *source: str, remark: str = "") -> PaperRow:
    return PaperRow(backbone, method, "own", average, tuple(map(float, figures.split())), "; ".join(source), remark)


_NOTES = "read in reading notes alone; their other rows agree with the other source"
_MISPRINT = "the categories' mean is 11.27, not 9.64: one of them is misprinted wherever it was found"

PAPER_ROWS = (
    _row(
        "foldingnet",
        "FoldingNet",
        14.31,
        "9.49 15.80 12.61 15.55 16.41 15.97 13.65 14.99",
        POINTR,
        SNOWFLAKE,
        remark=_NOTES,
    ),
    _row("topnet", "TopNet", 12.15, "7.61 13.31 10.90 13.82 14.44 14.78 11.22 11.12", POINTR, remark=_NOTES),
    _row("atlasnet", "AtlasNet", 10.85, "6.37 11.94 10.10 12.06 12.37 12.99 10.33 10.61", SNOWFLAKE, remark=_NOTES),
    _row(
        *("pcn", "PCN", 9.64, "5.50 22.70 10.63 8.70 11.00 11.34 11.68 8.59", HYPER2, POINTR, SNOWFLAKE),
        remark=_MISPRINT,
    ),
    _row("grnet", "GRNet", 8.83, "6.45 10.37 9.45 9.41 7.96 10.51 8.44 8.04", HYPER2, POINTR, SNOWFLAKE),
    _row("pmpnet", "PMP-Net", 8.73, "5.65 11.24 9.64 9.51 6.95 10.83 8.72 7.25", POINTR, remark=_NOTES),
    _row("crn", "CRN", 8.51, "4.79 9.97 8.31 9.49 8.94 10.69 7.81 8.05", HYPER2, POINTR, SNOWFLAKE),
    _row("pointr", "PoinTr", 8.38, "4.75 10.47 8.68 9.39 7.75 10.93 7.78 7.29", HYPER2, POINTR),
    _row("nsfa", "NSFA", 8.06, "4.76 10.18 8.63 8.53 7.03 10.53 7.35 7.48", HYPER2, SNOWFLAKE),
    _row("snowflakenet", "SnowflakeNet", 7.21, "4.29 9.16 8.08 7.89 6.07 9.23 6.55 6.40", HYPER2, SNOWFLAKE),
    _row("fbnet", "FBNet", 6.94, "3.99 9.05 7.90 7.38 5.82 8.85 6.35 6.18", HYPER2),
    _row("seedformer", "SeedFormer", 6.74, "3.85 9.05 8.06 7.06 5.21 8.85 6.05 5.85", HYPER2),
)


def paper_rows(backbone: str | None = None) -> tuple[PaperRow, ...]:
    """The rows of one network by its key in `BACKBONES`; all of them where it has none, or for None."""
    own = tuple(row for row in PAPER_ROWS if row.backbone == backbone)
    return own or PAPER_ROWS


def paper_table(evaluation: Evaluation | None = None, backbone: str | None = None) -> str:
    """Published rows as text, those of an evaluation and of its baselines below them.

    Args:
        evaluation: Of the eight categories, with CD-L1; the figures compare on PCN's test split alone.
        backbone: As in `paper_rows`.
    """
    body = [_cells(row.method, row.average, row.figures) for row in paper_rows(backbone)]
    for method in (evaluation, *evaluation.baselines) if evaluation else ():
        means = {tables.heading(name): value for name, value in method.per_category("cd_l1").items()}
        figures = [means.get(name, math.nan) for name in tables.EIGHT]
        body.append(_cells(f"{method.model} (measured)", method.class_mean("cd_l1"), figures))
    return aligned([tables.TITLES["cd_l1"], "Average", *tables.EIGHT], body)


def to_csv() -> str:
    """All rows as the text of a CSV file, each with its source."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["backbone", "method", "loss", "average", *map(str.lower, tables.EIGHT), "source", "remark"])
    for row in PAPER_ROWS:
        figures = [f"{value:.2f}" for value in (row.average, *row.figures)]
        writer.writerow([row.backbone, row.method, row.loss, *figures, row.source, row.remark])
    return text.getvalue()


def _cells(method: str, average: float, figures) -> list[str]:
    return [method, *(number(value, 2) for value in (average, *figures))]
