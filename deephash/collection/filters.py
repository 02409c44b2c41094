"""Filter: which rows are wanted, as data; its one translation into Lance's SQL.

Values never become SQL by pasting: each is checked against the kind of its column and written as a literal of that
kind, and a column must exist to be named. Nothing else in deephash builds a query string.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, TypeAlias

from deephash.collection.globs import glob_to_regex
from deephash.errors import UsageError, did_you_mean

OPERATIONS = ("eq", "ne", "in", "gt", "gte", "lt", "lte", "glob", "contains", "exists")
SYMBOLS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
OPPOSITE = {"eq": "<>", "gt": "<=", "gte": "<", "lt": ">=", "lte": ">"}
_MAX_DEPTH, _MAX_CONDITIONS = 20, 10_000
_PATH = "path"  # what people call the uri

Kinds: TypeAlias = Mapping[str, str]


@dataclass(frozen=True)
class Condition:
    """One comparison: ``column operation value``."""

    column: str
    operation: str
    value: Any


@dataclass(frozen=True)
class Filter:
    """Rows that pass ``parts`` joined by ``joint``: ``and``, ``or``, or ``not`` (of a single part).

    Written as data::

        {"label": "cat", "year": {"gte": 2019, "lt": 2022}, "path": {"glob": "2023/**"}}
        {"or": [{"label": ["cat", "dog"]}, {"not": {"taken": {"exists": True}}}]}

    A plain value means ``eq``, a list ``in``, None "has no value". A row without a value fails every comparison but
    ``ne``. ``path`` is the uri. ``contains`` ignores case; in a glob ``**`` crosses folders and ``*`` does not. An
    empty filter passes all rows.
    """

    joint: str = "and"
    parts: tuple[Filter | Condition, ...] = ()

    @classmethod
    def from_data(cls, where: Mapping[str, Any]) -> Filter:
        """Return the Filter that plain data describe."""
        return _from_data(where, 0)

    def to_data(self) -> dict[str, Any]:
        """Return plain data (JSON, apart from times) that :meth:`from_data` reads back."""
        parts = [part.to_data() if isinstance(part, Filter) else _as_data(part) for part in self.parts]
        return {"not": parts[0]} if self.joint == "not" else {self.joint: parts}

    def to_sql(self, kinds: Kinds) -> str | None:
        """Return Lance SQL, or None where every row passes.

        Args:
            kinds: {column: text, integer, number, yes/no or time}.

        Raises:
            UsageError: unknown column or operation, or a value that does not fit the column.
        """
        if self.joint == "and" and not self.parts:
            return None
        return _sql(self, kinds, positive=True)


Where: TypeAlias = Filter | Mapping[str, Any] | str


# Data to tree --------------------------------------------------------------------------------------


def _from_data(data: Any, depth: int) -> Filter:
    if not isinstance(data, Mapping):
        raise UsageError(f"a filter is a mapping like {{'label': 'cat'}}, not {type(data).__name__} {data!r:.60}")
    if depth > _MAX_DEPTH:
        raise UsageError(f"a filter nests at most {_MAX_DEPTH} levels deep")
    parts: list[Filter | Condition] = []
    for name, value in data.items():
        if name in ("and", "or"):
            if not isinstance(value, Sequence) or isinstance(value, str):
                raise UsageError(f"{name!r} takes a list of filters, not {value!r:.60}")
            parts.append(Filter(name, tuple(_part(part, depth + 1) for part in value)))
        elif name == "not":
            parts.append(Filter("not", (_part(value, depth + 1),)))
        else:
            parts += _conditions(name, value)
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Filter) else Filter("and", tuple(parts))


def _part(data: Any, depth: int) -> Filter | Condition:
    found = _from_data(data, depth)
    alone = found.parts[0] if len(found.parts) == 1 else None
    return alone if found.joint == "and" and isinstance(alone, Condition) else found


def _conditions(column: Any, value: Any) -> list[Condition]:
    if not isinstance(column, str):
        raise UsageError(f"a filter names columns by text, not {column!r}")
    if value is None:
        return [Condition(column, "exists", False)]
    if isinstance(value, Mapping):
        for operation in value:
            if operation not in OPERATIONS:
                raise UsageError(f"unknown operation {operation!r}" + did_you_mean(str(operation), list(OPERATIONS)))
        return [Condition(column, operation, operand) for operation, operand in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [Condition(column, "in", list(value))]
    return [Condition(column, "eq", value)]


def _as_data(condition: Condition) -> dict[str, Any]:
    return {condition.column: {condition.operation: condition.value}}


# Tree to SQL ---------------------------------------------------------------------------------------


def _sql(part: Filter | Condition, kinds: Kinds, *, positive: bool) -> str:
    """Return SQL that is true where ``part`` holds (or, not ``positive``, where it does not); never NULL."""
    if isinstance(part, Condition):
        return _condition_sql(part, kinds, positive)
    if part.joint == "not":
        return _sql(part.parts[0], kinds, positive=not positive)
    word = " AND " if (part.joint == "and") is positive else " OR "
    pieces = [_sql(inner, kinds, positive=positive) for inner in part.parts]
    if len(pieces) > _MAX_CONDITIONS:
        raise UsageError(f"a filter joins at most {_MAX_CONDITIONS:,} conditions")
    return f"({word.join(pieces)})" if pieces else ("true" if word == " AND " else "false")


def _condition_sql(condition: Condition, kinds: Kinds, positive: bool) -> str:
    name = "uri" if condition.column == _PATH and _PATH not in kinds else condition.column
    if name not in kinds:
        names = sorted([_PATH, *(known for known in kinds if known != "uri")])
        raise UsageError(f"no column {condition.column!r}" + did_you_mean(condition.column, names))
    column, kind, value = f"`{name}`", kinds[name], condition.value
    if condition.operation == "exists":
        if not isinstance(value, bool):
            raise UsageError(f"'exists' is true or false, not {value!r}")
        return f"{column} IS {'NOT ' if value is positive else ''}NULL"
    if condition.operation == "ne":
        return _condition_sql(Condition(name, "eq", value), kinds, not positive)
    if value is None:
        raise UsageError(f"{condition.column}: compare with a value; {{'exists': false}} finds rows without one")
    if condition.operation == "in":
        return _member_sql(condition, column, kind, positive)
    yes, no = _test_sql(condition, column, kind)
    return f"({column} IS NOT NULL AND {yes})" if positive else f"({column} IS NULL OR {no})"


def _member_sql(condition: Condition, column: str, kind: str, positive: bool) -> str:
    if isinstance(condition.value, (str, Mapping)) or not isinstance(condition.value, (Sequence, set, frozenset)):
        raise UsageError(f"'in' takes a list, not {condition.value!r:.60}")
    if len(condition.value) > _MAX_CONDITIONS:
        raise UsageError(f"'in' takes at most {_MAX_CONDITIONS:,} values, not {len(condition.value):,}")
    literals = [_literal(condition.column, kind, value) for value in condition.value if not _never_equal(kind, value)]
    if not literals:
        return "false" if positive else "true"
    listed = ", ".join(literals)
    if positive:
        return f"({column} IS NOT NULL AND {column} IN ({listed}))"
    return f"({column} IS NULL OR {column} NOT IN ({listed}))"


def _test_sql(condition: Condition, column: str, kind: str) -> tuple[str, str]:
    """Return SQL for a row that has a value: (the test holds, it does not hold)."""
    operation, value = condition.operation, condition.value
    if operation in ("glob", "contains"):
        if kind != "text" or not isinstance(value, str):
            raise UsageError(
                f"{operation!r} compares text with text; {condition.column!r} holds {kind}, given {value!r:.60}"
            )
        pattern = glob_to_regex(value) if operation == "glob" else None
        test = (
            f"regexp_like({column}, {_text(pattern)})"
            if pattern is not None
            else f"contains(lower({column}), {_text(value.lower())})"
        )
        return test, f"NOT {test}"
    if kind == "yes/no" and operation != "eq":
        raise UsageError(f"{condition.column!r} is yes or no; {operation!r} needs an order")
    if kind == "integer" and isinstance(value, float) and math.isfinite(value) and value != int(value):
        return _between_integers(column, operation, value)
    literal = _literal(condition.column, kind, value)
    return f"{column} {SYMBOLS[operation]} {literal}", f"{column} {OPPOSITE[operation]} {literal}"


def _between_integers(column: str, operation: str, value: float) -> tuple[str, str]:
    """Compare an integer column with a fraction, without rounding the column to a float."""
    if operation == "eq":
        return "false", "true"
    above, below = f"{column} >= {math.floor(value) + 1}", f"{column} <= {math.floor(value)}"
    return (above, below) if operation in ("gt", "gte") else (below, above)


def _never_equal(kind: str, value: Any) -> bool:
    return kind == "integer" and isinstance(value, float) and math.isfinite(value) and value != int(value)


def _literal(column: str, kind: str, value: Any) -> str:
    """Return ``value`` as an SQL literal of the column's kind. Raises UsageError where it does not fit."""
    if kind == "text" and isinstance(value, str):
        return _text(value)
    if kind == "yes/no" and isinstance(value, bool):
        return "true" if value else "false"
    if kind in ("integer", "number") and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number(column, kind, value)
    if kind == "time" and isinstance(value, (str, date)):
        return f"timestamp '{_moment(column, value).isoformat(sep=' ', timespec='microseconds')}'"
    wanted = {"text": "text in quotes", "yes/no": "true or false", "time": "a date like '2023-05-31'"}.get(
        kind, "a number"
    )
    raise UsageError(f"{column!r} holds {kind}; compare it with {wanted}, not {value!r:.60}")


