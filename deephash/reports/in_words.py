"""What an evaluation found, in one sentence for somebody who has never heard of mAP."""

from __future__ import annotations

from deephash.reports.record import Record

ANSWERS = 10  # as many as ``deephash search`` shows


def in_words(report: Record) -> str:
    """Return the sentence; empty where the report has no precision among the first ten, or fewer are searched."""
    ranks, precision = report.curves.get("rank", []), report.curves.get("precision_at_rank", [])
    figures = {each.metric: each.value for each in report.figures if each.protocol.relevance != "pairs"}
    right = figures.get(f"P@{ANSWERS}")
    if right is None or not ranks or not precision or ranks[-1] < ANSWERS:
        return ""
    chance = precision[-1]  # of the whole database: what a random order gives at any rank
    return f"of the first {ANSWERS} answers {_count(right)} are right; a random order gives {_count(chance)}"


def _count(share: float) -> str:
    number = ANSWERS * share
    return f"{number:.1f}" if number >= 0.1 or not number else f"{number:.1g}"
