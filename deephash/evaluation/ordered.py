"""Fixed orders of tied items by counting in Numba, for large jobs: average precision, and the order itself.

Average precision needs no order at all, only each relevant item's place; the same numbers come from sorted groups of
one item elsewhere. This is what lets ``ties="stable"`` reproduce a sort-per-query script at a small part of its cost.
"""

from __future__ import annotations

import numpy as np

from deephash.codes import BinaryCodes
from deephash.evaluation.counts import QUERIES_PER_TASK, code_words, default_threads, in_threads, max_distance
from deephash.evaluation.groups import FloatArray, IntArray
from deephash.evaluation.ranking import Normalize
from deephash.evaluation.relevance import LabelRelevance


def ordered_average_precision(
    queries: BinaryCodes, database: BinaryCodes, relevance: LabelRelevance, depth: int, normalize: Normalize
) -> FloatArray:
    """Return AP@R of every query with equal distances in database order, and whether anything was found, [Q, 2].

    Args:
        queries: Q codes.
        database: N codes.
        relevance: of classes or labels.
        depth: R, 1..N.
        normalize: the denominator, see ``average_precision_from_counts``.

    Returns:
        AP (NaN where N_q = 0) and hit@R of each query.
    """
    sums = _precision_sums(queries, database, relevance, depth, normalize == "first-k")
    total, found, relevant = sums.T
    denominator = {
        "hits": found,
        "total": relevant,
        "min": np.minimum(relevant, depth),
        "first-k": np.minimum(relevant, depth),
    }[normalize]
    values = np.where(relevant > 0, total / np.maximum(denominator, 1), np.nan)
    return np.stack([values, np.where(relevant > 0, found > 0, np.nan)], axis=1)


def counted_order(queries: BinaryCodes, database: BinaryCodes, depth: int) -> IntArray:
    """Return the nearest ``depth`` rows of each query, equal distances in database order, int64 [Q, depth]."""
    from deephash.evaluation.kernels import stable_rows

    query_words, planes = code_words(queries), np.ascontiguousarray(code_words(database).T)
    order = np.empty((len(queries), depth), np.int64)

    def run(start: int) -> None:
        rows = slice(start, start + QUERIES_PER_TASK)
        stable_rows(query_words[rows], planes, max_distance(queries) + 1, order[rows])

    in_threads(run, len(queries), default_threads())
    return order


def _precision_sums(
    queries: BinaryCodes, database: BinaryCodes, relevance: LabelRelevance, depth: int, depth_counts_hits: bool
) -> FloatArray:
    from deephash.evaluation.kernels import ordered_precision_sums

    query_words, planes = code_words(queries), np.ascontiguousarray(code_words(database).T)
    query_labels, label_planes, same_class = relevance.words
    num_distances = max_distance(queries) + 1
    sums = np.empty((len(queries), 3))

    def run(start: int) -> None:
        rows = slice(start, start + QUERIES_PER_TASK)
        ordered_precision_sums(
            query_words[rows],
            planes,
            query_labels[rows],
            label_planes,
            same_class,
            num_distances,
            depth,
            depth_counts_hits,
            sums[rows],
        )

    in_threads(run, len(queries), default_threads())
    return sums