def _number(column: str, kind: str, value: float) -> str:
    if not math.isfinite(value):
        raise UsageError(f"{column!r} can only be compared with finite numbers, not {value!r}")
    if kind == "integer":
        whole = int(value)
        if not -(2**63) <= whole < 2**63:
            raise UsageError(f"{value!r} is beyond 64-bit integers, which {column!r} holds")
        return str(whole) if whole > -(2**63) else f"CAST('{whole}' AS BIGINT)"  # its digits alone would overflow
    return f"CAST('{float(value)!r}' AS DOUBLE)"


def _text(value: str) -> str:
    """Quote a string; in Lance's SQL only the quote itself is special. Raises UsageError for broken Unicode."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"{value!r:.60} is not valid Unicode text") from None
    return "'" + value.replace("'", "''") + "'"


def moment(value: str | date) -> datetime:
    """Return a time as it is stored: UTC without a zone. Raises ValueError for text that is no time."""
    value = datetime.fromisoformat(value) if isinstance(value, str) else value
    at = value if isinstance(value, datetime) else datetime.combine(value, time())
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at


def _moment(column: str, value: str | date) -> datetime:
    try:
        return moment(value)
    except ValueError:
        raise UsageError(f"{column!r} holds times; write {value!r:.60} like 2023-05-31 or 2023-05-31T18:00") from None
