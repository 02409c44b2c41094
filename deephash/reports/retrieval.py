"""The section of retrieval figures: scores by every metric, by class, curves, the hardest queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from deephash.codes import hamming_distance
from deephash.evaluation.arrays import is_labelled
from deephash.evaluation.curves import Curves
from deephash.evaluation.relevance import IGNORED
from deephash.evaluation.scores import Column, ScoreTable, score
from deephash.reports.figures import class_figures, hardest_queries
from deephash.reports.record import HardQuery, Record
from deephash.reports.sections import Section
from deephash.reports.sides import LISTED, OWN, PAIRS, Sides

NEAREST = 5  # neighbours listed of a hard query
WIDE_RANGE = 0.02  # of the headline over tie orders, from which the report warns


class RetrievalScores(Section):
    """How well the right items are found. Where pairs stand in place of labels, only mAP and recall mean anything."""

    @cached_property
    def scores(self) -> ScoreTable:
        """One number for each query and metric."""
        sides = self.case.sides
        votes = sides.right == OWN
        return score(sides.query, sides.database, sides.relevance, self.case.settings, votes=votes)

    def columns(self) -> Iterator[tuple[Column, str]]:
        """Every metric of the settings."""
        right = self.case.sides.right
        for column in self.scores.columns:
            if right != PAIRS or column.metric.startswith(("mAP@", "R@")):
                yield column, right

    def data(self, headline: Column) -> dict[str, Any]:
        """Figures by class, curves, counts, and the queries with the lowest headline value."""
        sides, words = self.case.sides, self.case.class_names
        hardest = hardest_queries(headline, sides.query_labels, words, sides.query_names)
        return {
            "per_class": class_figures(headline, sides.query_labels, words) if sides.right == OWN else (),
            "curves": {name: getattr(self.scores.curves, name).tolist() for name in Curves.__dataclass_fields__},
            "counts": self._counts(headline),
            "hardest": tuple(_with_nearest(query, sides) for query in hardest),
        }

    def warnings(self, record: Record) -> Iterator[str]:
        """Queries in the database, and items that are left out."""
        sides, counts = self.case.sides, record.counts
        if self.case.checks_overlap and sides.overlap:
            yield (
                f"{sides.overlap:,} of {len(sides.query):,} queries are also in the database; the figures are inflated "
                "(--leave-one-out takes each query out of its own ranking)"
            )
        if self.case.checks_overlap and sides.overlap is None:
            yield "items have no names, so it was not checked whether queries are in the database"
        kind = "partner" if sides.right == PAIRS else "label"
        if counts["unlabelled_queries"]:
            yield f"{counts['unlabelled_queries']:,} of {counts['queries']:,} queries have no {kind} and are left out"
        if counts["unanswerable_queries"]:
            yield f"{counts['unanswerable_queries']:,} queries have no relevant item in the database and are left out"
        if counts["unlabelled_database"]:
            yield f"{counts['unlabelled_database']:,} database items have no {kind}; they count as wrong answers"

    def _counts(self, headline: Column) -> dict[str, float | int]:
        sides, ball_size = self.case.sides, self.scores.ball_size
        answered = int((~np.isnan(headline.scores.values)).sum())
        return {
            "queries": len(sides.query) + sides.num_unlabelled,
            "unlabelled_queries": sides.num_unlabelled,
            "unanswerable_queries": len(sides.query) - answered,
            "scored_queries": answered,
            "database": len(sides.database),
            "unlabelled_database": int((~is_labelled(sides.database_labels)).sum()),
            "empty_balls": float((ball_size == 0).mean()),
            "mean_ball_size": float(ball_size.mean()),
            "bytes_per_item": sides.database.packed.shape[1],
        }


class TieRange(Section):
    """Warns where the headline depends on the order of ties."""

    def warnings(self, record: Record) -> Iterator[str]:
        """The width of the range, where it is wide."""
        headline = record.headline
        if headline.optimistic is not None and headline.pessimistic is not None:
            width = headline.optimistic - headline.pessimistic
            if width > WIDE_RANGE:
                yield f"{headline.metric} varies by {width:.3f} with the order of tied items: compare under one policy"


def _with_nearest(query: HardQuery, sides: Sides) -> HardQuery:
    """Add the nearest items, equal distances in database order."""
    distances = hamming_distance(sides.query[[query.row]], sides.database)[0]
    gains = sides.relevance.rows(slice(query.row, query.row + 1)).gains()[0]
    ranked = np.flatnonzero(gains != IGNORED)
    most = min(NEAREST, len(ranked))
    near = ranked[distances[ranked] <= np.partition(distances[ranked], most - 1)[most - 1]] if most else ranked
    rows = near[np.argsort(distances[near], kind="stable")[:NEAREST]]
    names = sides.database_names
    return replace(
        query,
        labels=() if sides.right == LISTED else query.labels,
        nearest=tuple([f"row {row}" for row in rows] if names is None else names[rows].tolist()),
        distances=tuple(distances[rows].tolist()),
        relevant=tuple((gains[rows] > 0).tolist()),
    )
