"""Several models in one report: what lifelong hashing forgets, and whether an update may keep the old codes.

A *stage* is a model with the codes it made: queries, and the items it added to the database. Database codes are kept as
they were made, which is the point of lifelong hashing and of compatible updates; ``reencoded`` measures what encoding
everything anew would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.codefile import CodeFile, number_labels, require_labels
from deephash.evaluation.compatibility import compatibility_scores
from deephash.evaluation.engine import average_precisions
from deephash.evaluation.groups import FloatArray
from deephash.evaluation.lifelong import lifelong_scores
from deephash.evaluation.relevance import relevance_from_labels
from deephash.evaluation.scores import Column
from deephash.evaluation.settings import Settings
from deephash.reports.protocol import Protocol
from deephash.reports.record import Figure, Series
from deephash.reports.report import EvaluationReport
from deephash.reports.sections import Case, Section
from deephash.scoring.sides import CodePair
from deephash.scoring.targets import Asked, evaluate_pair

Summary = Callable[[FloatArray], dict[str, float]]
"""[T, T] scores of which the lower triangle is read -> name of a figure -> value."""

_SIDES = ("worst", "best")
LEVEL = 0.95  # of the intervals
BLOCK_RESAMPLES = 100


@dataclass(frozen=True, eq=False)
class Cell:
    """One ranking of the table: query model t, and a session or gallery k <= t.

    Attributes:
        given: AP of each query under the chosen tie policy, [Q]; NaN without any relevant item.
        best: under the best order of ties.
        worst: under the worst.
        group: cells of one group rank the same queries.
    """

    given: FloatArray
    best: FloatArray
    worst: FloatArray
    group: int


Cells = dict[tuple[int, int], Cell]


def evaluate_lifelong(
    stages: Sequence[CodePair],
    *,
    settings: Settings | None = None,
    protocol: Protocol | None = None,
    reencoded: bool = False,
) -> EvaluationReport:
    """Score T stages of one model that learns session after session.

    The report is that of the last stage, with the final average over sessions, forgetting and backward transfer (see
    :mod:`deephash.evaluation.lifelong`) of mAP@R and the table behind them.

    Args:
        stages: stage t holds codes of the queries of all sessions up to t, with ``sessions``; and of the items of
            session t as ``database``. With ``reencoded``, of all items so far.
        settings: R, denominator and ties of the mAP, and what else is measured at the last stage.
        protocol: what is known about the data.
        reencoded: search each stage's own database only.

    Raises:
        UsageError: fewer than two stages, sessions that are missing, or codes and labels that do not fit.
    """
    options = settings or Settings()
    queries, galleries = _in_one_numbering(stages)
    if not reencoded:
        galleries = [joined(galleries[: number + 1]) for number in range(len(stages))]
    cells: Cells = {}
    asked = [_by_session(query, number + 1) for number, query in enumerate(queries)]
    for session in range(len(stages)):
        _require_same_queries([sessions[session] for sessions in asked[session:]])
    for stage, sessions in enumerate(asked):
        for session, query in enumerate(sessions):
            cells[stage, session] = _cell(query, galleries[stage], options, session)
    last = CodePair(queries[-1], galleries[-1], stages[-1].method, stages[-1].protocol)
    names = tuple(stage.method for stage in stages)
    table = Table("lifelong", "reencoded" if reencoded else "frozen", names, cells, _lifelong)
    return evaluate_pair(last, Asked(settings, protocol, sections=(partial(SeriesFigures, table=table),)))


def evaluate_compatibility(
    models: Sequence[CodePair], *, settings: Settings | None = None, protocol: Protocol | None = None
) -> EvaluationReport:
    """Score T models, oldest first, that each encoded the same queries and the same database.

    The report is that of the newest model on its own codes, with AC (share of pairs in which the newer model's queries
    do better on the older gallery than the older queries did), AM (mean of all scores; see
    :mod:`deephash.evaluation.compatibility`) and the table behind them.

    Raises:
        UsageError: fewer than two models, or codes and labels that do not fit.
    """
    options = settings or Settings()
    queries, galleries = _in_one_numbering(models)
    queries = [_by_name(query) for query in queries]
    _require_same_queries(queries)
    cells = {
        (new, old): _cell(queries[new], galleries[old], options, 0)
        for new in range(len(models))
        for old in range(new + 1)
    }
    last = CodePair(queries[-1], galleries[-1], models[-1].method, models[-1].protocol)
    table = Table("compatibility", "", tuple(model.method for model in models), cells, _compatibility)
    return evaluate_pair(last, Asked(settings, protocol, sections=(partial(SeriesFigures, table=table),)))


# Figures -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Table:
    """The cells of a series.

    Attributes:
        kind: ``lifelong`` or ``compatibility``.
        how: of the codes, ``frozen`` or ``reencoded``; may be empty.
        names: of the T stages.
        cells: of the lower triangle.
        summary: the figures.
    """

    kind: str
    how: str
    names: tuple[str, ...]
    cells: Cells
    summary: Summary


class SeriesFigures(Section):
    """The figures of a series and the table behind them, beside those of its last stage."""

    def __init__(self, case: Case, table: Table) -> None:
        super().__init__(case)
        self.table, self.means = table, _means(table.cells, len(table.names))

    def figures(self, headline: Figure) -> Iterator[Figure]:
        """Each with its range over tie orders and its interval."""
        table, size = self.table, len(self.table.names)
        lowest, highest = _extremes(table.cells, size, table.summary)
        ends = _intervals(table.cells, size, table.summary, self.case.settings)
        word = f"{table.kind}-{table.how}:{size}" if table.how else f"{table.kind}:{size}"
        own = replace(headline.protocol, series=word, empty="zero")
        for name, value in table.summary(self.means).items():
            metric = f"{name} {headline.metric}"
            doubts = (lowest[name], highest[name], *ends.get(name, (None, None)))
            yield Figure(metric, value, own.for_metric(metric), *doubts)

    def data(self, headline: Column) -> dict[str, Any]:
        """The table."""
        rows = tuple(tuple(float(score) for score in row[: place + 1]) for place, row in enumerate(self.means))
        return {"series": Series(self.table.kind, headline.metric, self.table.names, rows)}


def _lifelong(scores: FloatArray) -> dict[str, float]:
    found = lifelong_scores(scores)
    return {
        "final average of": found.final_average,
        "forgetting of": found.forgetting,
        "backward transfer of": found.backward_transfer,
    }


def _compatibility(scores: FloatArray) -> dict[str, float]:
    found = compatibility_scores(scores)
    return {"AC of": found.compatibility, "AM of": found.mean_score}


def _means(cells: Cells, size: int) -> FloatArray:
    table = np.full((size, size), np.nan)
    for place, cell in cells.items():
        table[place] = np.nanmean(cell.given)
    return table


def _extremes(cells: Cells, size: int, summary: Summary) -> tuple[dict[str, float], dict[str, float]]:
    """Return the least and the largest value of each figure over all orders of ties.

    Rankings are independent, and each figure rises or falls with a cell whatever the others hold; which of the two
    depends on the place (earlier stages, last stage, diagonal), so all combinations of these three groups are tried.
    """
    bounds = {side: {place: float(np.nanmean(getattr(cell, side))) for place, cell in cells.items()} for side in _SIDES}
    found = []
    for choice in np.ndindex(2, 2, 2):
        table = np.full((size, size), np.nan)
        for place in cells:
            group = 0 if place[0] == place[1] else 1 if place[0] == size - 1 else 2
            table[place] = bounds[_SIDES[choice[group]]][place]
        found.append(summary(table))
    names = found[0]
    return {n: min(each[n] for each in found) for n in names}, {n: max(each[n] for each in found) for n in names}


def _intervals(cells: Cells, size: int, summary: Summary, settings: Settings) -> dict[str, tuple[float, float]]:
    """Bootstrap over queries: those of a session stay together through all stages, as they are the same queries."""
    if not settings.resamples:
        return {}
    draw = np.random.default_rng(settings.seed)
    groups: dict[int, list[tuple[int, int]]] = {}
    for place, cell in cells.items():
        groups.setdefault(cell.group, []).append(place)
    found: list[dict[str, float]] = []
    for start in range(0, settings.resamples, BLOCK_RESAMPLES):
        count = min(BLOCK_RESAMPLES, settings.resamples - start)
        tables = np.full((count, size, size), np.nan)
        for places in groups.values():
            number = len(cells[places[0]].given)
            rows = draw.integers(0, number, (count, number))
            for place in places:
                tables[:, *place] = _resampled_means(cells[place].given, rows)
        found += [summary(table) for table in tables]
    ends = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    quantiles = {name: np.quantile([each[name] for each in found], ends) for name in found[0]}
    return {name: (float(low), float(high)) for name, (low, high) in quantiles.items()}


def _resampled_means(values: FloatArray, rows: NDArray[np.int64]) -> FloatArray:
    known = ~np.isnan(values)
    sums = np.where(known, values, 0.0)[rows].sum(axis=1)
    return np.asarray(sums / np.maximum(known[rows].sum(axis=1), 1))


# Stages ------------------------------------------------------------------------------------------------


def _cell(query: CodeFile, gallery: CodeFile, settings: Settings, group: int) -> Cell:
    relevance = relevance_from_labels(require_labels(query), require_labels(gallery))

    def precision(ties: str) -> FloatArray:
        values = average_precisions(
            query.codes,
            gallery.codes,
            relevance,
            top_k=settings.top_k,
            normalize=settings.normalize,
            ties=ties,
        )
        return values[:, 0]

    cell = Cell(precision(settings.ties), precision("optimistic"), precision("pessimistic"), group)
    if np.isnan(cell.given).all():
        raise UsageError(f"no query of {query.source} has a relevant item in {gallery.source}, so nothing is defined")
    return cell


def _in_one_numbering(stages: Sequence[CodePair]) -> tuple[list[CodeFile], list[CodeFile]]:
    """Return queries and databases with labels in one numbering. Raises UsageError where the sides do not fit."""
    if len(stages) < 2:
        raise UsageError(f"a series needs at least two stages, oldest first, not {len(stages)}")
    sides = [side for stage in stages for side in (stage.query, stage.database)]
    first = sides[0].codes
    for side in sides[1:]:
        if (side.codes.num_bits, side.codes.num_levels) != (first.num_bits, first.num_levels):
            raise UsageError(
                f"{sides[0].source} has {first.describe()}, {side.source} has {side.codes.describe()}: codes of "
                "different length cannot be searched together"
            )
    numbered, words = number_labels(_label_columns(sides))
    files = [
        replace(side, labels=labels, class_names=words or side.class_names)
        for side, labels in zip(sides, numbered, strict=True)
    ]
    return files[::2], files[1::2]


def _label_columns(sides: Sequence[CodeFile]) -> list[tuple[str, NDArray[Any]]]:
    """Return the labels; as words where each side has its own words for its class numbers."""
    columns = [(side.source, require_labels(side)) for side in sides]
    if len({side.class_names for side in sides}) == 1 or not all(side.class_names for side in sides):
        return columns
    if any(labels.ndim == 2 for _, labels in columns):
        raise UsageError("multi-hot labels need the same classes, in the same order, at every stage")
    return [
        (source, labels if labels.dtype.kind == "U" else np.array([*side.class_names, ""])[labels])
        for (source, labels), side in zip(columns, sides, strict=True)
    ]


def joined(sides: Sequence[CodeFile]) -> CodeFile:
    """Return the items of several files one behind the other; a column that one lacks is left out."""

    def column(name: str) -> NDArray[Any] | None:
        parts = [part for part in (getattr(side, name) for side in sides) if part is not None]
        return np.concatenate(parts) if len(parts) == len(sides) else None

    if len(sides) == 1:
        return sides[0]
    return CodeFile(
        codes=BinaryCodes.concatenate([side.codes for side in sides]),
        labels=column("labels"),
        names=column("names"),
        class_names=sides[0].class_names,
        source=" + ".join(side.source for side in sides),
        sessions=column("sessions"),
    )


def _by_session(query: CodeFile, count: int) -> list[CodeFile]:
    """Split the queries of stage ``count`` by session. Raises UsageError where a session is missing."""
    if query.sessions is None:
        raise UsageError(f"{query.source} needs an array 'sessions' [N]: the session, from 1, that each query is of")
    found = np.unique(query.sessions).tolist()
    if found != list(range(1, count + 1)):
        raise UsageError(
            f"{query.source} has queries of sessions {', '.join(map(str, found))}; stage {count} needs those of all "
            f"sessions from 1 to {count}"
        )
    return [_by_name(query.take(np.flatnonzero(query.sessions == session))) for session in found]


def _by_name(query: CodeFile) -> CodeFile:
    return query if query.names is None else query.take(np.argsort(query.names, kind="stable"))


def _require_same_queries(queries: Sequence[CodeFile]) -> None:
    """Raise UsageError unless these are the same queries, encoded by several models."""
    first, *others = queries
    for other in others:
        if len(other) != len(first):
            raise UsageError(
                f"{first.source} has {len(first):,} queries and {other.source} {len(other):,}; "
                "each stage encodes the same queries of a session again"
            )
        named = first.names is not None and other.names is not None
        same = np.array_equal(first.names, other.names) if named else True  # type: ignore[arg-type]
        if not same or not np.array_equal(require_labels(first), require_labels(other)):
            raise UsageError(
                f"{first.source} and {other.source} differ in the {'labels' if same else 'names'} of their queries; "
                "each stage encodes the same queries of a session again"
            )
