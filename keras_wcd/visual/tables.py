"""Tables of text for a terminal."""

import math
from collections.abc import Collection, Sequence


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,)) -> str:
    """Columns under their headings, two blanks apart, without blanks at the ends of lines.

    Args:
        header: The headings.
        rows: Cells, as many in each row as headings.
        left: Columns whose cells stand to the left; those of all others stand to the right.

    Raises:
        ValueError: for a row of another length.
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"rows must have {len(header)} cells each, as many as the header, got {list(row)}")
    cells = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def number(value: float | None, digits: int = 3) -> str:
    """A figure with so many decimals; a dash where there is none, `nan` where it is not a number."""
    return "-" if value is None else "nan" if math.isnan(value) else f"{value:.{digits}f}"
