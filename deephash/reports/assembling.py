"""Puts a report together: reads the question, asks its sections, and says under which protocol."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.listed import ListedPairs
from deephash.evaluation.scores import Column
from deephash.evaluation.settings import Settings
from deephash.reports.attack import Attack, Attacked
from deephash.reports.codes import Health, Neighbourhoods
from deephash.reports.figures import figure_of
from deephash.reports.legacy import Legacy
from deephash.reports.pairs import PairHits, Pairs
from deephash.reports.protocol import Protocol
from deephash.reports.record import Figure, column_name
from deephash.reports.report import EvaluationReport
from deephash.reports.retrieval import RetrievalScores, TieRange
from deephash.reports.sections import Case, MakeSection
from deephash.reports.sides import LISTED, OWN, PAIRS, Sides


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of codes against codes.

    Unlabelled queries are left out and counted; unlabelled database items stay, as wrong answers, and are counted.

    Attributes:
        query: Q codes.
        database: N codes of the same length.
        query_labels: class numbers [Q] (-1: unlabelled) or multi-hot [Q, C]; None on both sides where the own pair is
            all there is to find, or right items are listed.
        database_labels: the same for the database.
        settings: what is measured; see :class:`Settings`.
        protocol: what is known about the data and the model (dataset, split, backbone, task ...); the fields that the
            settings and the codes decide are filled in.
        method: what made the codes.
        class_names: words, in the order of the class numbers.
        query_names: one name a query; with ``database_names`` queries inside the database are found.
        database_names: one name a database item.
        pairs: pair numbers [Q] and [N] (-1: none) for hits at instance level: a picture and its captions, for example.
        attack: the same queries after an attack, for t-mAP and the mAP they lose.
        own: leave-one-out: the database row that each query is, [Q]; it is taken out of that query's ranking.
        listed: right and ignored items of each query, in place of labels (ROxford: easy, medium, hard; junk).
        sections: what else the report is to say; see :mod:`deephash.reports.sections`.
    """

    query: BinaryCodes
    database: BinaryCodes
    query_labels: ArrayLike | None = None
    database_labels: ArrayLike | None = None
    settings: Settings | None = None
    protocol: Protocol | None = None
    method: str = "codes"
    class_names: Sequence[str] = ()
    query_names: ArrayLike | None = None
    database_names: ArrayLike | None = None
    pairs: Pairs | None = None
    attack: Attack | None = None
    own: NDArray[np.int64] | None = None
    listed: ListedPairs | None = None
    sections: Sequence[MakeSection] = ()

    @property
    def right(self) -> str:
        """What makes an item right, in the word of protocols."""
        if self.listed is not None:
            return LISTED
        return PAIRS if self._has_no_labels and self.pairs is not None else OWN

    @property
    def _has_no_labels(self) -> bool:
        return self.query_labels is None and self.database_labels is None

    def sides(self) -> Sides:
        """Check that the question makes sense and return both sides. Raises UsageError."""
        settings, beside = self.settings or Settings(), self.pairs is not None or self.attack is not None
        beside = beside or settings.legacy is not None
        if self.listed is not None and (not self._has_no_labels or beside or self.own is not None):
            raise UsageError("listed items stand alone: no labels, pairs, attack, leave-one-out or legacy script")
        if self.own is not None and beside:
            raise UsageError("leave-one-out is scored by labels alone, without pairs, an attack or a legacy script")
        if settings.folds != 1 and self.pairs is None:
            raise UsageError(f"folds={settings.folds} cuts pairs into parts, and there are no pairs")
        asked, searched = self.query_labels, self.database_labels
        if self.right == PAIRS and self.pairs is not None:
            asked, searched = self.pairs
        if self.right == LISTED:  # all are scored, none by a label
            asked, searched = np.zeros(len(self.query), np.int64), np.zeros(len(self.database), np.int64)
        if asked is None or searched is None:
            raise UsageError("without labels on both sides, or pairs, nothing says what is relevant")
        names = self.query_names, self.database_names
        sides = (self.query, self.database, asked, searched, *names)
        return Sides.of(*sides, right=self.right, own=self.own, listed=self.listed)

    def makers(self) -> Iterator[MakeSection]:
        """Yield the makers of all sections in the order of their columns, figures and warnings."""
        first: list[MakeSection] = [RetrievalScores]
        if self.pairs is not None:  # the headline, where nothing else says what is right
            first.insert(0 if self.right == PAIRS else 1, partial(PairHits, pairs=self.pairs))
        yield from (*first, Health, TieRange)
        if self.attack is not None:
            yield partial(Attacked, attack=self.attack)
        yield Neighbourhoods
        if self.settings is not None and self.settings.legacy is not None:
            yield partial(Legacy, repository=self.settings.legacy)
        yield from self.sections


