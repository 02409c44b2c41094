"""Counts for codes of several levels, whose order is the symmetric distance's: exact and tie-aware over its scores.

Scores are a finite set (:func:`deephash.codes.levels.symmetric_scores`), so the items of one query fall into groups of
equal score, best first. A group stands where a Hamming distance stands for other codes: every ranking metric is the
same function of the counts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.codes.levels import symmetric_scores
from deephash.evaluation.counts import DistanceCounts, count_blocks, require_fit
from deephash.evaluation.relevance import IGNORED, Relevance

BLOCK_CELLS = 1 << 21  # scores of one block of queries; metrics build some arrays of that size on it


def ranked_counts(
    query: BinaryCodes, database: BinaryCodes, relevance: Relevance
) -> Iterator[tuple[slice, DistanceCounts]]:
    """Yield ``(query rows, counts)`` in the order that is meant: by Hamming distance, of several levels by score."""
    return (
        count_blocks(query, database, relevance) if query.layout.is_flat else score_counts(query, database, relevance)
    )


def score_counts(
    query: BinaryCodes, database: BinaryCodes, relevance: Relevance
) -> Iterator[tuple[slice, DistanceCounts]]:
    """Yield ``(query rows, counts of those queries)``, the groups of equal score in place of distances.

    Raises:
        UsageError: codes of different lengths, or labels that do not belong to these codes.
    """
    require_fit(query, database, relevance)
    step = max(1, BLOCK_CELLS // max(1, len(database)))
    for start in range(0, len(query), step):
        rows = slice(start, min(start + step, len(query)))
        part = relevance.rows(rows)
        scores = symmetric_scores(query[rows], database)
        order = np.argsort(-scores, axis=1, kind="stable")
        gains = part.ranked_gains(order)
        counts = _grouped(np.take_along_axis(scores, order, 1), gains, part.max_gain)
        yield rows, DistanceCounts(counts, len(database))


def _grouped(scores: NDArray[np.float32], gains: NDArray[np.int16], max_gain: int) -> NDArray[np.int64]:
    """Return int64 [Q, G + 1, J] of scores [Q, N] that fall, and the gains of their items."""
    groups = np.zeros(scores.shape, np.int64)
    np.cumsum(scores[:, 1:] != scores[:, :-1], axis=1, out=groups[:, 1:])
    counts = np.zeros((len(scores), max_gain + 1, int(groups.max(initial=0)) + 1), np.int64)
    queries = np.broadcast_to(np.arange(len(scores))[:, None], scores.shape)
    kept = gains != IGNORED
    np.add.at(counts, (queries[kept], gains[kept].astype(np.int64), groups[kept]), 1)
    return counts
