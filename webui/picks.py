"""What a visitor picked among the offers of a collection: read from the page, from an address, and as a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from deephash.collection.filters import Condition, Filter
from deephash.collection.parser import as_filter
from deephash.errors import DeephashError, UsageError

from .filters import TAGS, Offers, Span
from .filterwords import in_words

Bound = float | date | None
LOWER, UPPER = ("gte",), ("lt", "lte")


@dataclass(frozen=True)
class Picks:
    """Values and ranges.

    Attributes:
        choices: {attribute: wanted values}; one that is absent wants all.
        ranges: {attribute: (low, high)}; both belong to the range, None is open, and a day is the whole day.
    """

    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[Bound, Bound]] = field(default_factory=dict)


def read_picks(sent: Any, offers: Offers) -> Picks:
    """Read what the page sent: ``{"choices": {name: [value]}, "ranges": {name: [low, high]}}``, bounds as text.

    Raises:
        UsageError: it is of another shape, or names what is not offered; anybody can send anything.
    """
    choices, ranges = _part(sent, "choices"), _part(sent, "ranges")
    for name, values in choices.items():
        choice = offers.choice(name)
        known = {value for value, _ in choice.values} if choice else set()
        if not isinstance(values, list) or not all(isinstance(value, str) and value in known for value in values):
            raise UsageError("that filter is no longer offered; the collection may have changed")
    read = {name: _bounds(offers.span(name), bounds) for name, bounds in ranges.items()}
    return Picks({name: values for name, values in choices.items() if values}, read)


def joined(picks: Picks, words: str) -> Filter | None:
    """Join picks and a typed filter; None where nothing is asked. Raises UsageError for words that cannot be read."""
    parts: list[Filter | Condition] = [_any_of(name, wanted) for name, wanted in picks.choices.items()]
    for name, (low, high) in picks.ranges.items():
        parts += [Condition(name, "gte", low)] if low is not None else []
        if isinstance(high, date):
            parts.append(Condition(name, "lt", high + timedelta(days=1)))
        elif high is not None:
            parts.append(Condition(name, "lte", high))
    if words.strip():
        parts.append(as_filter(words))
    return Filter("and", tuple(parts)) if parts else None


def _any_of(name: str, wanted: Sequence[str]) -> Filter:
    if name == TAGS:
        return Filter("or", tuple(Condition(name, "contains", tag) for tag in wanted))
    return as_filter({name: list(wanted)})


def taken_apart(words: str, offers: Offers) -> tuple[Picks, str]:
    """Return the picks that a filter in words amounts to, and the words that are left: so an address shows its chips.

    Words that cannot be read are left as they are: the search says what is wrong with them.
    """
    try:
        found = as_filter(words)
    except DeephashError:
        return Picks(), words
    choices: dict[str, Sequence[str]] = {}
    ranges: dict[str, tuple[Bound, Bound]] = {}
    left: list[Filter | Condition] = []
    for part in found.parts if found.joint == "and" else (found,):
        if not (_tagged(part, offers, choices) or _chosen(part, offers, choices) or _bounded(part, offers, ranges)):
            left.append(part)
    return Picks(choices, ranges), in_words(Filter("and", tuple(left))) if left else ""


def _tagged(part: Filter | Condition, offers: Offers, choices: dict[str, Sequence[str]]) -> bool:
    """Take tags of which one is wanted: ``tags contains "sea" or tags contains "sky"``."""
    wanted = [part] if isinstance(part, Condition) else part.parts if part.joint == "or" else []
    choice = offers.choice(TAGS)
    known = {value for value, _ in choice.values} if choice else set()
    tags = [
        one.value for one in wanted if isinstance(one, Condition) and (one.column, one.operation) == (TAGS, "contains")
    ]
    if TAGS in choices or not tags or len(tags) < len(wanted) or any(tag not in known for tag in tags):
        return False
    choices[TAGS] = tags
    return True


def _chosen(condition: Filter | Condition, offers: Offers, choices: dict[str, Sequence[str]]) -> bool:
    if not isinstance(condition, Condition):
        return False
    choice = offers.choice(condition.column)
    values = {"eq": [condition.value], "in": condition.value}.get(condition.operation)
    known = {value for value, _ in choice.values} if choice else set()
    if condition.column in choices or not values or any(value not in known for value in map(str, values)):
        return False
    choices[condition.column] = [str(value) for value in values]
    return True


def _bounded(condition: Filter | Condition, offers: Offers, ranges: dict[str, tuple[Bound, Bound]]) -> bool:
    if not isinstance(condition, Condition):
        return False
    span, value = offers.span(condition.column), condition.value
    if span is None or condition.operation not in (*LOWER, *UPPER):
        return False
    low, high = ranges.get(condition.column, (None, None))
    day = _day(value) if isinstance(span.largest, datetime) else None
    if day is not None and condition.operation != "lte":
        bound: Bound = day if condition.operation == "gte" else day - timedelta(days=1)
    elif day is None and isinstance(value, int | float) and condition.operation != "lt":
        bound = value
    else:
        return False
    if (low if condition.operation in LOWER else high) is not None:
        return False
    ranges[condition.column] = (bound, high) if condition.operation in LOWER else (low, bound)
    return True


def _part(sent: Any, name: str) -> dict[str, Any]:
    found = sent.get(name, {}) if isinstance(sent, dict) else None
    if not isinstance(found, dict):
        raise UsageError("the filter did not arrive as it was sent; pick it again")
    return found


def _bounds(span: Span | None, bounds: Any) -> tuple[Bound, Bound]:
    if span is None or not isinstance(bounds, list) or len(bounds) != 2:
        raise UsageError("that range is no longer offered; the collection may have changed")
    low, high = (_bound(span, str(bound)[:40]) if bound not in (None, "") else None for bound in bounds)
    return low, high


def _bound(span: Span, text: str) -> Bound:
    if isinstance(span.largest, datetime):
        day = _day(text)
        if day is None:
            raise UsageError(f"{text!r} is no date; write it like 2021-12-31")
        return day
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"{text!r} is no number") from None
    if value != value or abs(value) > 1e300:
        raise UsageError(f"{text!r} is no number")
    return int(value) if value.is_integer() and abs(value) < 2**63 else value


def _day(text: Any) -> date | None:
    if isinstance(text, datetime):
        return text.date() if text.time() == datetime.min.time() else None
    if isinstance(text, date):
        return text
    try:
        return date.fromisoformat(text) if isinstance(text, str) and "-" in text else None
    except ValueError:
        return None
