"""Every metric with the same face: codes and labels of both sides in, one number out.

``query_codes`` and ``database_codes`` are BinaryCodes, or arrays [Q, K] and [N, K] of booleans, of 0/1 or of -1/+1.
``query_labels`` and ``database_labels`` are class numbers [Q] and [N] (-1 = unlabelled) or multi-hot [Q, C] and [N, C];
an item is relevant if it shares a label with the query. Inputs are never changed.

``ties`` says how equal distances are ordered: "expected" (mean over all orders, exact; the default), "optimistic" and
"pessimistic" (bounds), "stable" (database order, as Faiss), "random:SEED". Queries without any relevant item in the
database are left out of every mean, with an ``UnanswerableQueries`` warning that counts them.

Each metric but mAP is a row of the table in ``formulas``; metrics that take the same options share one class here.

Functions ending in ``_from_counts`` take ``DistanceCounts`` instead and return one number a query.
"""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from numpy.typing import ArrayLike

from deephash.errors import UsageError
from deephash.evaluation import formulas
from deephash.evaluation.averaging import UnanswerableQueries as UnanswerableQueries
from deephash.evaluation.averaging import mean_over_queries as mean_over_queries
from deephash.evaluation.counts import DistanceCounts as DistanceCounts
from deephash.evaluation.counts import distance_counts as distance_counts
from deephash.evaluation.engine import COUNT_TIES as COUNT_TIES
from deephash.evaluation.engine import Codes, Retrieval
from deephash.evaluation.engine import average_precisions as average_precisions
from deephash.evaluation.engine import score_queries as score_queries
from deephash.evaluation.formulas import Formula, RadiusFormula
from deephash.evaluation.graded import weighted_average_precision_from_counts as weighted_average_precision_from_counts
from deephash.evaluation.groups import GainScale
from deephash.evaluation.health import CodeHealth as CodeHealth
from deephash.evaluation.health import code_health as code_health
from deephash.evaluation.hubness_measures import Hubness as Hubness
from deephash.evaluation.hubness_measures import hubness as hubness
from deephash.evaluation.knn import knn_accuracy as knn_accuracy
from deephash.evaluation.legacy import legacy_mean_average_precision
from deephash.evaluation.listed import ListedPairs as ListedPairs
from deephash.evaluation.radius import PrecisionRecallCurve as PrecisionRecallCurve
from deephash.evaluation.radius import curve_by_radius_from_counts as curve_by_radius_from_counts
from deephash.evaluation.radius import curve_by_rank_from_counts as curve_by_rank_from_counts
from deephash.evaluation.ranking import Normalize
from deephash.evaluation.ranking import average_precision_from_counts as average_precision_from_counts
from deephash.evaluation.relevance import relevance_from_labels as relevance_from_labels

AnyFormula = TypeVar("AnyFormula", Formula, RadiusFormula)


class _Metric(Generic[AnyFormula]):
    """A row of the table as a function of this module."""

    def __init__(self, name: str, formula: AnyFormula, says: str) -> None:
        self.__name__ = self.__qualname__ = name
        self.__doc__ = says
        self.formula: AnyFormula = formula

    def __repr__(self) -> str:
        return f"<metric {self.__name__}>"

    def __reduce__(self) -> str:
        return self.__name__  # pickled and copied by its name in this module, as functions are


class WholeMetric(_Metric[Formula]):
    """A metric of the whole ranking."""

    def __call__(
        self,
        query_codes: Codes,
        database_codes: Codes,
        *,
        query_labels: ArrayLike,
        database_labels: ArrayLike,
        ties: str = "expected",
    ) -> float:
        """Return the mean over the queries."""
        return Retrieval.of(query_codes, database_codes, query_labels, database_labels).mean(self.formula, ties=ties)


class RankMetric(_Metric[Formula]):
    """A metric of the first N = ``top_k`` items, 1..N."""

    def __call__(
        self,
        query_codes: Codes,
        database_codes: Codes,
        *,
        query_labels: ArrayLike,
        database_labels: ArrayLike,
        top_k: int,
        ties: str = "expected",
    ) -> float:
        """Return the mean over the queries."""
        retrieval = Retrieval.of(query_codes, database_codes, query_labels, database_labels)
        return retrieval.mean(self.formula, top_k=top_k, ties=ties)


class DepthMetric(_Metric[Formula]):
    """A metric of the first k = ``top_k`` items, or of the whole ranking."""

    def __call__(
        self,
        query_codes: Codes,
        database_codes: Codes,
        *,
        query_labels: ArrayLike,
        database_labels: ArrayLike,
        top_k: int | None = None,
        ties: str = "expected",
    ) -> float:
        """Return the mean over the queries."""
        retrieval = Retrieval.of(query_codes, database_codes, query_labels, database_labels)
        return retrieval.mean(self.formula, top_k=top_k, ties=ties)


