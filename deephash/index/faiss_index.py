"""Faiss engines behind :class:`~deephash.index.base.Engine`.

What Faiss does silently is not let through: radii are made inclusive (its own are strict), -1 never leaves, filters go
only to the index type that honours them, and ids are ours, because IDMap and removal disagree in Faiss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.index.base import Engine, Neighbors
from deephash.index.engines import plain_exact
from deephash.index.row_filter import RowFilter


class FlatEngine:
    """Exact search by ``faiss.IndexBinaryFlat``.

    Faiss keeps, among items at the cut-off distance, those it met first, and rows ascend with ids; so its answers are
    in the order (distance, id) up to the last place. The property tests hold it to that on duplicated codes.
    """

    def __init__(self, codes: BinaryCodes, *, threads: int | None = None) -> None:
        import faiss

        self._threads = threads
        self._size = len(codes)
        self._index = faiss.IndexBinaryFlat(8 * codes.packed.shape[1])
        self._index.add(codes.packed)

    def search(self, queries: BinaryCodes, k: int, within: RowFilter | None) -> Neighbors:
        """Return rows [Q, min(k, rows that pass)] in order of (distance, row)."""
        width = min(k, self._size if within is None else within.count)
        with faiss_threads(self._threads), _selecting(within) as params:
            distances, rows = self._index.search(queries.packed, width, params=params)
        return Neighbors(rows, distances)

    def search_radius(self, queries: BinaryCodes, radius: int, within: RowFilter | None) -> list[Neighbors]:
        """Return for each query all rows with distance <= radius, in order of (distance, row)."""
        with faiss_threads(self._threads), _selecting(within) as params:
            found = self._index.range_search(queries.packed, radius + 1, params=params)  # Faiss: strictly less
        return split_range(found[0], found[1], found[2])

    def warm(self) -> None:
        """Nothing is built later."""

    def explain(self) -> str:
        """Describe the engine and its last search."""
        return f"faiss:flat: exact scan of {self._size:,} codes by IndexBinaryFlat"


class MultiHashEngine:
    """``faiss.IndexBinaryMultiHash`` made exact.

    With b tables and f flipped bits a look-up finds everything within b (f + 1) - 1. So a radius is answered with the
    flips it needs, and the k nearest are right when k items lie within a radius that was looked up; whatever needs more
    than MOST_FLIPS goes to an exact scan.
    """

    MOST_FLIPS = 1  # at two flips a table of 16 bits takes 137 look-ups a band: slower than a scan up to 1M codes
    QUERIES_AT_ONCE = 16  # bounds what a look-up may return on duplicated codes
    BAND_BITS = 16

    def __init__(self, codes: BinaryCodes, *, threads: int | None = None) -> None:
        import faiss

        self._threads = threads
        self._size = len(codes)
        width = 8 * codes.packed.shape[1]
        self._bands = max(1, width // self.BAND_BITS)
        self._exact = plain_exact(codes, threads)
        self._lock = Lock()  # the number of flips is a setting of the Faiss index, not of a search
        self._index = faiss.IndexBinaryMultiHash(width, self._bands, min(width, self.BAND_BITS))
        self._index.add(codes.packed)

    def warm(self) -> None:
        """Nothing is built later."""

    def search(self, queries: BinaryCodes, k: int, within: RowFilter | None) -> Neighbors:
        """Return rows [Q, min(k, rows that pass)] in order of (distance, row)."""
        if within is not None:
            return search_filtered(lambda some, m: self.search(some, m, None), self._exact, queries, k, within)
        k = min(k, self._size)
        rows, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.int32)
        left = np.arange(len(queries))
        for flips in range(self.MOST_FLIPS + 1):
            found = self._look_up(queries[left], self._bands * (flips + 1) - 1)
            enough = np.array([len(answer) >= k for answer in found], dtype=bool)
            for place in np.flatnonzero(enough):
                rows[left[place]], distances[left[place]] = found[place].ids[:k], found[place].distances[:k]
            left = left[~enough]
        if len(left):
            rest = self._exact.search(queries[left], k, None)
            rows[left], distances[left] = rest.ids, rest.distances
        return Neighbors(rows, distances)

    def search_radius(self, queries: BinaryCodes, radius: int, within: RowFilter | None) -> list[Neighbors]:
        """Return for each query all rows with distance <= radius, in order of (distance, row)."""
        if radius // self._bands > self.MOST_FLIPS:
            return self._exact.search_radius(queries, radius, within)
        found = self._look_up(queries, radius)
        if within is None:
            return found
        return [Neighbors(one.ids[within.mask[one.ids]], one.distances[within.mask[one.ids]]) for one in found]

    def _look_up(self, queries: BinaryCodes, radius: int) -> list[Neighbors]:
        answers: list[Neighbors] = []
        for first in range(0, len(queries), self.QUERIES_AT_ONCE):
            some = queries.packed[first : first + self.QUERIES_AT_ONCE]
            with self._lock, faiss_threads(self._threads):
                self._index.nflip = radius // self._bands
                found = self._index.range_search(some, radius + 1)  # Faiss: strictly less
            answers += split_range(found[0], found[1], found[2])
        return answers

    def explain(self) -> str:
        """Describe the engine and its last search."""
        sure = self._bands * (self.MOST_FLIPS + 1) - 1
        return (
            f"faiss:multihash: exact, {self._bands} tables over {self._size:,} codes up to distance {sure}, then a scan"
        )


def search_filtered(
    search: Callable[[BinaryCodes, int], Neighbors], exact: Engine, queries: BinaryCodes, k: int, within: RowFilter
) -> Neighbors:
    """Filter the answers of an engine that cannot: fetch more than k, drop what is not allowed.

    Queries left with fewer than k, and filters so narrow that much would have to be fetched, go to ``exact``.
    """
    size = len(within.mask)
    k = min(k, within.count)
    fetch = int(1.5 * k * size / max(1, within.count)) + 16
    if 8 * fetch > size:
        return exact.search(queries, k, within)
    found = search(queries, fetch)
    passed = within.mask[found.ids]
    order = np.argsort(~passed, axis=1, kind="stable")[:, :k]  # those that pass, in their order
    rows, distances = np.take_along_axis(found.ids, order, 1), np.take_along_axis(found.distances, order, 1)
    short = np.flatnonzero(passed.sum(axis=1) < k)
    if len(short):
        rest = exact.search(queries[short], k, within)
        rows[short], distances[short] = rest.ids, rest.distances
    return Neighbors(rows, distances)


def split_range(limits: NDArray[Any], distances: NDArray[Any], rows: NDArray[np.int64]) -> list[Neighbors]:
    """Cut the answer of a Faiss ``range_search`` into one sorted answer a query."""
    answers = []
    for start, stop in zip(limits[:-1].tolist(), limits[1:].tolist(), strict=True):
        part, ids = distances[start:stop].astype(np.int32), rows[start:stop].astype(np.int64)
        order = np.lexsort((ids, part))
        answers.append(Neighbors(ids[order], part[order]))
    return answers


@contextmanager
def faiss_threads(threads: int | None) -> Iterator[None]:
    """Let Faiss use ``threads`` threads inside the block (a setting of the whole process, so it is put back)."""
    import faiss

    if threads is None:
        yield
        return
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@contextmanager
def _selecting(within: RowFilter | None) -> Iterator[Any]:
    """Yield Faiss search parameters that keep to the rows of ``within``."""
    import faiss

    if within is None:
        yield None
        return
    bits = np.packbits(within.mask, bitorder="little")  # Faiss numbers bits from the low end of each byte
    selector = faiss.IDSelectorBitmap(len(within.mask), faiss.swig_ptr(bits))
    yield faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