def evaluate_codes(
    query: BinaryCodes,
    database: BinaryCodes,
    query_labels: ArrayLike | None,
    database_labels: ArrayLike | None,
    **asked: Any,
) -> EvaluationReport:
    """Score codes against codes; all arguments are those of :class:`Question`.

    Raises:
        UsageError: arrays that do not fit, no labelled query, no query with a right answer, a cut-off out of range.
    """
    return answer(Question(query, database, query_labels, database_labels, **asked))


def answer(question: Question) -> EvaluationReport:
    """Score and describe; errors as in :func:`evaluate_codes`."""
    case = _case_of(question)
    sections = [make(case) for make in question.makers()]
    started = time.perf_counter()
    entries = [entry for section in sections for entry in section.columns()]
    headline = entries[0][0]
    if np.isnan(headline.scores.values).all():
        raise UsageError(
            f"none of the {len(case.sides.query):,} labelled queries has a relevant item in the database, so no metric "
            "is defined; check that both sides use the same class numbers"
        )
    scored = time.perf_counter()
    figures = [_figure(column, right, case) for column, right in entries]
    figures += [figure for section in sections for figure in section.figures(figures[0])]
    intervals = time.perf_counter()
    fields: dict[str, Any] = {}
    for section in sections:
        fields |= section.data(headline)
    timings = {
        "scoring": scored - started,
        "intervals": intervals - scored,
        "code_health": time.perf_counter() - intervals,
    }
    report = EvaluationReport(
        method=question.method,
        protocol=figures[0].protocol,
        figures=tuple(figures),
        timings=timings,
        environment=environment(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        per_query=_per_query(case.sides, entries),
        **fields,
    )
    return replace(report, warnings=tuple(each for section in sections for each in section.warnings(report)))


def environment() -> dict[str, str]:
    """Return versions and machine, as they stand in a report."""
    found = {name: metadata.version(name) for name in ("deephash", "numpy")}
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return {**found, "python": platform.python_version(), "system": system}


# Parts -------------------------------------------------------------------------------------------------


def _case_of(question: Question) -> Case:
    """Fill in what the settings and the codes decide of the protocol, all but the metric and the number of queries.

    A query in the database is an error, unless it is the other view of a pair, can be left out or asks another side.
    """
    sides, settings, given = question.sides(), question.settings or Settings(), question.protocol or Protocol()
    alone = question.pairs is None and sides.own is None and sides.right == OWN
    checks_overlap = given.task == "same-side" and alone
    overlap = sides.overlap if checks_overlap else 0
    protocol = replace(
        given,
        ties=settings.ties,
        normalize=settings.normalize,
        empty=settings.empty,
        num_bits=sides.query.num_bits,
        levels=sides.query.num_levels,
        distance="hamming" if sides.query.layout.is_flat else "symmetric",
        num_database=len(sides.database),
        split=sides.split if given.split == "unknown" else given.split,
        overlap=f"{overlap} queries in database" if overlap else given.overlap,
        leave_one_out=given.leave_one_out if sides.own is None else "yes",
    )
    return Case(sides, settings, protocol, tuple(question.class_names), checks_overlap)


def _figure(column: Column, right: str, case: Case) -> Figure:
    known = int((~np.isnan(column.scores.values)).sum())
    own = replace(case.protocol, relevance=right, num_queries=known)
    if right == PAIRS and column.metric.startswith("hit@"):
        own = replace(own, folds=case.settings.folds)
    return figure_of(column, own, case.settings)


def _per_query(sides: Sides, entries: Sequence[tuple[Column, str]]) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {"row": sides.query_rows, "labels": sides.query_labels}
    if sides.query_names is not None:
        columns["names"] = sides.query_names
    for column, right in entries:
        name = column_name(column.metric, column.normalize, right)
        columns[name] = column.scores.values
        if column.scores.found is not None:
            columns[f"{name}|found"] = column.scores.found
    return columns
