"""The k nearest items of each query when some are tied at the edge.

Items nearer than the k-th distance belong to the k nearest for sure; the n items at that distance share the places that
are left, so each belongs with chance (places left) / n. kNN votes and hubness both build on this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes, distance_blocks
from deephash.errors import UsageError
from deephash.evaluation.counts import (
    QUERIES_PER_TASK,
    code_words,
    default_threads,
    distance_counts,
    in_threads,
    takes_numba,
)
from deephash.evaluation.groups import FloatArray, IntArray
from deephash.evaluation.listed import ListedPairs
from deephash.evaluation.relevance import IGNORED, require_own_rows

BLOCK_PAIRS = 4_000_000  # neighbours held at once, about 100 MB; a query has at least its own
MOST_QUERIES = 4096  # of a block


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """Where the neighbourhood of each query ends.

    Attributes:
        distance: distance of the k-th nearest item, [Q].
        inside: items nearer than that, [Q].
        items: items at that distance, [Q].
        places: how many of them are among the k nearest, [Q], 1..items.
    """

    distance: IntArray
    inside: IntArray
    items: IntArray
    places: IntArray

    @property
    def share(self) -> FloatArray:
        """Chance that an item at that distance is one of the k nearest, [Q], in (0, 1]."""
        return np.asarray(self.places / self.items)


def find_edges(queries: BinaryCodes, database: BinaryCodes, k: int, *, own: IntArray | None = None) -> Edge:
    """Find the edge of the k nearest items of each query.

    Args:
        queries: Q codes.
        database: N codes.
        k: 1..N (one less with ``own``).
        own: leave-one-out: database row of each query, which is none of its neighbours, [Q].

    Raises:
        UsageError: k is out of range, or ``own`` is not one database row a query.
    """
    available = len(database) - (own is not None)
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= available:
        raise UsageError(f"k is 1..{available}, the number of items that can be neighbours, not {k!r}")
    items = distance_counts(queries, database, _ignoring(own, len(queries), len(database))).items
    ends = items.cumsum(axis=1)
    distance = (ends < k).sum(axis=1)
    at_edge = np.take_along_axis(items, distance[:, None], axis=1)[:, 0]
    inside = np.take_along_axis(ends, distance[:, None], axis=1)[:, 0] - at_edge
    return Edge(distance, inside, at_edge, k - inside)


def neighbour_blocks(
    queries: BinaryCodes, database: BinaryCodes, edge: Edge, *, own: IntArray | None = None
) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """Yield ``(query rows, database rows, chances)`` of all pairs within the edge, block by block, each pair once."""
    share = edge.share
    found = _found_by_numba if takes_numba("auto", len(queries) * len(database)) else _found_by_numpy
    for query, item, at_edge in found(queries, database, edge, own):
        yield query, item, np.where(at_edge, share[query], 1.0)


Pairs: TypeAlias = Iterator[tuple[IntArray, IntArray, NDArray[np.bool_]]]
"""Query row, database row, and whether the item lies at the very edge, [P] each."""


def _found_by_numba(queries: BinaryCodes, database: BinaryCodes, edge: Edge, own: IntArray | None) -> Pairs:
    words, planes = code_words(queries), np.ascontiguousarray(code_words(database).T)
    itself = np.full(len(queries), -1, np.int64) if own is None else own
    sizes = edge.inside + edge.items
    ends = np.cumsum(sizes)
    start = 0
    while start < len(queries):
        most = int(np.searchsorted(ends, ends[start] - sizes[start] + BLOCK_PAIRS, side="right"))
        rows = slice(start, min(max(start + 1, most), start + MOST_QUERIES))
        items, at_edge = _within(words[rows], planes, edge.distance[rows], itself[rows], sizes[rows])
        yield np.repeat(np.arange(len(queries))[rows], sizes[rows]), items, at_edge
        start = rows.stop


def _within(
    words: NDArray[np.uint64], planes: NDArray[np.uint64], limits: IntArray, own: IntArray, sizes: IntArray
) -> tuple[IntArray, NDArray[np.bool_]]:
    """Return the items within the limit of each query and whether they are at it, [P] each, query by query."""
    from deephash.evaluation.kernels import rows_within

    items, at_edge = np.empty(sizes.sum(), np.int64), np.empty(sizes.sum(), np.bool_)
    places, threads = np.cumsum(sizes) - sizes, default_threads()

    def run(start: int) -> None:
        part = slice(start, start + step)
        rows_within(words[part], planes, limits[part], own[part], places[part], items, at_edge)

    step = min(QUERIES_PER_TASK, -(-len(words) // threads))
    in_threads(run, len(words), threads, step)
    return items, at_edge


def _found_by_numpy(queries: BinaryCodes, database: BinaryCodes, edge: Edge, own: IntArray | None) -> Pairs:
    for rows, columns, distances in distance_blocks(queries, database):
        limit = edge.distance[rows, None]
        query, item = np.nonzero(distances <= limit)
        at_edge = distances[query, item] == limit[query, 0]
        query, item = query + rows.start, item + columns.start
        other = slice(None) if own is None else item != own[query]
        yield query[other], item[other], at_edge[other]


def _ignoring(own: IntArray | None, num_queries: int, num_items: int) -> ListedPairs:
    """Nothing is relevant; each query ignores its own item, where it has one."""
    if own is None:
        return ListedPairs(np.zeros(num_queries + 1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int16), num_items)
    rows = require_own_rows(own, num_queries, num_items)
    return ListedPairs(np.arange(num_queries + 1), rows, np.full(num_queries, IGNORED, np.int16), num_items)
