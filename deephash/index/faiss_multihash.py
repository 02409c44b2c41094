"""Faiss's multi-index hashing behind :class:`~deephash.index.base.Engine`, made exact."""

from __future__ import annotations

from threading import Lock

import numpy as np

from deephash.codes import BinaryCodes
from deephash.index.available import faiss_module
from deephash.index.base import Neighbors
from deephash.index.exact import plain_exact
from deephash.index.faiss_flat import faiss_threads, search_filtered, split_range
from deephash.index.row_filter import RowFilter


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
        faiss = faiss_module()
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
