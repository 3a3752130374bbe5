"""What the tables of the field call categories and scores, and in which order they print them."""

from collections.abc import Sequence

EIGHT = ("Plane", "Cabinet", "Car", "Chair", "Lamp", "Couch", "Table", "Boat")
"""The columns of the tables on PCN's data, after the average."""
HEADINGS = {"airplane": "Plane", "sofa": "Couch", "watercraft": "Boat"}
WIDEST = 16
"""More categories than this are left to the CSV file."""
TITLES = {
    "cd_l1": "CD-L1 x 1000",
    "cd_l2": "CD-L2 x 1000",
    "f_score": "F-score @ 1 %",
    "dcd": "DCD",
    "emd": "EMD",
    "hausdorff": "Hausdorff",
    "fidelity": "Fidelity",
    "mmd": "MMD",
    "consistency": "Consistency",
}
DIGITS = {"cd_l1": 2, "cd_l2": 3, "f_score": 3}
SWEEPS = ("fidelity", "mmd", "consistency")
"""The scores of scans without ground truth, in the order of the tables."""


def heading(category: str) -> str:
    """The name of a category as tables print it."""
    return HEADINGS.get(category, category[:1].upper() + category[1:])


def ordered(categories: Sequence[str]) -> tuple[str, ...]:
    """Categories in the order of Table 1 where they are its eight, else as they stand."""
    by_heading = {heading(category): category for category in categories}
    if set(by_heading) == set(EIGHT):
        return tuple(by_heading[name] for name in EIGHT)
    return tuple(categories)
