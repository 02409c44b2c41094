"""One pass over the codes that fills every column of a report: a number for each query and metric.

Counting is the expensive part and is done once; each metric then costs a few operations on K + 1 numbers a query.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.counts import DistanceCounts, count_blocks, max_distance
from deephash.evaluation.curves import Curves, CurveSums
from deephash.evaluation.engine import COUNT_TIES, average_precisions, score_queries
from deephash.evaluation.formulas import WITHIN, Formula, RadiusFormula, asked_for, mean_ap
from deephash.evaluation.groups import FloatArray, RankedGroups, gain_values, groups_from_counts
from deephash.evaluation.knn import knn_correct
from deephash.evaluation.radius import ball_size
from deephash.evaluation.ranking import Normalize, hit
from deephash.evaluation.rankings import sort_of_ties
from deephash.evaluation.relevance import Relevance
from deephash.evaluation.settings import Settings as Settings
from deephash.evaluation.symmetric import score_counts

NEIGHBOURS = 20  # of the kNN accuracy


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
        attack: what was done to the queries before, in the words of protocols.
    """

    metric: str
    normalize: str
    scores: QueryScores
    best: QueryScores | None = None
    worst: QueryScores | None = None
    gain: str = "none"
    ties: str | None = None
    attack: str = "none"


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

    Codes of several levels are ranked by the symmetric distance, and not scored within a radius nor by kNN.

    Raises:
        UsageError: nothing to score, a cut-off beyond the database, an unknown tie policy.
    """
    size = len(database) - (relevance.own is not None)
    _validate(settings, query, size)
    wanted = [
        _Asked(formula, top_k, settings, size)
        for formula, top_k in asked_for(settings, size, is_graded=relevance.max_gain > 1)
    ]
    curves = CurveSums(size, max_distance(query))
    blocks, balls, inside = [], [], []
    flat = query.layout.is_flat
    for _, counts in count_blocks(query, database, relevance):
        if flat:
            blocks.append([asked.all_orders(counts) for asked in wanted])
        balls.append(ball_size(counts, settings.radius))
        inside.append([_within_radius(formula, counts, settings) for formula in WITHIN])
        curves.add(counts)
    if not flat:  # their order is that of scores; only curves and balls are of bits, summed over levels
        blocks = [[asked.all_orders(each) for asked in wanted] for _, each in score_counts(query, database, relevance)]
    columns = [_joined(asked, [block[place] for block in blocks]) for place, asked in enumerate(wanted)]
    if not flat:
        return ScoreTable(tuple(columns), curves.curves(), np.concatenate(balls))
    if settings.ties not in COUNT_TIES:
        columns = _in_explicit_order(columns, wanted, query, database, relevance, settings)
    for place, formula in enumerate(WITHIN):
        columns.append(_radius_column(formula, [block[place] for block in inside], settings))
    classes = relevance.labels.classes
    if votes and classes is not None and size >= NEIGHBOURS:
        answered = ~np.isnan(columns[0].scores.values)
        columns.append(_knn(query, database, classes, settings, answered, relevance.own))
    return ScoreTable(tuple(columns), curves.curves(), np.concatenate(balls))


# How a column is made ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Asked:
    """A formula as a report asks for it."""

    formula: Formula
    top_k: int | None
    settings: Settings
    size: int

    @property
    def is_mean_ap(self) -> bool:
        return self.formula.name == mean_ap("hits").name

    @property
    def normalize(self) -> str:
        return self.formula.normalize or self.settings.normalize

    @property
    def found_within(self) -> int | None:
        """Where a query must find something to be in the mean, under ``empty="drop"``; only AP drops any."""
        if self.settings.empty != "drop" or not self.is_mean_ap:
            return None
        return self.size if self.normalize == "first-k" else self.top_k or self.size

    def all_orders(self, counts: DistanceCounts) -> list[QueryScores]:
        """Scores under the policy, the best and the worst order."""
        given = self.scores(counts, _count_policy(self.settings.ties))
        return [given, self.scores(counts, "optimistic"), self.worst(counts)]

    def scores(self, counts: DistanceCounts, ties: str) -> QueryScores:
        values = self.formula.from_counts(counts, top_k=self.top_k, ties=ties)
        if self.found_within is None:
            return QueryScores(values)
        return QueryScores(values, hit(groups_from_counts(counts, ties), self.found_within))

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


def _joined(asked: _Asked, blocks: list[list[QueryScores]]) -> Column:
    def join(place: int) -> QueryScores:
        parts = [block[place] for block in blocks]
        found = [part.found for part in parts if part.found is not None]
        return QueryScores(np.concatenate([part.values for part in parts]), np.concatenate(found) if found else None)

    name = asked.formula.name.format(asked.top_k or "all")
    return Column(name, asked.normalize, join(0), join(1), join(2), asked.formula.gain)


def _in_explicit_order(
    columns: list[Column],
    wanted: list[_Asked],
    query: BinaryCodes,
    database: BinaryCodes,
    relevance: Relevance,
    settings: Settings,
) -> list[Column]:
    """Replace the expected values by those of one order of the tied items; the bounds stay.

    One ranking, only as deep as anybody looks, serves all metrics but AP, which needs no ranking.
    """
    ranked = [asked for asked in wanted if not asked.is_mean_ap]

    def of_groups(groups: RankedGroups) -> FloatArray:
        return np.stack([asked.formula.of_groups(_looked_at(groups, asked), asked.top_k) for asked in ranked], axis=1)

    depths = [asked.top_k for asked in ranked]
    deepest = None if None in depths else max(filter(None, depths), default=1)
    values: Iterator[FloatArray] = iter(())
    if ranked:
        values = iter(score_queries(query, database, relevance, of_groups, ties=settings.ties, top_k=deepest).T)

    def in_order(asked: _Asked) -> QueryScores:
        if not asked.is_mean_ap:
            return QueryScores(next(values))
        normalize = cast("Normalize", asked.normalize)
        scores, found = average_precisions(
            query, database, relevance, top_k=asked.top_k, normalize=normalize, ties=settings.ties
        ).T
        return QueryScores(scores, found if asked.found_within else None)

    return [replace(column, scores=in_order(asked)) for column, asked in zip(columns, wanted, strict=True)]


def _looked_at(groups: RankedGroups, asked: _Asked) -> RankedGroups:
    """Cut rankings of single items where the metric looks no further, and put gains on its scale."""
    if asked.top_k is not None and groups.items.min(initial=1) == 1:  # ignored items take no place
        columns = ("items", "relevant", "gain")
        groups = replace(groups, **{name: getattr(groups, name)[:, : asked.top_k] for name in columns})
    if asked.formula.scale == "linear":
        return groups
    values = gain_values(groups.totals.shape[1] - 1, asked.formula.scale)
    return replace(groups, gain=values[groups.gain.astype(np.int64)], gain_values=values)


def _within_radius(formula: RadiusFormula, counts: DistanceCounts, settings: Settings) -> list[FloatArray]:
    policies = [_count_policy(settings.ties), *(("optimistic", "pessimistic") if formula.has_ties else ())]
    return [formula.of_counts(counts, settings.radius, ties) for ties in policies]


def _radius_column(formula: RadiusFormula, blocks: list[list[FloatArray]], settings: Settings) -> Column:
    given, *bounds = (QueryScores(np.concatenate(parts)) for parts in zip(*blocks, strict=True))
    best, worst = bounds or (None, None)
    ties = _count_policy(settings.ties) if formula.has_ties else None
    name, normalize = formula.name.format(settings.radius), formula.normalize or settings.normalize
    return Column(name, normalize, given, best, worst, ties=ties)


def _count_policy(ties: str) -> str:
    """The policy that counts can decide; a single order of ties is left to ``_in_explicit_order``."""
    return ties if ties in COUNT_TIES else "expected"


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
        query.layout.require_flat(f"an explicit order of ties (ties={settings.ties!r})")
        sort_of_ties(settings.ties, size)
