"""A filter as people type it, so that it can stand in an address and in the box for filters."""

from __future__ import annotations

from datetime import date
from typing import Any

from deephash.collection.filters import Condition, Filter
from deephash.collection.parser import as_filter

SYMBOLS = {"eq": "=", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "glob": "~", "contains": "contains"}


def in_words(where: Any) -> str:
    """Return a filter, or words, as words that :func:`~deephash.collection.parser.parse_where` reads back."""
    return where if isinstance(where, str) else _said(as_filter(where))


def _said(part: Filter | Condition) -> str:
    if isinstance(part, Condition):
        return _condition(part)
    if part.joint == "not":
        return f"not ({_said(part.parts[0])})"
    parts = [one for one in part.parts if isinstance(one, Condition) or one.parts]
    said = [_said(one) for one in parts]
    if len(said) == 1:
        return said[0]
    alike = [isinstance(one, Condition) or one.joint in ("not", part.joint) or len(one.parts) == 1 for one in parts]
    return f" {part.joint} ".join(one if plain else f"({one})" for one, plain in zip(said, alike))


def _condition(condition: Condition) -> str:
    name = condition.column
    if condition.operation == "exists":
        return f"{name} {'exists' if condition.value else 'missing'}"
    if condition.operation == "in":
        return f"{name} in ({', '.join(map(_value, condition.value))})"
    return f"{name} {SYMBOLS[condition.operation]} {_value(condition.value)}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, date):
        return value.isoformat()
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
