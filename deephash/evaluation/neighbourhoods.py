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
from deephash.evaluation.relevance import ListedPairs


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


def find_edges(queries: BinaryCodes, database: BinaryCodes, k: int, *, exclude_self: bool = False) -> Edge:
    """Find the edge of the k nearest items of each query.

    Args:
        queries: Q codes.
        database: N codes.
        k: 1..N (one less when the query itself is excluded).
        exclude_self: the query in row i is database item i; leave that pair out.

    Raises:
        UsageError: k is out of range, or ``exclude_self`` with different numbers of rows.
    """
    if exclude_self and len(queries) != len(database):
        raise UsageError("exclude_self compares a set with itself: give the same codes on both sides")
    available = len(database) - exclude_self
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= available:
        raise UsageError(f"k is 1..{available}, the number of items that can be neighbours, not {k!r}")
    own = [[row] if exclude_self else [] for row in range(len(queries))]
    nothing: list[list[int]] = [[] for _ in own]
    pairs = ListedPairs.from_lists(nothing, len(database), ignored=own)
    items = distance_counts(queries, database, pairs).items
    ends = items.cumsum(axis=1)
    distance = (ends < k).sum(axis=1)
    at_edge = np.take_along_axis(items, distance[:, None], axis=1)[:, 0]
    inside = np.take_along_axis(ends, distance[:, None], axis=1)[:, 0] - at_edge
    return Edge(distance, at_edge, k - inside)


def neighbour_blocks(
    queries: BinaryCodes, database: BinaryCodes, edge: Edge, *, exclude_self: bool = False
) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """Yield ``(query rows, database rows, chances)`` of all pairs within the edge, block by block, each pair once."""
    share = edge.share
    for rows, columns, distances in distance_blocks(queries, database):
        limit = edge.distance[rows, None]
        query, item = np.nonzero(distances <= limit)
        chance = np.where(distances[query, item] == limit[query, 0], share[rows][query], 1.0)
        query, item = query + rows.start, item + columns.start
        if exclude_self:
            other = query != item
            query, item, chance = query[other], item[other], chance[other]
        yield query, item, chance