class RadiusMetric(_Metric[RadiusFormula]):
    """A metric of the items within a Hamming radius, inclusive."""

    def __call__(
        self,
        query_codes: Codes,
        database_codes: Codes,
        *,
        query_labels: ArrayLike,
        database_labels: ArrayLike,
        radius: int = 2,
    ) -> float:
        """Return the mean over the queries."""
        retrieval = Retrieval.of(query_codes, database_codes, query_labels, database_labels)
        return retrieval.mean_within(self.formula, radius)


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
    legacy: str | None = None,
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
        empty: a query that finds nothing in its top R counts as 0 ("zero") or is left out ("drop", HashNet). Under
            "drop" the two tie bounds are each query's best and worst order; the mean over the queries that then find
            something need not bound the expected one. "first-k" reads on until it finds, so nothing is left out.
        legacy: print what the script of a public repository prints for these codes, tie order of its own sort call
            included; one of ``legacy.LEGACY_RULES``. The repository decides ``normalize``, ``ties`` and ``empty``, so
            none of them may be given.

    Raises:
        UsageError: codes, labels or options that do not fit, or no query with a relevant item.
    """
    if empty not in ("zero", "drop"):
        raise UsageError(f"empty is 'zero' or 'drop', not {empty!r}")
    if legacy is not None:
        _refuse_contradictions(legacy, normalize=normalize, ties=ties, empty=empty)
        return legacy_mean_average_precision(
            legacy,
            query_codes,
            database_codes,
            query_labels=query_labels,
            database_labels=database_labels,
            top_k=top_k,
        )

    scores = average_precisions(
        query_codes,
        database_codes,
        relevance_from_labels(query_labels, database_labels),
        top_k=top_k,
        normalize=normalize,
        ties=ties,
    )
    return mean_over_queries(scores[:, 0], scores[:, 1] if empty == "drop" else None)


def _refuse_contradictions(legacy: str, *, normalize: str, ties: str, empty: str) -> None:
    given = {"normalize": (normalize, "hits"), "ties": (ties, "expected"), "empty": (empty, "zero")}
    changed = [f"{name}={value!r}" for name, (value, default) in given.items() if value != default]
    if changed:
        raise UsageError(f"legacy={legacy!r} brings its own conventions; leave out {', '.join(changed)}, or legacy")


precision_at = RankMetric(
    "precision_at", formulas.PRECISION, "P@N: mean share of relevant items among the top N = ``top_k``."
)
recall_at = RankMetric(
    "recall_at",
    formulas.RECALL,
    "recall@N: mean share of the N_q relevant items that are among the top N. Not ``hit_at``.",
)
hit_at = RankMetric(
    "hit_at",
    formulas.HIT,
    'hit@N: mean chance of at least one relevant item among the top N ("Recall@k" of metric learning).',
)
mean_trapezoid_average_precision = WholeMetric(
    "mean_trapezoid_average_precision",
    formulas.TRAPEZOID,
    "Mean over queries of the area under the PR curve by trapezoids (ROxford, RParis); lower than mAP@all.",
)
mean_average_precision_at_r = WholeMetric(
    "mean_average_precision_at_r",
    formulas.AP_AT_R,
    "MAP@R of metric learning: mean AP over the first N_q items of each query, divided by its N_q.",
)
mean_r_precision = WholeMetric(
    "mean_r_precision",
    formulas.R_PRECISION,
    "R-precision of metric learning: mean share of relevant items among the first N_q of each query.",
)

precision_from_counts = formulas.PRECISION.from_counts
recall_from_counts = formulas.RECALL.from_counts
hit_from_counts = formulas.HIT.from_counts
trapezoid_average_precision_from_counts = formulas.TRAPEZOID.from_counts

# Graded relevance: the gain of an item is the number of labels it shares with the query ---------------

acg_from_counts, ndcg_from_counts = formulas.ACG.from_counts, formulas.NDCG.from_counts
acg_at = RankMetric("acg_at", formulas.ACG, "ACG@k: mean number of shared labels among the top k.")
mean_weighted_average_precision = DepthMetric(
    "mean_weighted_average_precision",
    formulas.WAP,
    "WAP@k: mean over queries of sum_{j <= k} r_j ACG@j / (relevant items found in the top k).",
)


def ndcg_at(
    query_codes: Codes,
    database_codes: Codes,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    top_k: int | None = None,
    scale: GainScale = "exponential",
    ties: str = "expected",
) -> float:
    """NDCG@k: gains 2^g - 1 ("exponential") or g ("linear"), discounts 1/log2(1 + rank), ideal over the database."""
    retrieval = Retrieval.of(query_codes, database_codes, query_labels, database_labels)
    return retrieval.mean(formulas.NDCG, top_k=top_k, ties=ties, scale=scale)


# Within a Hamming radius -----------------------------------------------------------------------------

precision_within_radius = RadiusMetric(
    "precision_within_radius",
    formulas.PRECISION_WITHIN,
    "P@H<=r: mean share of relevant items among those with d <= r; an empty ball counts as 0.",
)
recall_within_radius = RadiusMetric(
    "recall_within_radius", formulas.RECALL_WITHIN, "R@H<=r: mean share of the relevant items that have d <= r."
)
f1_within_radius = RadiusMetric("f1_within_radius", formulas.F1_WITHIN, "F1@H<=r: mean over queries of 2PR / (P + R).")
mean_average_precision_within_radius = RadiusMetric(
    "mean_average_precision_within_radius",
    formulas.AP_WITHIN,
    "mAP@H<=r: mean AP of the ranking inside the ball, expected over ties; 0 where it holds nothing relevant.",
)


def precision_recall_by_radius(
    query_codes: Codes,
    database_codes: Codes,
    *,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    average: Literal["macro", "micro"] = "macro",
) -> PrecisionRecallCurve:
    """PR curve over radii 0..D; free of ties."""
    counts = Retrieval.of(query_codes, database_codes, query_labels, database_labels).counts()
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
    counts = Retrieval.of(query_codes, database_codes, query_labels, database_labels).counts()
    return curve_by_rank_from_counts(counts, ranks=ranks, average=average, ties=ties)
