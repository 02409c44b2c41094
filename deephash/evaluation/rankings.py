"""Explicit orders of tied items: database order, seeded shuffles, and any other sort, as groups of one item.

A ranking in which every item has its own place is a row of tied groups of size one, so the formulas of `ranking` and
`graded` serve here as well. Rows are made for a few queries at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes, hamming_distance
from deephash.errors import UsageError
from deephash.evaluation.counts import distance_counts, max_distance
from deephash.evaluation.groups import GainScale, IntArray, RankedGroups, gain_values
from deephash.evaluation.ordered import counted_order
from deephash.evaluation.relevance import IGNORED, Relevance

SortRows: TypeAlias = Callable[[BinaryCodes, BinaryCodes, int], IntArray]
"""(queries, database, depth R) -> database rows [Q, R], nearest first."""

BLOCK_BYTES = 128 << 20  # of one block of whole rows: distances, order and gains
BYTES_PER_PAIR = 24


def ranked_blocks(
    queries: BinaryCodes,
    database: BinaryCodes,
    relevance: Relevance,
    sort_rows: SortRows,
    depth: int,
    scale: GainScale = "linear",
) -> Iterator[tuple[slice, RankedGroups]]:
    """Yield ``(query rows, groups of one item each)``, the nearest ``depth`` items of each query."""
    step = max(1, BLOCK_BYTES // (BYTES_PER_PAIR * max(1, len(database))))
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        part = relevance.rows(rows)
        order = sort_rows(queries[rows], database, min(depth + part.most_ignored, len(database)))
        totals = distance_counts(queries[rows], database, part).totals
        yield rows, groups_in_order(part.ranked_gains(order), totals, len(database), scale)


def groups_of_one(gains: NDArray[Any], order: IntArray, max_gain: int) -> RankedGroups:
    """Return the groups of an explicit order of the whole database.

    Args:
        gains: [Q, N], gain of each database item, ``IGNORED`` to leave it out.
        order: [Q, R], database rows, nearest first.
        max_gain: G.
    """
    totals = np.stack([(gains == gain).sum(axis=1) for gain in range(max_gain + 1)], axis=1).astype(np.int64)
    return groups_in_order(np.take_along_axis(gains, order, axis=1), totals, gains.shape[1])


def groups_in_order(
    ranked: NDArray[Any], totals: IntArray, num_database: int, scale: GainScale = "linear"
) -> RankedGroups:
    """Return the groups of an explicit order.

    Args:
        ranked: [Q, R], gain of the item at each rank, ``IGNORED`` for one that takes no place.
        totals: [Q, G + 1], items of each gain in the whole database.
        num_database: N.
        scale: value of a gain, see ``gain_values``.
    """
    values = gain_values(totals.shape[1] - 1, scale)
    items, relevant = (ranked != IGNORED).astype(np.int64), (ranked > 0).astype(np.int64)
    return RankedGroups(items, relevant, values[np.maximum(ranked, 0)], totals, values, num_database)


def sort_of_ties(ties: str, num_database: int, *, large: bool = False) -> SortRows:
    """Return the sort that ``stable`` or ``random:SEED`` names.

    "stable" keeps database order among equals, as Faiss does; "random:SEED" shuffles the database once with
    ``numpy.random.default_rng(SEED)`` and then keeps that order for all queries.

    Args:
        ties: the name.
        num_database: N.
        large: the job is worth the kernels.

    Raises:
        UsageError: another word, or a seed that is not a whole number.
    """
    sort_rows = counted_order if large else stable_order
    if ties == "stable":
        return sort_rows
    shuffled = shuffle_of_ties(ties, num_database)

    def order(queries: BinaryCodes, database: BinaryCodes, depth: int) -> IntArray:
        return np.asarray(shuffled[sort_rows(queries, database[shuffled], depth)])

    return order


def shuffle_of_ties(ties: str, num_database: int) -> IntArray:
    """Return the database order of ``random:SEED``."""
    word, _, seed = ties.partition(":")
    if word != "random" or not seed.isdigit():
        raise UsageError(
            f"ties={ties!r} is unknown; choose 'expected', 'optimistic', 'pessimistic', 'stable' or 'random:SEED' "
            "with a whole number, e.g. 'random:0'"
        )
    return np.random.default_rng(int(seed)).permutation(num_database)


def stable_order(queries: BinaryCodes, database: BinaryCodes, depth: int) -> IntArray:
    """Sort by (distance, database row)."""
    narrow = np.uint16 if max_distance(queries) < 2**16 else np.int32  # 16-bit keys take NumPy's radix sort
    distances = hamming_distance(queries, database).astype(narrow)
    return np.argsort(distances, axis=1, kind="stable")[:, :depth]
