"""What is known about the splits the literature uses: counts to check a list against, and their traps.

``counted`` facts were counted in published split files, ``code`` was read in a public script, ``stated`` stands in a
paper or a repository's page, and ``recalled`` is general knowledge that nobody has counted here: check it before you
quote it. A list that differs is reported all the same, with the source named, because published lists do differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, cast

from deephash.data.protocols import DRAWN
from deephash.errors import UsageError, did_you_mean

Source = Literal["counted", "code", "stated", "recalled"]


@dataclass(frozen=True)
class SplitFacts:
    """Counts of one split protocol.

    Attributes:
        name: of the protocol.
        query: number of queries; None where not known.
        train: number of training items.
        database: number of searched items, after queries were taken out.
        train_in_database: whether training items are searched too.
        leave_one_out: queries search each other, each one all but itself; so they are the database too.
        cut_off: the R of mAP@R that papers print; None for all.
        classes: number of classes or labels; None where not known.
        source: how the counts are known.
        remark: who uses it, and the trap.
    """

    name: str
    query: int | None
    train: int | None
    database: int | None
    train_in_database: bool
    leave_one_out: bool
    cut_off: int | None
    classes: int | None
    source: Source
    remark: str


def known_splits() -> dict[str, SplitFacts]:
    """Return everything known, by name."""
    return dict(_facts())


def facts_of(protocol: str) -> SplitFacts | None:
    """Return what is known about a protocol (with or without ``/v1``), None for a name nobody published.

    ``nuswide-21-drawn``, our draw in the shape of ``nuswide-21``, has the counts of that one.
    """
    return _facts().get(protocol.partition("/")[0].removesuffix(DRAWN))


def require_facts(protocol: str) -> SplitFacts:
    """Return what is known about a protocol. Raises UsageError with a suggestion where nothing is."""
    facts = facts_of(protocol)
    if facts is None:
        raise UsageError(f"nothing is known about a split called {protocol!r}{did_you_mean(protocol, list(_facts()))}")
    return facts


@cache
def _facts() -> dict[str, SplitFacts]:
    """Read the table that lies beside the manifests: a head line, then one split a line."""
    text = files("deephash.data").joinpath("splits", "known_splits.txt").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return {row[0]: _facts_of_row(row) for row in rows[1:]}


def _facts_of_row(row: list[str]) -> SplitFacts:
    query, train, database, cut_off, classes = (None if row[i] == "-" else int(row[i]) for i in (1, 2, 3, 6, 7))
    source = cast(Source, row[8])
    return SplitFacts(
        row[0], query, train, database, row[4] == "yes", row[5] == "yes", cut_off, classes, source, row[9]
    )
