"""The k nearest items of each query when some are tied at the edge.

Items nearer than the k-th distance belong to the k nearest for sure; the n items at that distance share the places that
are left, so each belongs with chance (places left) / n. kNN votes and hubness both build on this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deephash.codes import BinaryCodes, distance_blocks
from deephash.errors import UsageError
from deephash.evaluation.counts import distance_counts
from deephash.evaluation.groups import FloatArray, IntArray
from deephash.evaluation.relevance import IGNORED, ListedPairs, require_own_rows


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """Where the neighbourhood of each query ends.

    Attributes:
        distance: distance of the k-th nearest item, [Q].
        items: items at that distance, [Q].
        places: how many of them are among the k nearest, [Q], 1..items.
    """

    distance: IntArray
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
    return Edge(distance, at_edge, k - inside)


def neighbour_blocks(
    queries: BinaryCodes, database: BinaryCodes, edge: Edge, *, own: IntArray | None = None
) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """Yield ``(query rows, database rows, chances)`` of all pairs within the edge, block by block, each pair once."""
    share = edge.share
    for rows, columns, distances in distance_blocks(queries, database):
        limit = edge.distance[rows, None]
        query, item = np.nonzero(distances <= limit)
        chance = np.where(distances[query, item] == limit[query, 0], share[rows][query], 1.0)
        query, item = query + rows.start, item + columns.start
        if own is not None:
            other = item != own[query]
            query, item, chance = query[other], item[other], chance[other]
        yield query, item, chance


def _ignoring(own: IntArray | None, num_queries: int, num_items: int) -> ListedPairs:
    """Nothing is relevant; each query ignores its own item, where it has one."""
    if own is None:
        return ListedPairs(np.zeros(num_queries + 1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int16), num_items)
    rows = require_own_rows(own, num_queries, num_items)
    return ListedPairs(np.arange(num_queries + 1), rows, np.full(num_queries, IGNORED, np.int16), num_items)
