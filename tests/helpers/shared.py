"""Where the large recordings and the real clouds lie, beside a checkout; tests that need them skip without."""

from pathlib import Path

SHARED = Path(__file__).resolve().parents[3] / "shared"
DATA, ORACLES = SHARED / "data", SHARED / "oracles"
SMALL = Path(__file__).resolve().parent.parent / "fixtures" / "parity"


def recording(name: str) -> Path:
    """A recording of the official networks: the large one where it is there, else the small one that ships."""
    return ORACLES / name if (ORACLES / name).is_file() else SMALL / name
