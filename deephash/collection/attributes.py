"""User columns from a CSV file: one line a picture, a ``path`` column, anything else an attribute."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from deephash.collection.collection import Collection
from deephash.collection.filters import moment
from deephash.collection.schema import check_name, first_twice
from deephash.errors import DataError, UsageError

_PATH_NAMES = ("path", "uri", "file", "filename")


@dataclass(frozen=True)
class AppliedAttributes:
    """What became of a CSV.

    Attributes:
        updated: rows that changed.
        matched: lines whose picture is in the collection.
        unmatched: paths that are not.
    """

    updated: int
    matched: int
    unmatched: list[str]


def read_attributes(file: str | Path) -> dict[str, dict[str, Any]]:
    """Return {path: {attribute: value}}; each column is yes/no, integer, number, time or text, as all its values allow.

    An empty cell is None. Tabs or semicolons are accepted as separators.

    Raises:
        DataError: the file is missing or not UTF-8.
        UsageError: no path column, a name that cannot name a column, a path twice, or a line of another length.
    """
    path = Path(file)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}") from None
    first = text.split("\n", 1)[0]
    separator = max(",\t;", key=first.count)
    lines = [line for line in csv.reader(text.splitlines(), delimiter=separator) if line]
    if not lines:
        raise UsageError(f"{path} is empty; its first line names the columns: path,label,...")
    header = [name.strip() for name in lines[0]]
    place = next((header.index(name) for name in _PATH_NAMES if name in header), None)
    if place is None:
        raise UsageError(f"{path} has no column 'path' (its first line is {first.strip()!r:.80})")
    names = [name for column, name in enumerate(header) if column != place]
    for name in names:
        check_name(name)
    if len(set(names)) != len(names):
        raise UsageError(f"{path} names the column {first_twice(names)!r} twice")
    return _typed(path, header, place, lines[1:])


def apply_attributes(collection: Collection, table: Mapping[str, Mapping[str, Any]]) -> AppliedAttributes:
    """Set the attributes of those rows whose uri is in ``table``, in one commit; rows that have them stay untouched."""
    found = collection.find(list(table))
    items = collection.items(list(found.values()))
    changed = [
        item for item in items if any(item.attributes.get(name) != value for name, value in table[item.uri].items())
    ]
    if changed:
        collection.update([item.id for item in changed], [table[item.uri] for item in changed])
    return AppliedAttributes(len(changed), len(found), [path for path in table if path not in found])


def _typed(path: Path, header: Sequence[str], place: int, lines: Sequence[Sequence[str]]) -> dict[str, dict[str, Any]]:
    for number, line in enumerate(lines, 2):
        if len(line) != len(header):
            raise UsageError(
                f"{path}, line {number}: {len(line)} cells where the first line names {len(header)} columns"
            )
    paths = [line[place].strip().replace("\\", "/").removeprefix("./") for line in lines]
    if len(set(paths)) != len(paths):
        raise UsageError(f"{path} names {first_twice(paths)!r} more than once")
    columns = {name: _column([line[at].strip() for line in lines]) for at, name in enumerate(header) if at != place}
    return {name: {column: values[row] for column, values in columns.items()} for row, name in enumerate(paths)}


def _column(cells: Sequence[str]) -> list[Any]:
    present = [cell for cell in cells if cell]
    for read in _READERS:
        try:
            for cell in present:
                read(cell)
        except ValueError:
            continue
        return [read(cell) if cell else None for cell in cells]
    return [cell or None for cell in cells]


def _yes_no(cell: str) -> bool:
    if cell.lower() not in ("true", "false", "yes", "no"):
        raise ValueError(cell)
    return cell.lower() in ("true", "yes")


def _integer(cell: str) -> int:
    if cell != str(int(cell)) or not -(2**63) <= int(cell) < 2**63:
        raise ValueError(cell)  # 007 is a name, not a number
    return int(cell)


def _number(cell: str) -> float:
    digits = cell.lstrip("+-")
    if (not cell[-1].isdigit() and cell[-1] != ".") or (digits[:1] == "0" and digits[1:2].isdigit()):
        raise ValueError(cell)  # nan, inf, 007
    return float(cell)


def _time(cell: str) -> datetime:
    if "-" not in cell[1:]:
        raise ValueError(cell)
    return moment(cell)


_READERS: tuple[Callable[[str], Any], ...] = (_yes_no, _integer, _number, _time)
