"""What commands share when they print: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from deephash.reports.report import EvaluationReport


def print_json(record: Any) -> None:
    """Print one JSON object on one line of stdout; NumPy values and paths become plain ones."""
    print(json.dumps(record, default=_plain, ensure_ascii=False))


def note(message: str) -> None:
    """Print a remark on stderr, unless ``--quiet``."""
    if os.environ.get("DEEPHASH_QUIET") != "1":
        print(message, file=sys.stderr)


def show_report(report: EvaluationReport, folder: Path, files: Iterable[Path], *, as_json: bool) -> None:
    """Print a report as a table or as one JSON object, and say which files of it were saved in ``folder``."""
    from deephash.reports.report_json import report_to_data

    if as_json:
        print_json(report_to_data(report))
    else:
        report.print_table()
    note(f"saved {folder}: {', '.join(path.name for path in files)}")


def table(rows: Iterable[Sequence[Any]], header: Sequence[str]) -> str:
    """Return aligned columns: text to the left, numbers to the right."""
    cells = [[str(cell) for cell in header], *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    numeric = [all(_is_number(row[column]) for row in cells[1:]) and len(cells) > 1 for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(row, widths, numeric)
        ).rstrip()
        for row in cells
    )


def wants_colour() -> bool:
    """Say whether stdout is a terminal that may show colour (``NO_COLOR`` switches it off)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    try:
        float(text.split()[0].replace(",", "").rstrip("%"))
    except (ValueError, IndexError):
        return False
    return True


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return str(value)
