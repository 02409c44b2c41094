"""Filters made from what a collection knows about its items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from deephash.collection import Collection
from deephash.collection.filters import Filter
from deephash.collection.parser import as_filter
from deephash.collection.schema import is_derived

MOST_VALUES = 60  # more different values than this are no choice but a search
SLOTS = 3
RANGES = 2  # at first a date and the size, where the collection has them
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


@dataclass(frozen=True)
class Range:
    """A range as typed: an attribute, or empty, and two bounds, each of which may be empty."""

    attribute: str
    low: str
    high: str


def offered(collection: Collection) -> tuple[list[Choice], list[Span]]:
    """Return what can be chosen from (at most ``SLOTS`` text attributes) and what has a range."""
    known = collection.attribute_kinds.items()
    kinds = {name: kind for name, kind in known if name != "uri" and not is_derived(name)}
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


def first_spans(spans: Sequence[Span]) -> list[str]:
    """Return which ``RANGES`` attributes are offered first: when pictures were taken, else changed; and their size."""
    names = [span.attribute for span in spans]
    times = [span.attribute for span in spans if isinstance(span.largest, datetime)]
    chosen = [name for name in ("taken", *times) if name in times][:1] + [name for name in ("size",) if name in names]
    return (chosen + [""] * RANGES)[:RANGES]


def combined(choices: Sequence[tuple[str, Sequence[str]]], ranges: Sequence[Range], words: str) -> Filter | None:
    """Join the chosen values, the ranges and a typed filter; None where nothing is asked.

    Args:
        choices: (attribute, wanted values); no value wants all.
        ranges: both bounds belong to the range; a date as upper bound means the whole day.
        words: a filter as typed.

    Raises:
        UsageError: a value or filter that cannot be read.
    """
    parts = [as_filter({attribute: list(wanted)}) for attribute, wanted in choices if wanted]
    for one in ranges:
        low, high = one.low.strip(), one.high.strip()
        if one.attribute and low:
            parts.append(as_filter(f"{one.attribute} >= {_quoted(low)}"))
        if one.attribute and high:
            parts.append(as_filter(f"{one.attribute} {_up_to(high)}"))
    if words.strip():
        parts.append(as_filter(words))
    return Filter("and", tuple(parts)) if parts else None


def _up_to(high: str) -> str:
    try:
        day = date.fromisoformat(high)
    except ValueError:
        return f"<= {_quoted(high)}"
    return f"< {(day + timedelta(days=1)).isoformat()}" if "-" in high else f"<= {high}"


def shown(value: Any) -> str:
    """Return a value as it is typed: times as dates, large numbers without an exponent."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if any(letter in value for letter in " \"'()=<>~!,") else value
