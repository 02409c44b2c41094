"""What every ``results_*`` shares: its arguments, taking up where it stopped, and the page that its table goes into."""

from __future__ import annotations

import argparse
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

Row = dict[str, Any]

BEGIN, END = "<!-- measured: written by the command above, not by hand -->", "<!-- end of measured -->"


def keep_quiet() -> None:
    """Silence what Lightning says about every run, and hints that a table of all variants answers."""
    for name in ("lightning.pytorch", "deephash.models.centring"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for remark in (".*many workers.*", ".*LeafSpec.*"):
        warnings.filterwarnings("ignore", message=remark)


def arguments_of(doc: str | None, **required: str) -> argparse.ArgumentParser:
    """Return a parser of ``required`` (name -> help; names of paths), ``--out``, ``--seconds`` and ``--page``."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, says in required.items():
        parser.add_argument(f"--{name}", required=True, help=says)
    parser.add_argument("--out", type=Path, required=True, help="finished cells, one JSON object a line")
    parser.add_argument("--seconds", type=float, default=500, help="begin no cell after these")
    parser.add_argument("--page", type=Path, help="page whose measured part is replaced")
    return parser


def finished(
    options: argparse.Namespace, cells: Iterable[Mapping[str, Any]], measure: Callable[..., Row | list[Row]]
) -> list[Row]:
    """Measure the cells that ``--out`` lacks, for at most ``--seconds``, and return the rows of all.

    Args:
        options: parsed by :func:`arguments_of`.
        cells: what tells one cell from another, such as method, bits and seed, in the order of measuring.
        measure: takes a cell's values by name; returns its row, or several. Each is kept as soon as it is there.
    """
    keep_quiet()
    rows = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    lacking = [cell for cell in cells if not any(cell.items() <= row.items() for row in rows)]
    deadline = time.monotonic() + options.seconds
    with options.out.open("a") as out:
        for place, cell in enumerate(lacking):
            if time.monotonic() > deadline:
                print(f"{len(lacking) - place} cells are missing; give the command again", flush=True)
                break
            found = measure(**cell)
            fresh = [{**cell, **row} for row in (found if isinstance(found, list) else [found])]
            out.writelines(json.dumps(row) + "\n" for row in fresh)
            out.flush()
            rows += fresh
            print(", ".join(map(str, cell.values())), *_figures(fresh[-1]), flush=True)
    return rows


def _figures(row: Row) -> list[str]:
    return [f"{name} {row[name]:.4g}" for name in ("mAP", "seconds") if isinstance(row.get(name), float)]


def show(page: Path | None, text: str) -> None:
    """Print what was measured, and put it into the page if one is named."""
    print(f"\n{text}")
    if page is not None:
        write_measured(page, text)


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
