"""The hardest queries of a report, each beside its nearest answers: what was taken for what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TypeAlias

from deephash.reports.record import HardQuery
from deephash.reports.report import EvaluationReport

from .doors import door, path_html
from .results import counted

HARDEST = 12
ANSWERS = 6  # of each
Known: TypeAlias = Mapping[str, tuple[str, int]]
Find: TypeAlias = Callable[[Sequence[str]], Known]


def hardest_html(report: EvaluationReport, find: Find) -> str:
    """Return the queries, and their answers where a collection at hand has the pictures; nothing where none is told."""
    hardest = report.hardest[:HARDEST]
    if not hardest:
        return ""
    names = [name for query in hardest for name in (query.name, *query.nearest[:ANSWERS]) if name]
    known = find(list(dict.fromkeys(names)))
    seen = [any(name in known for name in query.nearest[:ANSWERS]) for query in hardest]
    if not any(seen):
        cards = "".join(_query(query, known) for query in hardest)
        return f'<section><h3>Hardest queries</h3><div class="dh-grid dh-small" role="list">{cards}</div></section>'
    rows = "".join(_row(query, known) for query in hardest)
    return (
        '<section><h3>Hardest queries</h3><p class="dh-legend">Left the query with its value, then its answers: '
        f'<b class="dh-right">✓</b> right, <b class="dh-wrong">✗</b> wrong, bits between.</p>{rows}</section>'
    )


def _row(query: HardQuery, known: Known) -> str:
    answers = list(zip(query.nearest, query.distances, query.relevant))[:ANSWERS]
    cards = "".join(_answer(*answer, known) for answer in answers)
    title = escape(query.name or f"query {query.row}", quote=True)
    return (
        f'<div class="dh-hard"><div role="list" aria-label="Query">{_query(query, known)}</div>'
        f'<div class="dh-grid dh-small" role="list" aria-label="Nearest to {title}">{cards}</div></div>'
    )


def _query(query: HardQuery, known: Known) -> str:
    name = query.name or f"query {query.row}"
    labels = escape(", ".join(query.labels))
    under = (
        f'<span class="dh-facts"><b>{query.value:.3f}</b></span>{path_html(name)}<span class="dh-note">{labels}</span>'
    )
    return _card(name, known, label=f"{name}, value {query.value:.3f}", under=under)


def _answer(name: str, distance: int, right: bool, known: Known) -> str:
    sign, word = ("✓", "right") if right else ("✗", "wrong")
    bits = counted(int(distance), "bit")
    under = (
        f'<span class="dh-facts"><b class="dh-{word}" title="{word}">{sign}</b><small>{bits}</small></span>'
        f"{path_html(name)}"
    )
    return _card(name, known, label=f"{name}, {word}, {bits}", under=under, said=f"{word}, {bits} from the query")


def _card(name: str, known: Known, *, label: str, under: str, said: str = "") -> str:
    """Return a picture that leads to a search, or the name where there is no picture."""
    if name in known:
        return door(*known[name], name, label=label, under=under, said=said)
    title, spoken = escape(name), escape(label, quote=True)
    return (
        f'<div class="dh-card" role="listitem"><div class="dh-nopicture" role="img" '
        f'aria-label="{spoken}: no picture here">{title}</div>{under}</div>'
    )
