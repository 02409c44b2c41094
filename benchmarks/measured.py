"""Put a measured table into a page, between its two markers, so that nobody types figures."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

BEGIN, END = "<!-- measured: written by the command above, not by hand -->", "<!-- end of measured -->"


def keep_quiet() -> None:
    """Silence what Lightning says about every run, and hints that a table of all variants answers."""
    for name in ("lightning.pytorch", "deephash.models.centring"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for remark in (".*many workers.*", ".*LeafSpec.*"):
        warnings.filterwarnings("ignore", message=remark)


def write_measured(page: Path, text: str) -> None:
    """Replace what stands between the markers of ``page``. Raises ValueError where they are missing."""
    before, begin, rest = page.read_text(encoding="utf8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} needs the lines {BEGIN!r} and {END!r}")
    page.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}", encoding="utf8")


def spread(values: Sequence[float], wanted: int) -> str:
    """Return ``mean ± standard deviation`` of the runs there are, and how many where some are missing."""
    if not values:
        return "–"
    missing = f" ({len(values)} of {wanted})" if len(values) < wanted else ""
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "") + missing
