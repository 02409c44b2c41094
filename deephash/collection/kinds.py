"""What the cells of a column mean: yes/no, integer, number, time or text; and whether a value fits another kind."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from deephash.collection.filters import moment
from deephash.collection.tables import LABELS, NAME
from deephash.collection.tables import TEXT as TABLE_TEXT
from deephash.errors import UsageError, did_you_mean

TEXT = "text"
ALWAYS_TEXT = (*LABELS, *NAME, *TABLE_TEXT)  # words, whatever they look like

_DECIMAL = re.compile(r"[+-]?(?!0\d)(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def _yes_no(cell: str) -> bool:
    if cell.lower() not in ("true", "false", "yes", "no"):
        raise ValueError(cell)
    return cell.lower() in ("true", "yes")


def _integer(cell: str) -> int:
    if cell != str(int(cell)) or not -(2**63) <= int(cell) < 2**63:
        raise ValueError(cell)  # 007 is a name, not a number
    return int(cell)


def _number(cell: str) -> float:
    if cell.lstrip("+-").isdigit():
        whole = _integer(cell)  # 007 and +49 are names
        if abs(whole) > 2**53:
            raise ValueError(cell)  # digits would be lost
    elif not _DECIMAL.fullmatch(cell) or not math.isfinite(float(cell)):
        raise ValueError(cell)
    return float(cell)


def _time(cell: str) -> datetime:
    if "-" not in cell[1:]:
        raise ValueError(cell)
    return moment(cell)


READERS: Mapping[str, Callable[[str], Any]] = {
    "yes/no": _yes_no,
    "integer": _integer,
    "number": _number,
    "time": _time,
    TEXT: str,
}
# An existing column of the first kind can become one of the second, and no value changes: 7 is "7", but 1.1 may have
# been 1.10, and True may have been yes.
WIDENS = {("integer", "number"), ("integer", TEXT)}


def guess_kind(name: str, cells: Iterable[str]) -> str:
    """Return the first kind that all cells allow; empty ones allow any. Labels and names are text."""
    present = [cell.strip() for cell in cells if cell.strip()]
    if name.lower() in ALWAYS_TEXT or not present:
        return TEXT
    return next(kind for kind in READERS if first_misfit(kind, present) is None)


def first_misfit(kind: str, cells: Iterable[str]) -> str | None:
    """Return the first cell that is not of this kind, or None."""
    for cell in cells:
        try:
            read_cell(kind, cell)
        except ValueError:
            return cell
    return None


def read_cell(kind: str, cell: str) -> Any:
    """Return the value of a cell, None for an empty one; text is kept byte for byte. Raises ValueError."""
    if kind == TEXT:
        return cell or None
    return READERS[kind](cell.strip()) if cell.strip() else None


def check_kind(kind: str) -> str:
    """Return ``kind``. Raises UsageError for a word that is none."""
    if kind not in READERS:
        raise UsageError(
            f"a column holds text, integer, number, yes/no or time, not {kind!r}" + did_you_mean(kind, list(READERS))
        )
    return kind
