"""One pass over the codes that fills every column of a report: a number for each query and metric.

Counting is the expensive part and is done once; each metric then costs a few operations on K + 1 numbers a query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.counts import DistanceCounts, count_blocks, max_distance
from deephash.evaluation.curves import Curves, CurveSums
from deephash.evaluation.engine import COUNT_TIES, average_precisions, score_queries
from deephash.evaluation.graded import (
    average_gain,
    normalised_discounted_gain,
    weighted_average_precision,
    weighted_average_precision_from_counts,
)
from deephash.evaluation.groups import FloatArray, RankedGroups, gain_values, groups_from_counts
from deephash.evaluation.knn import knn_correct
from deephash.evaluation.radius import average_precision_within_radius_from_counts, ball_scores_from_counts
from deephash.evaluation.ranking import (
    NORMALIZE,
    average_precision_at_r,
    average_precision_from_counts,
    hit,
    precision,
    r_precision,
    recall,
    trapezoid_average_precision,
    trapezoid_average_precision_from_counts,
)
from deephash.evaluation.rankings import sort_of_ties
from deephash.evaluation.relevance import Relevance
from deephash.numbers import whole

HIT_RANKS = 10  # hit@N says little beyond
NEIGHBOURS = 20  # of the kNN accuracy
EXPONENTIAL, LINEAR = "2^g-1", "g"


@dataclass(frozen=True)
class Settings:
    """What is measured, and by which conventions; see :class:`~deephash.evaluation.protocol.Protocol` for the words.

    Attributes:
        top_k: R of the headline mAP@R; None ranks everything.
        ties: ``expected``, ``optimistic``, ``pessimistic``, ``stable`` or ``random:SEED``.
        normalize: denominator of AP; ``min`` is always reported beside it where they differ.
        empty: a query that finds nothing in the top R counts 0 (``zero``) or is left out (``drop``).
        radius: r of the hash look-up figures.
        ranks: N of P@N and recall@N; those larger than the database are left out.
        resamples: bootstrap samples; 0 leaves the intervals out.
        seed: of the bootstrap.
        legacy: public repository whose mAP@R is printed too; see ``deephash.evaluation.legacy``.
        folds: parts into which pairs are cut for the hits at instance level.
        trapezoid: also report AP by trapezoids, as the scripts of ROxford and RParis compute it.
        at_r: also report MAP@R and R-precision of metric learning, whose R is each query's number of relevant items.
    """

    top_k: int | None = None
    ties: str = "expected"
    normalize: Literal["hits", "min", "total", "first-k"] = "hits"
    empty: Literal["zero", "drop"] = "zero"
    radius: int = 2
    ranks: tuple[int, ...] = (1, 10, 100)
    resamples: int = 1000
    seed: int = 0
    legacy: str | None = None
    folds: int = 1
    trapezoid: bool = False
    at_r: bool = False

    def __post_init__(self) -> None:
        if self.normalize not in NORMALIZE:
            raise UsageError(f"normalize is one of {', '.join(NORMALIZE)}, not {self.normalize!r}")
        if self.empty not in ("zero", "drop"):
            raise UsageError(f"empty is 'zero' or 'drop', not {self.empty!r}")
        if self.top_k is not None:
            whole(self.top_k, "top_k, or None for the whole database,", least=1)
        for name in ("seed", "resamples"):
            whole(getattr(self, name), name)
        for number in (*self.ranks, self.folds):
            whole(number, "a rank or a number of folds", least=1)


@dataclass(frozen=True, eq=False)
class QueryScores:
    """One number a query.

    Attributes:
        values: [Q]; NaN where the query has no relevant item in the database.
        found: [Q], chance that the query finds anything, the weight of ``empty="drop"``; None where it has no say.
    """

    values: FloatArray
    found: FloatArray | None = None

    def mean(self, rows: NDArray[np.integer] | None = None) -> float:
        """Mean over the queries (of ``rows``) that have an answer; NaN where none has."""
        values = self.values if rows is None else self.values[rows]
        known = ~np.isnan(values)
        if not known.any():
            return float("nan")
        if self.found is None:
            return float(values[known].mean())
        weight = float((self.found if rows is None else self.found[rows])[known].sum())
        return float(values[known].sum()) / weight if weight > 0 else 0.0


@dataclass(frozen=True, eq=False)
class Column:
    """One metric for every query.

    Attributes:
        metric: e.g. ``mAP@all``.
        normalize: the denominator it was made with.
        scores: under the chosen tie policy.
        best: the best any order of tied items can give; None for a metric that knows no ties. With ``found``
            (``empty="drop"``): the best of a query that finds something, and whether it can.
        worst: the worst; with ``found``: the worst of a query that finds something, and whether it must.
        gain: how a number of shared labels counts, where the metric uses it.
        ties: the policy of ``scores`` where it is not that of the settings.
    """

    metric: str
    normalize: str
    scores: QueryScores
    best: QueryScores | None = None
    worst: QueryScores | None = None
    gain: str = "none"
    ties: str | None = None


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """All columns, headline first, the curves, and the size of the balls of the look-up figures, [Q]."""

    columns: tuple[Column, ...]
    curves: Curves
    ball_size: FloatArray


def score(
    query: BinaryCodes, database: BinaryCodes, relevance: Relevance, settings: Settings, *, votes: bool = True
) -> ScoreTable:
    """Score every query by every metric; without ``votes`` not by kNN, which is senseless for classes of a few items.

    Raises:
        UsageError: nothing to score, a cut-off beyond the database, an unknown tie policy.
    """
    size = len(database) - (relevance.own is not None)
    _validate(settings, query, size)
    formulas = list(_formulas(settings, size, is_graded=relevance.max_gain > 1))
    curves = CurveSums(size, max_distance(query))
    blocks, balls, inside = [], [], []
    for _, counts in count_blocks(query, database, relevance):
        blocks.append([formula.all_orders(counts, settings.ties) for formula in formulas])
        balls.append(ball_scores_from_counts(counts, radius=settings.radius))
        inside.append(_orders_within_radius(counts, settings))
        curves.add(counts)
    columns = [_joined(formula, [block[place] for block in blocks]) for place, formula in enumerate(formulas)]
    if settings.ties not in COUNT_TIES:
        columns = _in_explicit_order(columns, formulas, query, database, relevance, settings)
    for name, field in (("P", "precision"), ("R", "recall"), ("F1", "f1")):
        values = np.concatenate([getattr(ball, field) for ball in balls])
        columns.append(Column(f"{name}@H<={settings.radius}", settings.normalize, QueryScores(values)))
    given, best, worst = (QueryScores(np.concatenate([block[place] for block in inside])) for place in range(3))
    name = f"mAP@H<={settings.radius}"
    columns.append(Column(name, "hits", given, best, worst, ties=_count_policy(settings.ties)))
    classes = relevance.labels.classes
    if votes and classes is not None and size >= NEIGHBOURS:
        answered = ~np.isnan(columns[0].scores.values)
        columns.append(_knn(query, database, classes, settings, answered, relevance.own))
    return ScoreTable(tuple(columns), curves.curves(), np.concatenate([ball.ball_size for ball in balls]))


# How a column is made ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Formula:
    """A metric from counts, and in one order of the tied items: from its ranking or, for AP, from the codes at once."""

    metric: str
    normalize: str
    of_groups: Callable[[RankedGroups], FloatArray] | None
    of_counts: Callable[[DistanceCounts, str], FloatArray]
    of_codes: Callable[[BinaryCodes, BinaryCodes, Relevance, str], FloatArray] | None = None  # values and found, [Q, 2]
    found_within: int | None = None
    gain: str = "none"
    depth: int | None = None  # how far down the ranking the metric looks

    def all_orders(self, counts: DistanceCounts, ties: str) -> list[QueryScores]:
        """Scores under the policy, the best and the worst order."""
        return [self.scores(counts, _count_policy(ties)), self.scores(counts, "optimistic"), self.worst(counts)]

    def scores(self, counts: DistanceCounts, ties: str) -> QueryScores:
        if self.found_within is None:
            return QueryScores(self.of_counts(counts, ties))
        return QueryScores(self.of_counts(counts, ties), hit(groups_from_counts(counts, ties), self.found_within))

    def worst(self, counts: DistanceCounts) -> QueryScores:
        """Scores in the worst order; with ``found_within`` = R, of those that find something (at worst one, at rank R).

        "drop" leaves the others out of the mean, so their 0 is not the worst they can add to it.
        """
        scores = self.scores(counts, "pessimistic")
        if scores.found is None or self.found_within is None:
            return scores
        relevant = np.maximum(counts.num_relevant, 1)
        denominator = {"total": relevant, "min": np.minimum(relevant, self.found_within)}.get(self.normalize, 1)
        least = 1 / self.found_within / denominator
        return QueryScores(np.where(scores.found == 0, least, scores.values), scores.found)


def _formulas(settings: Settings, size: int, *, is_graded: bool) -> Iterator[_Formula]:
    wanted = [(settings.top_k, settings.normalize)]
    if settings.top_k not in (None, size):  # on the whole database all denominators agree
        wanted += [(settings.top_k, "min"), (None, settings.normalize)]
    for top_k, normalize in dict.fromkeys(wanted):
        yield _average_precision(top_k, normalize, settings.empty, size)
    if settings.trapezoid:
        yield _Formula(
            "trapezoid mAP@all",
            settings.normalize,
            of_counts=lambda counts, ties: trapezoid_average_precision_from_counts(counts, ties=ties),
            of_groups=trapezoid_average_precision,
        )
    if settings.at_r:
        yield _at_own_depth("MAP@R", average_precision_at_r)
        yield _at_own_depth("R-precision", r_precision)
    for rank in settings.ranks:
        if rank <= size:
            yield _at_rank(f"P@{rank}", precision, rank, settings)
            yield _at_rank(f"R@{rank}", recall, rank, settings)
        if rank <= min(size, HIT_RANKS):
            yield _at_rank(f"hit@{rank}", hit, rank, settings)
    if is_graded:
        yield from _graded(min(max(settings.ranks, default=size), size), settings)


def _average_precision(
    top_k: int | None, normalize: Literal["hits", "min", "total", "first-k"], empty: str, size: int
) -> _Formula:
    return _Formula(
        f"mAP@{top_k or 'all'}",
        normalize,
        None,
        lambda counts, ties: average_precision_from_counts(counts, top_k=top_k, normalize=normalize, ties=ties),
        lambda query, database, relevance, ties: average_precisions(
            query, database, relevance, top_k=top_k, normalize=normalize, ties=ties
        ),
        (size if normalize == "first-k" else top_k or size) if empty == "drop" else None,
    )


def _at_rank(
    metric: str, formula: Callable[[RankedGroups, int], FloatArray], rank: int, settings: Settings
) -> _Formula:
    return _Formula(
        metric,
        settings.normalize,
        lambda groups: formula(groups, rank),
        lambda counts, ties: formula(groups_from_counts(counts, ties), rank),
        depth=rank,
    )


def _at_own_depth(metric: str, formula: Callable[[RankedGroups], FloatArray]) -> _Formula:
    """A metric that looks as deep as the query has relevant items, and divides by their number."""
    return _Formula(metric, "total", formula, lambda counts, ties: formula(groups_from_counts(counts, ties)))


def _graded(rank: int, settings: Settings) -> Iterator[_Formula]:
    """NDCG needs groups on the exponential scale, ACG and WAP on the linear one."""

    def ndcg(counts: DistanceCounts, ties: str) -> FloatArray:
        return normalised_discounted_gain(groups_from_counts(counts, ties, "exponential"), rank)

    def exponential(groups: RankedGroups) -> FloatArray:
        return normalised_discounted_gain(_on_exponential_scale(groups), rank)

    yield _Formula(f"NDCG@{rank}", settings.normalize, exponential, ndcg, gain=EXPONENTIAL, depth=rank)
    yield replace(_at_rank(f"ACG@{rank}", average_gain, rank, settings), gain=LINEAR)
    yield replace(
        _at_rank(f"WAP@{rank}", weighted_average_precision, rank, settings),
        normalize="hits",
        gain=LINEAR,
        of_counts=lambda counts, ties: weighted_average_precision_from_counts(counts, top_k=rank, ties=ties),
    )


def _on_exponential_scale(groups: RankedGroups) -> RankedGroups:
    """Rescale groups of one item, whose gain is the gain itself."""
    values = gain_values(groups.totals.shape[1] - 1, "exponential")
    return replace(groups, gain=values[groups.gain.astype(np.int64)], gain_values=values)


def _joined(formula: _Formula, blocks: list[list[QueryScores]]) -> Column:
    def join(place: int) -> QueryScores:
        parts = [block[place] for block in blocks]
        found = [part.found for part in parts if part.found is not None]
        return QueryScores(np.concatenate([part.values for part in parts]), np.concatenate(found) if found else None)

    return Column(formula.metric, formula.normalize, join(0), join(1), join(2), formula.gain)


def _in_explicit_order(
    columns: list[Column],
    formulas: list[_Formula],
    query: BinaryCodes,
    database: BinaryCodes,
    relevance: Relevance,
    settings: Settings,
) -> list[Column]:
    """Replace the expected values by those of one order of the tied items; the bounds stay.

    One ranking, only as deep as anybody looks, serves all metrics but AP, which needs no ranking.
    """
    ranked = [(formula.metric, formula.of_groups, formula.depth) for formula in formulas if formula.of_groups]
    depths = [depth for _, _, depth in ranked]

    def of_groups(groups: RankedGroups) -> FloatArray:
        return np.stack([values(_first(groups, depth)) for _, values, depth in ranked], axis=1)

    deepest = None if None in depths else max(filter(None, depths), default=1)
    table: dict[str, FloatArray] = {}
    if ranked:
        values = score_queries(query, database, relevance, of_groups, ties=settings.ties, top_k=deepest)
        table = dict(zip([metric for metric, _, _ in ranked], values.T, strict=True))

    def in_order(formula: _Formula) -> QueryScores:
        if formula.of_codes is None:
            return QueryScores(table[formula.metric])
        values, found = formula.of_codes(query, database, relevance, settings.ties).T
        return QueryScores(values, found if formula.found_within else None)

    return [replace(column, scores=in_order(formula)) for column, formula in zip(columns, formulas, strict=True)]


def _count_policy(ties: str) -> str:
    """The policy that counts can decide; a single order of ties is left to ``_in_explicit_order``."""
    return ties if ties in COUNT_TIES else "expected"


def _orders_within_radius(counts: DistanceCounts, settings: Settings) -> list[FloatArray]:
    return [
        average_precision_within_radius_from_counts(counts, radius=settings.radius, ties=order)
        for order in (_count_policy(settings.ties), "optimistic", "pessimistic")
    ]


def _first(groups: RankedGroups, depth: int | None) -> RankedGroups:
    """Cut rankings of single items after ``depth`` places; a metric that looks no further is unchanged."""
    if depth is None or groups.items.min(initial=1) < 1:  # ignored items take no place
        return groups
    return replace(groups, **{name: getattr(groups, name)[:, :depth] for name in ("items", "relevant", "gain")})


def _knn(
    query: BinaryCodes,
    database: BinaryCodes,
    classes: tuple[NDArray[np.int64], NDArray[np.int64]],
    settings: Settings,
    answered: NDArray[np.bool_],
    own: NDArray[np.int64] | None,
) -> Column:
    policies = (settings.ties, "optimistic", "pessimistic")
    correct = knn_correct(query, database, *classes, NEIGHBOURS, policies=policies, own=own)
    given, best, worst = (QueryScores(column) for column in np.where(answered[:, None], correct, np.nan).T)
    return Column(f"kNN@{NEIGHBOURS}", settings.normalize, given, best, worst)


def _validate(settings: Settings, query: BinaryCodes, size: int) -> None:
    if not len(query) or not size:
        raise UsageError(f"nothing to score: {len(query):,} queries against {size:,} items")
    if settings.top_k is not None and settings.top_k > size:
        raise UsageError(f"top_k is {settings.top_k:,} but the database has {size:,} items to find")
    if not 0 <= settings.radius <= max_distance(query):
        raise UsageError(
            f"radius is 0..{max_distance(query)} for codes of {max_distance(query)} bits, not {settings.radius}"
        )
    if settings.ties not in COUNT_TIES:
        sort_of_ties(settings.ties, size)
