"""HTML of the filters: chips with counts, sliders and dates with the real bounds; and of what cards can show."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from html import escape

from .filters import FIRST_SPANS, Choice, Offers, Span
from .pageoptions import PATH
from .picks import Bound, Picks
from .plainnames import in_bytes, plain_name, unit_of

FIRST_VALUES = 12  # of a choice; the rarer ones are folded away
STEPS = 200  # of a slider, whose ends are the smallest and the largest value


def filters_html(offers: Offers, picks: Picks) -> str:
    """Return a group of controls for each attribute that can be filtered by; empty where there is none."""
    choices = "".join(_choice(choice, picks.choices.get(choice.attribute, ())) for choice in offers.choices)
    spans = [_span(span, picks.ranges.get(span.attribute, (None, None))) for span in offers.spans]
    asked = any(span.attribute in picks.ranges for span in offers.spans[FIRST_SPANS:])
    more = _folded(spans[FIRST_SPANS:], "More ranges", opened=asked)
    clear = '<button class="dh-clear-picks">Clear filters</button>'
    found = f"{choices}{''.join(spans[:FIRST_SPANS])}{more}"
    return f'<div class="dh-filters" aria-label="Filters" role="group">{found}{clear}</div>' if found else ""


def cards_html(offers: Offers, cards: tuple[str, ...] | None) -> str:
    """Return chips by which a visitor chooses what stands under each picture."""
    chosen = [name for name in cards or () if name in (PATH, *offers.attributes)]
    names = dict.fromkeys([*chosen, PATH, *offers.attributes])
    chips = "".join(_card_chip(name, name in chosen) for name in names)
    return (
        '<fieldset class="dh-choice dh-shows"><legend>Under each picture</legend>'
        f'<div class="dh-values">{chips}</div></fieldset>'
    )


def _card_chip(name: str, chosen: bool) -> str:
    pressed = "true" if chosen else "false"
    return (
        f'<button data-show="{escape(name, quote=True)}" aria-pressed="{pressed}">{escape(plain_name(name))}</button>'
    )


def _choice(choice: Choice, wanted: Sequence[str]) -> str:
    chips = [_value(value, count, value in wanted) for value, count in choice.values]
    asked = any(value in wanted for value, _ in choice.values[FIRST_VALUES:])
    rest = _folded(chips[FIRST_VALUES:], f"{len(chips) - FIRST_VALUES} more", opened=asked)
    return (
        f'<fieldset class="dh-choice" data-attribute="{escape(choice.attribute, quote=True)}">'
        f"<legend>{escape(plain_name(choice.attribute))}</legend>"
        f'<div class="dh-values">{"".join(chips[:FIRST_VALUES])}</div>{rest}</fieldset>'
    )


def _value(value: str, count: int, pressed: bool) -> str:
    said, name = ("true" if pressed else "false"), escape(value, quote=True)
    return (
        f'<button data-value="{name}" aria-pressed="{said}" title="{name}"><span>{name or "(none)"}</span>'
        f"<small>{count:,}</small></button>"
    )


def _folded(parts: Sequence[str], title: str, *, opened: bool) -> str:
    if not parts:
        return ""
    return (
        f'<details{" open" * opened}><summary>{title}</summary><div class="dh-values">{"".join(parts)}</div></details>'
    )


def _span(span: Span, bounds: tuple[Bound, Bound]) -> str:
    name, title = escape(span.attribute, quote=True), escape(plain_name(span.attribute))
    if isinstance(span.largest, datetime):
        return _days(name, title, span, bounds)
    low, high = (repr(bound) if bound is not None else "" for bound in bounds)
    unit = unit_of(span.attribute)
    whole = " data-whole" * isinstance(span.largest, int)
    ends = "".join(
        f'<input type="range" min="0" max="{STEPS}" value="{value}" aria-label="{title} {word}">'
        for value, word in ((0, "from"), (STEPS, "to"))
    )
    said = f"{_said(span.smallest, unit)} – {_said(span.largest, unit)}"
    return (
        f'<fieldset class="dh-span" data-attribute="{name}" data-smallest="{span.smallest!r}" '
        f'data-largest="{span.largest!r}" data-unit="{unit}" data-low="{low}" data-high="{high}"{whole}>'
        f'<legend>{title} <output>{said}</output></legend><div class="dh-dual"><i></i>{ends}</div></fieldset>'
    )


def _days(name: str, title: str, span: Span, bounds: tuple[Bound, Bound]) -> str:
    ends = span.smallest.date().isoformat(), span.largest.date().isoformat()
    values = (bound.isoformat() if isinstance(bound, date) else end for bound, end in zip(bounds, ends))
    inputs = "<span>–</span>".join(
        f'<input type="date" min="{ends[0]}" max="{ends[1]}" value="{value}" data-end="{end}" '
        f'aria-label="{title} {word}">'
        for value, end, word in zip(values, ends, ("from", "to"))
    )
    return (
        f'<fieldset class="dh-span dh-days" data-attribute="{name}"><legend>{title}</legend>'
        f"<div>{inputs}</div></fieldset>"
    )


def _said(value: float, unit: str) -> str:
    if unit == "bytes":
        return in_bytes(value)
    return f"{value:,}{' px' * (unit == 'pixels')}" if isinstance(value, int) else f"{value:,.4g}"
