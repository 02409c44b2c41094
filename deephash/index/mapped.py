"""Exact search of a code table larger than memory: brought in piece by piece, never held whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.index.base import Engine, Neighbors
from deephash.index.row_filter import RowFilter

PIECE = 1 << 20  # rows at a time: 8 MB at 64 bits, long enough for threads to share


def is_mapped(codes: BinaryCodes) -> bool:
    """Say whether the codes lie in a file mapped into memory."""
    array: object = codes.packed
    while array is not None:
        if isinstance(array, np.memmap):
            return True
        array = getattr(array, "base", None)
    return False


class MappedEngine:
    """An exact engine over memory-mapped codes.

    Args:
        codes: codes over a ``numpy.memmap``, rows ascending with the ids.
        build: makes an exact engine from a piece of them.
    """

    def __init__(self, codes: BinaryCodes, build: Callable[[BinaryCodes], Engine]) -> None:
        self._codes = codes
        self._build = build

    def warm(self) -> None:
        """Nothing is kept between searches."""

    def _pieces(self, within: RowFilter | None) -> Iterator[tuple[int, Engine, RowFilter | None]]:
        for first in range(0, len(self._codes), PIECE):
            part = None if within is None else RowFilter(within.mask[first : first + PIECE])
            if part is None or part.count:
                yield first, self._build(self._codes[first : first + PIECE]), part

    def search(self, queries: BinaryCodes, k: int, within: RowFilter | None) -> Neighbors:
        """Return rows [Q, min(k, rows that pass)] in order of (distance, row)."""
        rows = np.empty((len(queries), 0), np.int64)
        distances = np.empty((len(queries), 0), np.int32)
        for first, engine, part in self._pieces(within):
            found = engine.search(queries, k, part)
            rows = np.concatenate([rows, found.ids + first], axis=1)
            distances = np.concatenate([distances, found.distances], axis=1)
            order = np.argsort(distances, axis=1, kind="stable")[:, :k]  # earlier rows stand to the left
            rows, distances = np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)
        return Neighbors(rows, distances)

    def search_radius(self, queries: BinaryCodes, radius: int, within: RowFilter | None) -> list[Neighbors]:
        """Return for each query all rows with distance <= radius, in order of (distance, row)."""
        parts: list[list[tuple[NDArray[np.int64], NDArray[np.int32]]]] = [[] for _ in range(len(queries))]
        for first, engine, part in self._pieces(within):
            for answers, found in zip(parts, engine.search_radius(queries, radius, part), strict=True):
                answers.append((found.ids + first, found.distances))
        return [_in_order(answers) for answers in parts]

    def explain(self) -> str:
        """Describe the engine and its last search."""
        return f"scan of memory-mapped codes: exact, {self._codes.describe()}, {PIECE:,} at a time"


def _in_order(answers: list[tuple[NDArray[np.int64], NDArray[np.int32]]]) -> Neighbors:
    rows = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in answers)])
    distances = np.concatenate([np.empty(0, np.int32), *(distances for _, distances in answers)])
    order = np.argsort(distances, kind="stable")
    return Neighbors(rows[order], distances[order])
