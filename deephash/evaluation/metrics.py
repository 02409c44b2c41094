"""Every metric with the same face: codes and labels of both sides in, one number out.

``query_codes`` and ``database_codes`` are BinaryCodes, or arrays [Q, K] and [N, K] of booleans, of 0/1 or of -1/+1.
``query_labels`` and ``database_labels`` are class numbers [Q] and [N] (-1 = unlabelled) or multi-hot [Q, C] and [N, C];
an item is relevant if it shares a label with the query. Inputs are never changed.

``ties`` says how equal distances are ordered: "expected" (mean over all orders, exact; the default), "optimistic" and
"pessimistic" (bounds), "stable" (database order, as Faiss), "random:SEED". Queries without any relevant item in the
database are left out of every mean, with an ``UnanswerableQueries`` warning that counts them.

Functions ending in ``_from_counts`` take ``DistanceCounts`` instead and return one number a query.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.averaging import UnanswerableQueries, mean_over_queries
from deephash.evaluation.counts import DistanceCounts, count_blocks, distance_counts
from deephash.evaluation.groups import FloatArray, GainScale, RankedGroups, groups_from_counts
from deephash.evaluation.health import CodeHealth, code_health
from deephash.evaluation.radius import (
    BallScores,
    PrecisionRecallCurve,
    ball_scores_from_counts,
    curve_by_radius_from_counts,
    curve_by_rank_from_counts,
)
from deephash.evaluation.ranking import (
    Normalize,
    average_precision,
    average_precision_from_counts,
    hit,
    hit_from_counts,
    precision,
    precision_from_counts,
    recall,
    recall_from_counts,
)
from deephash.evaluation.rankings import ranked_blocks, sort_of_ties
from deephash.evaluation.relevance import ListedPairs, Relevance, as_codes, relevance_from_labels

__all__ = [
    "BallScores",
    "CodeHealth",
    "DistanceCounts",
    "ListedPairs",
    "PrecisionRecallCurve",
    "UnanswerableQueries",
    "average_precision_from_counts",
    "ball_scores_from_counts",
    "code_health",
    "curve_by_radius_from_counts",
    "curve_by_rank_from_counts",
    "distance_counts",
    "f1_within_radius",
    "hit_at",
    "hit_from_counts",
    "mean_average_precision",
    "mean_average_precision_within_radius",
    "mean_over_queries",
    "precision_at",
    "precision_from_counts",
    "precision_recall_by_radius",
    "precision_recall_by_rank",
    "precision_within_radius",
    "recall_at",
    "recall_from_counts",
    "recall_within_radius",
    "relevance_from_labels",
    "score_queries",
]

COUNT_TIES = ("expected", "optimistic", "pessimistic")
Codes = BinaryCodes | ArrayLike


# Ranking ---------------------------------------------------------------------------------------------


def mean_average_precision(
    query_codes: Codes,
    database_codes: Codes,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    top_k: int | None = None,
    normalize: Normalize = "hits",
    ties: str = "expected",
    empty: Literal["zero", "drop"] = "zero",
) -> float:
    """mAP@R, the mean over queries of AP@R = sum_{j <= R} r_j P@j / denominator.

    Args:
        query_codes: Q codes.
        database_codes: N codes.
        query_labels: labels of the queries.
        database_labels: labels of the database.
        top_k: R, 1..N; None = the whole database.
        normalize: denominator of AP@R: "hits" (relevant items found in the top R; most hashing papers), "min"
            (min(R, N_q)), "total" (N_q), "first-k" (AP over the first min(R, N_q) relevant items; DCMH lineage).
        ties: see the module.
        empty: a query that finds nothing in its top R counts as 0 ("zero") or is left out ("drop", HashNet).

    Raises:
        UsageError: codes, labels or options that do not fit, or no query with a relevant item.
    """
    if empty not in ("zero", "drop"):
        raise UsageError(f"empty is 'zero' or 'drop', not {empty!r}")

    def of_groups(groups: RankedGroups) -> FloatArray:
        return np.stack([average_precision(groups, top_k, normalize), hit(groups, top_k or _size(groups))], axis=1)

    def of_counts(counts: DistanceCounts) -> FloatArray:
        values = average_precision_from_counts(counts, top_k=top_k, normalize=normalize, ties=ties)
        return np.stack(
            [values, hit_from_counts(counts, top_k=top_k or int(counts.num_items.max()), ties=ties)], axis=1
        )

    relevance = relevance_from_labels(query_labels, database_labels)
    scores = score_queries(
        query_codes, database_codes, relevance, of_groups, ties=ties, of_counts=of_counts, top_k=top_k
    )
    return mean_over_queries(scores[:, 0], scores[:, 1] if empty == "drop" else None)


def precision_at(
    query_codes: Codes,
    database_codes: Codes,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    top_k: int,
    ties: str = "expected",
) -> float:
    """P@N: mean share of relevant items among the top N = ``top_k``."""
    relevance = relevance_from_labels(query_labels, database_labels)
    return mean_over_queries(
        score_queries(query_codes, database_codes, relevance, lambda g: precision(g, top_k), ties=ties, top_k=top_k)
    )


def recall_at(
    query_codes: Codes,
    database_codes: Codes,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    top_k: int,
    ties: str = "expected",
) -> float:
    """recall@N: mean share of the N_q relevant items that are among the top N. Not ``hit_at``."""
    relevance = relevance_from_labels(query_labels, database_labels)
    return mean_over_queries(
        score_queries(query_codes, database_codes, relevance, lambda g: recall(g, top_k), ties=ties, top_k=top_k)
    )


def hit_at(
    query_codes: Codes,
    database_codes: Codes,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    top_k: int,
    ties: str = "expected",
) -> float:
    """hit@N: mean chance of at least one relevant item among the top N ("Recall@k" of metric learning)."""
    relevance = relevance_from_labels(query_labels, database_labels)
    return mean_over_queries(
        score_queries(query_codes, database_codes, relevance, lambda g: hit(g, top_k), ties=ties, top_k=top_k)
    )


# Within a Hamming radius -----------------------------------------------------------------------------


def precision_within_radius(
    query_codes: Codes,
    database_codes: Codes,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    radius: int = 2,
) -> float:
    """P@H<=r: mean share of relevant items among those with d <= r; an empty ball counts as 0."""
    return mean_over_queries(_balls(query_codes, database_codes, query_labels, database_labels, radius)[:, 0])


def recall_within_radius(
    query_codes: Codes,
    database_codes: Codes,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    radius: int = 2,
) -> float:
    """R@H<=r: mean share of the relevant items that have d <= r."""
    return mean_over_queries(_balls(query_codes, database_codes, query_labels, database_labels, radius)[:, 1])


def f1_within_radius(
    query_codes: Codes,
    database_codes: Codes,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    radius: int = 2,
) -> float:
    """F1@H<=r: mean over queries of 2PR / (P + R)."""
    return mean_over_queries(_balls(query_codes, database_codes, query_labels, database_labels, radius)[:, 2])


def mean_average_precision_within_radius(
    query_codes: Codes,
    database_codes: Codes,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    radius: int = 2,
) -> float:
    """mAP@H<=r: mean AP of the ranking inside the ball, expected over ties; 0 where the ball holds nothing relevant."""
    return mean_over_queries(_balls(query_codes, database_codes, query_labels, database_labels, radius)[:, 3])


def precision_recall_by_radius(
    query_codes: Codes,
    database_codes: Codes,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    average: Literal["macro", "micro"] = "macro",
) -> PrecisionRecallCurve:
    """PR curve over radii 0..D; free of ties."""
    relevance = relevance_from_labels(query_labels, database_labels)
    counts = distance_counts(as_codes(query_codes), as_codes(database_codes), relevance)
    return curve_by_radius_from_counts(counts, average=average)


def precision_recall_by_rank(
    query_codes: Codes,
    database_codes: Codes,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    ranks: ArrayLike | None = None,
    average: Literal["macro", "micro"] = "macro",
    ties: str = "expected",
) -> PrecisionRecallCurve:
    """PR curve over ranks (all of 1..N when ``ranks`` is left out), expected over ties or at a bound."""
    relevance = relevance_from_labels(query_labels, database_labels)
    counts = distance_counts(as_codes(query_codes), as_codes(database_codes), relevance)
    return curve_by_rank_from_counts(counts, ranks=ranks, average=average, ties=ties)


# The engine under all of them ------------------------------------------------------------------------


def score_queries(
    query_codes: Codes,
    database_codes: Codes,
    relevance: Relevance,
    of_groups: Callable[[RankedGroups], FloatArray],
    *,
    ties: str = "expected",
    scale: GainScale = "linear",
    top_k: int | None = None,
    of_counts: Callable[[DistanceCounts], FloatArray] | None = None,
) -> FloatArray:
    """Apply a formula to every query, block by block, under a tie policy.

    Args:
        query_codes: Q codes.
        database_codes: N codes.
        relevance: labels of both sides, or ``ListedPairs``.
        of_groups: tied groups of some queries -> [q] or [q, columns].
        ties: see the module.
        scale: how a gain counts, see ``gain_values``.
        top_k: how deep explicit orders must reach; None = the whole database.
        of_counts: replaces ``of_groups`` for the policies that counts decide.

    Returns:
        [Q] or [Q, columns].
    """
    queries, database = as_codes(query_codes, "query codes"), as_codes(database_codes, "database codes")
    if ties in COUNT_TIES:
        formula = of_counts or (lambda counts: of_groups(groups_from_counts(counts, ties, scale)))
        blocks = [formula(counts) for _, counts in count_blocks(queries, database, relevance)]
    else:
        sort_rows = sort_of_ties(ties, len(database))
        depth = len(database) if top_k is None else top_k
        ranked = ranked_blocks(queries, database, relevance, sort_rows, depth, scale)
        blocks = [of_groups(groups) for _, groups in ranked]
    if not blocks:
        raise UsageError("there are no queries")
    return np.concatenate(blocks)


def _size(groups: RankedGroups) -> int:
    return int(groups.num_items.max(initial=1))


def _balls(
    query_codes: Codes, database_codes: Codes, query_labels: ArrayLike, database_labels: ArrayLike, radius: int
) -> FloatArray:
    def of_counts(counts: DistanceCounts) -> FloatArray:
        ball = ball_scores_from_counts(counts, radius=radius)
        return np.stack([ball.precision, ball.recall, ball.f1, ball.average_precision], axis=1)

    relevance = relevance_from_labels(query_labels, database_labels)
    queries, database = as_codes(query_codes, "query codes"), as_codes(database_codes, "database codes")
    blocks = [of_counts(counts) for _, counts in count_blocks(queries, database, relevance)]
    if not blocks:
        raise UsageError("there are no queries")
    return np.concatenate(blocks)
