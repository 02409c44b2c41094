"""Filters made from what a collection knows about its items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deephash.collection import Collection
from deephash.collection.filters import Filter

MOST_VALUES = 60  # more different values than this are no choice but a search
SLOTS = 3
RANGED = ("integer", "number", "time")


@dataclass(frozen=True)
class Choice:
    """A text attribute with few values."""

    attribute: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Span:
    """A number or time attribute and its smallest and largest value."""

    attribute: str
    smallest: Any
    largest: Any


def offered(collection: Collection) -> tuple[list[Choice], list[Span]]:
    """Return what can be chosen from (at most ``SLOTS`` text attributes) and what has a range."""
    kinds = {name: kind for name, kind in collection.attribute_kinds.items() if name != "uri"}
    table = collection.table([name for name, kind in kinds.items() if kind == "text" or kind in RANGED])
    choices, spans = [], []
    for name, kind in kinds.items():
        if name not in table.column_names:
            continue
        values = table.column(name).drop_null().unique().to_pylist()
        if kind == "text" and 2 <= len(values) <= MOST_VALUES:
            choices.append(Choice(name, tuple(sorted(values))))
        elif kind in RANGED and len(values) > 1:
            spans.append(Span(name, min(values), max(values)))
    repeated = {choice.values for choice in choices if choice.attribute == "label"}
    kept = [choice for choice in choices if choice.attribute == "label" or choice.values not in repeated]
    return sorted(kept, key=lambda choice: choice.attribute != "label")[:SLOTS], spans


def combined(choices: Sequence[tuple[str, Sequence[str]]], span: str, low: str, high: str, words: str) -> Filter | None:
    """Join the chosen values, one range and a typed filter; None where nothing is asked.

    Args:
        choices: (attribute, wanted values); no value wants all.
        span: attribute of the range, or empty.
        low: smallest value as typed, or empty.
        high: largest value as typed, or empty.
        words: a filter as typed.

    Raises:
        UsageError: a value or filter that cannot be read.
    """
    parts = [Filter.of({attribute: list(wanted)}) for attribute, wanted in choices if wanted]
    for operation, typed in ((">=", low), ("<=", high)):
        if span and typed.strip():
            parts.append(Filter.of(f"{span} {operation} {_quoted(typed.strip())}"))
    if words.strip():
        parts.append(Filter.of(words))
    return Filter("and", tuple(parts)) if parts else None


def shown(value: Any) -> str:
    """Return a value as it is typed: times as dates, large numbers without an exponent."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if any(letter in value for letter in " \"'()=<>~!,") else value
