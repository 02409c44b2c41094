"""The engine under all metrics: apply a formula to every query, block by block, under a tie policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from deephash.codes import BinaryCodes
from deephash.errors import UsageError, did_you_mean
from deephash.evaluation.arrays import as_codes
from deephash.evaluation.averaging import mean_over_queries
from deephash.evaluation.counts import DistanceCounts, count_blocks, distance_counts, require_fit, takes_numba
from deephash.evaluation.formulas import Formula, RadiusFormula
from deephash.evaluation.groups import FloatArray, GainScale, RankedGroups, groups_from_counts, require_depth
from deephash.evaluation.ordered import ordered_average_precision
from deephash.evaluation.ranking import (
    NORMALIZE,
    Normalize,
    average_precision,
    average_precision_from_counts,
    hit,
)
from deephash.evaluation.rankings import ranked_blocks, shuffle_of_ties, sort_of_ties
from deephash.evaluation.relevance import Relevance, relevance_from_labels
from deephash.evaluation.symmetric import ranked_counts

COUNT_TIES = ("expected", "optimistic", "pessimistic")
RANKING_COSTS = 3  # times as much as counting, both in NumPy, so kernels pay for smaller jobs
ORDERED_AP_COSTS = 30  # the same for average precision in an explicit order
Codes: TypeAlias = BinaryCodes | ArrayLike


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """Queries, a database, and which item is right for which query: what every metric is asked about.

    Attributes:
        query: Q codes.
        database: N codes.
        relevance: of both sides.
    """

    query: BinaryCodes
    database: BinaryCodes
    relevance: Relevance

    @classmethod
    def of(
        cls, query_codes: Codes, database_codes: Codes, query_labels: ArrayLike, database_labels: ArrayLike
    ) -> Retrieval:
        """Read codes and labels in any of the forms that ``deephash.evaluation.metrics`` accepts."""
        query, database = as_codes(query_codes, "query codes"), as_codes(database_codes, "database codes")
        return cls(query, database, relevance_from_labels(query_labels, database_labels))

    def mean(
        self, formula: Formula, *, top_k: int | None = None, ties: str = "expected", scale: GainScale | None = None
    ) -> float:
        """Mean of a metric over the queries that can be answered."""
        scores = score_queries(
            self.query,
            self.database,
            self.relevance,
            lambda groups: formula.of_groups(groups, top_k),
            ties=ties,
            scale=scale or formula.scale,
            top_k=top_k,
            of_counts=lambda counts: formula.from_counts(counts, top_k=top_k, ties=ties, scale=scale),
        )
        return mean_over_queries(scores, stacklevel=4)

    def mean_within(self, formula: RadiusFormula, radius: int) -> float:
        """Mean of a metric within a radius, expected over ties."""
        self.query.layout.require_flat("a look-up within a radius")
        counted = count_blocks(self.query, self.database, self.relevance)
        blocks = [formula.of_counts(counts, radius, "expected") for _, counts in counted]
        return mean_over_queries(_joined(blocks), stacklevel=4)

    def counts(self) -> DistanceCounts:
        """Per-distance counts of all queries at once."""
        return distance_counts(self.query, self.database, self.relevance)


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
        relevance: of both sides.
        of_groups: tied groups of some queries -> [q] or [q, columns].
        ties: see ``deephash.evaluation.metrics``.
        scale: how a gain counts, see ``gain_values``.
        top_k: how deep explicit orders must reach; None = the whole database.
        of_counts: replaces ``of_groups`` for the policies that counts decide.

    Returns:
        [Q] or [Q, columns].
    """
    queries, database = as_codes(query_codes, "query codes"), as_codes(database_codes, "database codes")
    if not len(queries):
        raise UsageError("there are no queries")
    if top_k is not None:
        require_depth(top_k, len(database))
    if ties in COUNT_TIES:
        formula = of_counts or (lambda counts: of_groups(groups_from_counts(counts, ties, scale)))
        blocks = [formula(counts) for _, counts in ranked_counts(queries, database, relevance)]
    else:
        queries.layout.require_flat(f"an explicit order of ties (ties={ties!r})")
        require_fit(queries, database, relevance)
        sort_rows = sort_of_ties(ties, len(database), large=_is_large(queries, database, RANKING_COSTS))
        ranked = ranked_blocks(queries, database, relevance, sort_rows, top_k or len(database), scale)
        blocks = [of_groups(groups) for _, groups in ranked]
    return _joined(blocks)


def _is_large(queries: BinaryCodes, database: BinaryCodes, costs: int) -> bool:
    """Whether an explicit order of this job is worth the kernels."""
    return takes_numba("auto", costs * len(queries) * len(database))


def _joined(blocks: list[FloatArray]) -> FloatArray:
    if not blocks:
        raise UsageError("there are no queries")
    return np.concatenate(blocks)


def average_precisions(
    query_codes: Codes,
    database_codes: Codes,
    relevance: Relevance,
    *,
    top_k: int | None = None,
    normalize: Normalize = "hits",
    ties: str = "expected",
) -> FloatArray:
    """AP@R and the chance of finding anything in the top R for each query, [Q, 2]; NaN where N_q = 0.

    Arguments as in ``deephash.evaluation.metrics.mean_average_precision``.
    """
    queries, database = as_codes(query_codes, "query codes"), as_codes(database_codes, "database codes")
    if normalize not in NORMALIZE:
        raise UsageError(f"normalize={normalize!r} is unknown{did_you_mean(str(normalize), NORMALIZE)}")
    whole = len(database)
    depth = whole if top_k is None else require_depth(top_k, whole)
    if (
        ties not in COUNT_TIES
        and queries.layout.is_flat
        and relevance.exceptions is None
        and _is_large(queries, database, ORDERED_AP_COSTS)
    ):
        require_fit(queries, database, relevance)
        labels = relevance.labels
        if ties != "stable":
            order = shuffle_of_ties(ties, whole)
            database, labels = database[order], labels.reordered(order)
        return ordered_average_precision(queries, database, labels, depth, normalize)

    sought = None if normalize == "first-k" else top_k  # where a query may find something; None = anywhere

    def of_groups(groups: RankedGroups) -> FloatArray:
        return np.stack([average_precision(groups, top_k, normalize), hit(groups, sought)], axis=1)

    def of_counts(counts: DistanceCounts) -> FloatArray:
        values = average_precision_from_counts(counts, top_k=top_k, normalize=normalize, ties=ties)
        return np.stack([values, hit(groups_from_counts(counts, ties), sought)], axis=1)

    # first-k reads on until the k-th relevant item, so an explicit order must go all the way
    reach = None if normalize == "first-k" else top_k
    return score_queries(queries, database, relevance, of_groups, ties=ties, of_counts=of_counts, top_k=reach)
