"""How ``deephash search`` shows an answer to a person: a table, with the line behind what means something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from deephash.cli.output import note
from deephash.search import Answer, Hit

WIDEST = 40  # letters of an attribute
MERGED = (
    "merged: answers of models that cannot be compared are ordered by how probable such a distance is by chance; "
    "deephash upgrade COLLECTION --re-encode now brings all items to one model"
)
_Columns: TypeAlias = "list[tuple[str, int, list[str]]]"  # name, width, a cell for every hit


def print_answer(answer: Answer, shown: list[tuple[int, str]], names: Sequence[str]) -> None:
    """Print an answer as a table on stdout, and what should be known about it on stderr.

    Args:
        answer: with hits.
        shown: place of each hit to show, with a remark.
        names: attributes to show beside the path.
    """
    hits = [answer.hits[place] for place, _ in shown]
    note(
        f"query  {answer.query.label}   model {answer.model}   {answer.num_bits} bit   "
        f"{answer.total:,} items   {answer.search_ms:.1f} ms (+{answer.encode_ms:.0f} ms encode)"
    )
    _print_rows(answer, hits, [text for _, text in shown], _columns(hits, names))
    if answer.is_merged:
        note(MERGED)
    for each in answer.notes:
        note(each)
    verdict = answer.verdicts[0]
    if verdict.why:
        note(verdict.why)
    if verdict.source:
        note(f"how likely: by known pairs of {verdict.source}")
    if answer.chance is not None:
        note(str(answer.chance))


def _print_rows(answer: Answer, hits: list[Hit], remarks: list[str], columns: _Columns) -> None:
    """Print the table, and the line behind the last hit that means something."""
    wide = max(4, *(len(hit.uri) for hit in hits))
    ranks = max(2, len(str(hits[-1].rank)))
    far = max(3, len(str(hits[-1].distance)))
    words = [answer.word(hit) for hit in hits]
    said = max(map(len, words))
    order = "" if hits[0].corrected is None else "  d + bias"
    order += "" if hits[0].expected_distance is None else "  expected"
    order += "  model   by chance" if answer.is_merged else ""
    order += f"  {'is':<{said}}" if said else ""
    head = "".join(f"  {name:<{width}}" for name, width, _ in columns)
    print(f"{'#':>{ranks}}  {'d':>{far}}    sim{order}{head}  path")
    line = None if answer.line is None else [hit.rank for hit in answer.hits][answer.line]
    for place, (hit, word, text) in enumerate(zip(hits, words, remarks)):
        if line is not None and hit.rank >= line:
            print(f"{'-' * ranks}  {answer.beyond}")
            line = None
        by = "" if hit.corrected is None else f"  {hit.corrected:8.1f}"
        by += "" if hit.expected_distance is None else f"  {hit.expected_distance:8.1f}"
        by += "" if hit.by_chance is None else f"  {hit.model_version:5}  {hit.by_chance:10.2g}"
        by += f"  {word:<{said}}" if said else ""
        by += "".join(f"  {cells[place]:<{width}}" for _, width, cells in columns)
        row = f"{hit.rank:>{ranks}}  {hit.distance:>{far}}  {hit.similarity:.3f}{by}  {hit.uri:<{wide}}  {text}"
        print(row.rstrip())


def _columns(hits: Sequence[Hit], names: Sequence[str]) -> _Columns:
    """Return each attribute with its width and a cell for every hit; what an item lacks is empty."""
    found: _Columns = []
    for name in names:
        cells = [_cell(hit.attributes.get(name)) for hit in hits]
        found.append((name, max(map(len, [name, *cells])), cells))
    return found


def _cell(value: Any) -> str:
    """Return a value on one line, without what could steer a terminal, and not wider than a screen bears."""
    said = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    plain = "".join(letter if letter.isprintable() else " " for letter in said)
    return plain if len(plain) <= WIDEST else plain[: WIDEST - 1] + "…"
