"""What a table should hold: ids, codes, attributes; and the rows that say it to a server, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes, CodeLayout
from deephash.errors import UsageError
from deephash.index.ids import in_order
from deephash.index.milvus.table import CODE, DRAW, ID, STAMP, draw_of, mixed, set_field, value_field

BATCH_BYTES = 4 << 20  # far below the 64 MB that a server takes at once, and soon written
BATCH_ROWS = 10_000
Ids = NDArray[np.int64]
_MISSING: Mapping[str, Any] = {"text": "", "integer": 0, "number": 0.0, "yes/no": False, "time": 0}


class Contents(Protocol):
    """What a table should hold."""

    @property
    def ids(self) -> Ids:
        """Ids, ascending."""
        ...

    @property
    def codes(self) -> BinaryCodes:
        """A code for each."""
        ...

    @property
    def kinds(self) -> Mapping[str, str]:
        """{attribute: text, integer, number, yes/no or time}."""
        ...

    def values(self, column: str, places: Ids) -> Sequence[Any]:
        """Return an attribute of the rows at ``places``; None where there is none."""
        ...

    def stamps(self) -> NDArray[np.int64]:
        """Return a number for each row that changes with anything in it."""
        ...


@dataclass(frozen=True, eq=False)
class PlainContents:
    """Ids and codes alone, ids ascending."""

    ids: Ids
    codes: BinaryCodes
    kinds: Mapping[str, str]

    @classmethod
    def of(cls, ids: Ids, codes: BinaryCodes, layout: CodeLayout) -> Self:
        """Put the ids in order. Raises UsageError where they do not fit."""
        if codes.layout != layout:
            raise UsageError(f"the index holds {layout.describe()}, not {codes.describe()}")
        return cls(*in_order(ids, codes), {})

    def values(self, column: str, places: Ids) -> Sequence[Any]:
        """There are no attributes."""
        raise KeyError(column)

    def stamps(self) -> NDArray[np.int64]:
        """Return a number for each row that changes with its code."""
        return code_stamps(self.codes)


def code_stamps(codes: BinaryCodes) -> NDArray[np.int64]:
    """Return a number for each code, int64 [N], that changes with any of its bits."""
    width = -(-codes.packed.shape[1] // 8)
    padded = np.zeros((len(codes), 8 * width), np.uint8)
    padded[:, : codes.packed.shape[1]] = codes.packed
    return joined_stamps(list(padded.view(np.uint64).T), len(codes))


def joined_stamps(columns: Sequence[NDArray[np.uint64]], rows: int) -> NDArray[np.int64]:
    """Return a number for each row, int64 [rows], that changes with any word in its columns, and with their order."""
    total = np.full(rows, 0x9E3779B97F4A7C15, np.uint64)
    for column in columns:
        total = mixed(total ^ mixed(column)) + np.uint64(1)
    return total.view(np.int64)


def rows_of(contents: Contents, places: Ids) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows at ``places`` as a server takes them, in batches of some megabytes."""
    ids, stamps = contents.ids, contents.stamps()
    for start in range(0, len(places), BATCH_ROWS):
        part = places[start : start + BATCH_ROWS]
        rows = [
            {ID: item, CODE: code.tobytes(), DRAW: draw, STAMP: stamp}
            for item, code, draw, stamp in zip(
                ids[part].tolist(), contents.codes.packed[part], draw_of(ids[part]).tolist(), stamps[part].tolist()
            )
        ]
        for column, kind in contents.kinds.items():
            value, present, missing = value_field(column), set_field(column), _MISSING[kind]
            for row, cell in zip(rows, contents.values(column, part)):
                row[value], row[present] = (missing, False) if cell is None else (cell, True)
        yield from _by_bytes(rows)


def _by_bytes(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    start = size = 0
    for place, row in enumerate(rows):
        own = 16 * len(row) + sum(len(value) for value in row.values() if isinstance(value, (str, bytes)))
        if size and size + own > BATCH_BYTES:
            yield rows[start:place]
            start, size = place, 0
        size += own
    if start < len(rows):
        yield rows[start:]
