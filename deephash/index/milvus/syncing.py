"""Make a table hold what it should: compared row by row, so that it may be run again after anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from deephash.index.milvus.contents import Contents, rows_of
from deephash.index.milvus.table import ID, STAMP, Table
from deephash.progress import open_bar

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Changes:
    """What a table lacks and has too much.

    Attributes:
        places: of the rows to write, in the contents.
        gone: ids to remove.
        missing: how many of ``places`` are not there at all; the others are there otherwise.
    """

    places: Ids
    gone: Ids
    missing: int

    @classmethod
    def all_of(cls, contents: Contents) -> Self:
        """Return what an empty table lacks."""
        rows = len(contents.ids)
        return cls(np.arange(rows), np.empty(0, np.int64), rows)

    def __len__(self) -> int:
        return len(self.places) + len(self.gone)


def _stamps_on(table: Table) -> tuple[Ids, NDArray[np.int64]]:
    """Return (ids ascending, their stamps) of all rows of a table."""
    ids, stamps = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for page in table.pages([STAMP]):
        ids.append(np.array([row[ID] for row in page], np.int64))
        stamps.append(np.array([row[STAMP] for row in page], np.int64))
    held = np.concatenate(ids)
    order = np.argsort(held, kind="stable")
    return held[order], np.concatenate(stamps)[order]


def changes_to(table: Table, contents: Contents) -> Changes:
    """Compare every row on the server with what should be there."""
    if not table.count():
        return Changes.all_of(contents)
    held, stamps = _stamps_on(table)
    places = np.searchsorted(held, contents.ids)
    there = places < len(held)
    there[there] = held[places[there]] == contents.ids[there]
    same = there.copy()
    same[there] = stamps[places[there]] == contents.stamps()[there]
    gone = np.setdiff1d(held, contents.ids, assume_unique=True)
    return Changes(np.flatnonzero(~same), gone, int(np.count_nonzero(~there)))


def apply(table: Table, contents: Contents, changes: Changes) -> None:
    """Write and remove rows, with progress; what was written stays where this is interrupted."""
    table.remove(changes.gone)
    bar = open_bar(f"to {table.name}", total=len(changes.places), unit="rows")
    try:
        for batch in rows_of(contents, changes.places):
            table.put(batch)
            for _ in batch:
                bar.update()
    finally:
        bar.close()
