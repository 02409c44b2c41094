"""What shards say of pictures, made to fit the columns of a collection: nothing in a shard stops an update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from deephash.collection import Collection
from deephash.collection.kinds import WIDENS
from deephash.collection.schema import FILE_ATTRIBUTES, names_in

MOST_COLUMNS = 128  # of attributes; what shards name beyond them is left out
_KINDS = {bool: "yes/no", int: "integer", float: "number", str: "text", datetime: "time"}


def fit_extras(collection: Collection, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with values that their columns take; a column of integers is widened where others come.

    What does not fit a column is left out of its row; whole columns are left out beyond ``MOST_COLUMNS``, and under
    names that columns of codes have.
    """
    kinds = dict(collection.attribute_kinds)
    taken = set(collection.column_names) - set(kinds)
    chosen: dict[str, str] = {}
    for name in names_in(rows):
        if name in taken or (name not in kinds and len(kinds) >= MOST_COLUMNS):
            continue
        kind = _target(collection, name, kinds.get(name), _common(rows, name))
        if kind is not None:
            chosen[name] = kinds[name] = kind
    return [_fitted(row, chosen) for row in rows]


def _common(rows: Sequence[Mapping[str, Any]], name: str) -> str | None:
    """Return the one kind that all values of a column can have; text where they are of several."""
    found = {_KINDS[type(value)] for row in rows if (value := row.get(name)) is not None}
    if found == {"integer", "number"}:
        return "number"
    return "text" if len(found) > 1 else next(iter(found), None)


def _target(collection: Collection, name: str, held: str | None, wanted: str | None) -> str | None:
    if held is None or wanted is None or held == wanted:
        return held or wanted
    if (held, wanted) in WIDENS and name not in FILE_ATTRIBUTES:
        collection.widen(name, wanted)
        return wanted
    return held


def _fitted(row: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    found = {name: _as_kind(row[name], kind) for name, kind in kinds.items() if row.get(name) is not None}
    return {name: value for name, value in found.items() if value is not None}


def _as_kind(value: Any, kind: str) -> Any:
    if _KINDS[type(value)] == kind:
        return value
    if kind == "text":
        return value.isoformat() if isinstance(value, datetime) else str(value)
    return float(value) if kind == "number" and type(value) is int else None
