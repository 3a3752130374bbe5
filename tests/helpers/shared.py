"""Where the large recordings and the real clouds lie, beside a checkout; tests that need them skip without."""

from pathlib import Path

SHARED = Path(__file__).resolve().parents[3] / "shared"
DATA, ORACLES = SHARED / "data", SHARED / "oracles"
