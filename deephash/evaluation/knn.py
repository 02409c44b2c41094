"""kNN classification accuracy: a cheap and telling monitor of how well codes separate classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.averaging import mean_over_queries
from deephash.evaluation.groups import FloatArray
from deephash.evaluation.neighbourhoods import find_edges, neighbour_blocks
from deephash.evaluation.relevance import as_codes

EQUAL_VOTES = 1e-9  # shares like 1/3 are summed in different orders; votes this close are a draw


def knn_accuracy(
    query_codes: BinaryCodes | ArrayLike,
    database_codes: BinaryCodes | ArrayLike,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    k: int = 20,
) -> float:
    """Mean chance that the k nearest items vote for the class of the query; see ``knn_correct``.

    Raises:
        UsageError: multi-hot labels, or k outside 1..N.
    """
    queries, database = as_codes(query_codes, "query codes"), as_codes(database_codes, "database codes")
    return mean_over_queries(knn_correct(queries, database, np.asarray(query_labels), np.asarray(database_labels), k))


def knn_correct(
    queries: BinaryCodes, database: BinaryCodes, query_labels: ArrayLike, database_labels: ArrayLike, k: int
) -> FloatArray:
    """Chance that each query is classified correctly, [Q]; NaN for unlabelled queries (class -1).

    Votes are expected votes: items nearer than the k-th distance count 1, the tied ones at that distance the chance
    that they are among the k. Classes that draw share the decision evenly. Unlabelled items take a place but cast no
    vote; a query whose neighbours are all unlabelled is wrong.
    """
    truth, classes = np.asarray(query_labels), np.asarray(database_labels)
    if truth.ndim != 1 or classes.ndim != 1 or truth.dtype.kind not in "iu" or classes.dtype.kind not in "iu":
        raise UsageError("kNN accuracy needs class numbers [Q] and [N], not multi-hot labels")
    if (len(truth), len(classes)) != (len(queries), len(database)):
        raise UsageError(f"{len(truth)} and {len(classes)} labels for {len(queries)} and {len(database)} codes")
    num_classes = int(max(truth.max(initial=0), classes.max(initial=0))) + 1
    votes = expected_votes(queries, database, classes, k, num_classes)
    best = votes.max(axis=1, keepdims=True)
    winners = (votes >= best - EQUAL_VOTES) & (best > 0)
    own = winners[np.arange(len(truth)), np.maximum(truth, 0)]
    return np.where(truth >= 0, own / np.maximum(winners.sum(axis=1), 1), np.nan)


def expected_votes(
    queries: BinaryCodes, database: BinaryCodes, classes: ArrayLike, k: int, num_classes: int
) -> FloatArray:
    """Expected number of the k nearest items of each class, [Q, num_classes]."""
    labels = np.asarray(classes)
    votes = np.zeros(len(queries) * num_classes)
    edge = find_edges(queries, database, k)
    for query, item, chance in neighbour_blocks(queries, database, edge):
        labelled = labels[item] >= 0
        ballot = query[labelled] * num_classes + labels[item][labelled].astype(np.int64)
        votes += np.bincount(ballot, weights=chance[labelled], minlength=len(votes))
    return votes.reshape(len(queries), num_classes)
