"""Exact search by Faiss, and what all Faiss engines share.

What Faiss does silently is not let through: radii are made inclusive (its own are strict), -1 never leaves, filters go
only to the index type that honours them, and ids are ours, because IDMap and removal disagree in Faiss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.index.available import faiss_module
from deephash.index.base import Engine, Neighbors
from deephash.index.row_filter import RowFilter


class FlatEngine:
    """Exact search by ``faiss.IndexBinaryFlat``.

    Faiss keeps, among items at the cut-off distance, those it met first, and rows ascend with ids; so its answers are
    in the order (distance, id) up to the last place. The property tests hold it to that on duplicated codes.
    """

    def __init__(self, codes: BinaryCodes, *, threads: int | None = None) -> None:
        faiss = faiss_module()
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
    faiss = faiss_module()
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
    faiss = faiss_module()
    if within is None:
        yield None
        return
    bits = np.packbits(within.mask, bitorder="little")  # Faiss numbers bits from the low end of each byte
    selector = faiss.IDSelectorBitmap(len(within.mask), faiss.swig_ptr(bits))
    yield faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
