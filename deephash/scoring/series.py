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
from deephash.evaluation.codefile import CodeFile, require_labels
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
from deephash.scoring.series_sides import by_name, by_session, in_one_numbering, joined, require_same_queries
from deephash.scoring.sides import CodePair, Stage
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
    :mod:`deephash.evaluation.lifelong`) of mAP@R and the table behind them; AC and AM, where the gallery of stage k
    is what was stored then and all queries of its sessions ask. Where stages say what their codes of the next session
    were (:class:`Stage`), also forward transfer: how much better than chance a session is found before it is learned.

    Args:
        stages: stage t holds codes of the queries of all sessions up to t, with ``sessions``; and of the items of
            session t as ``database``. With ``reencoded``, of all items so far.
        settings: R, denominator and ties of the mAP, and what else is measured at the last stage.
        protocol: what is known about the data.
        reencoded: search each stage's own database only.

    Raises:
        UsageError: fewer than two stages, sessions that are missing, or codes and labels that do not fit.
    """
    options, how = settings or Settings(), "reencoded" if reencoded else "frozen"
    ahead = [stage.ahead for stage in stages[:-1] if isinstance(stage, Stage) and stage.ahead is not None]
    sides = in_one_numbering([*stages, *ahead])
    queries, galleries = (each[: len(stages)] for each in sides)
    if not reencoded:
        galleries = [joined(galleries[: number + 1]) for number in range(len(stages))]
    asked = [by_session(query, number + 1) for number, query in enumerate(queries)]
    for session in range(len(stages)):
        require_same_queries([sessions[session] for sessions in asked[session:]])
    names = tuple(stage.method for stage in stages)
    tables = [
        Table("lifelong", how, names, _by_session(asked, galleries, options), _lifelong, _seconds(stages)),
        Table("compatibility", how, names, _by_gallery(asked, galleries, options), _compatibility),
    ]
    if len(ahead) == len(stages) - 1:
        unlearned = [side[len(stages) :] for side in sides]
        tables.append(Table("lifelong", how, names[1:], _ahead(unlearned, galleries, options), _forward))
    newest = stages[-1]
    warnings = tuple(dict.fromkeys(line for stage in stages for line in stage.warnings))
    last = CodePair(queries[-1], galleries[-1], newest.method, newest.protocol, warnings=warnings)
    sections = tuple(partial(SeriesFigures, table=table, shown=table is tables[0]) for table in tables)
    return evaluate_pair(last, Asked(settings, protocol, sections=sections))


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
    queries, galleries = in_one_numbering(models)
    queries = [by_name(query) for query in queries]
    require_same_queries(queries)
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
        seconds: of training, a stage; empty where unknown.
    """

    kind: str
    how: str
    names: tuple[str, ...]
    cells: Cells
    summary: Summary
    seconds: tuple[float, ...] = ()


class SeriesFigures(Section):
    """The figures of a series and, where it is ``shown``, the table behind them, beside those of its last stage."""

    def __init__(self, case: Case, table: Table, shown: bool = True) -> None:
        super().__init__(case)
        self.shown = shown
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
        if not self.shown:
            return {}
        rows = tuple(tuple(float(score) for score in row[: place + 1]) for place, row in enumerate(self.means))
        return {"series": Series(self.table.kind, headline.metric, self.table.names, rows, self.table.seconds)}


def _lifelong(scores: FloatArray) -> dict[str, float]:
    found = lifelong_scores(scores)
    return {
        "final average of": found.final_average,
        "forgetting of": found.forgetting,
        "backward transfer of": found.backward_transfer,
    }


def _compatibility(scores: FloatArray) -> dict[str, float]:
    strict, lenient = (compatibility_scores(scores, equal=rule) for rule in ("incompatible", "compatible"))
    return {
        "AC of": strict.compatibility,
        "AC (equal is compatible) of": lenient.compatibility,
        "AM of": strict.mean_score,
    }


def _forward(gains: FloatArray) -> dict[str, float]:
    return {"forward transfer of": float(np.diag(gains).mean())}


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


# Cells -------------------------------------------------------------------------------------------------


def _by_session(asked: Sequence[Sequence[CodeFile]], galleries: Sequence[CodeFile], settings: Settings) -> Cells:
    """Return the cells (stage, session of the queries), each against what the stage searches."""
    return {
        (stage, session): _cell(query, galleries[stage], settings, session)
        for stage, sessions in enumerate(asked)
        for session, query in enumerate(sessions)
    }


def _by_gallery(asked: Sequence[Sequence[CodeFile]], galleries: Sequence[CodeFile], settings: Settings) -> Cells:
    """Return the cells (stage that asks, stage whose gallery is searched) of the queries that belong to the gallery."""
    return {
        (stage, old): _cell(joined(sessions[: old + 1]), galleries[old], settings, old)
        for stage, sessions in enumerate(asked)
        for old in range(stage + 1)
    }


def _ahead(unlearned: Sequence[Sequence[CodeFile]], galleries: Sequence[CodeFile], settings: Settings) -> Cells:
    """Return on the diagonal what the codes of a session, made before it was learned, gain over chance."""
    cells = {}
    for number, (query, items) in enumerate(zip(*unlearned, strict=True)):
        gallery = joined([galleries[number], items])
        found, chance = _cell(query, gallery, settings, number), _chance(query, gallery, settings)
        given, best, worst = (each - chance for each in (found.given, found.best, found.worst))
        cells[number, number] = Cell(given, best, worst, number)
    return cells


def _chance(query: CodeFile, gallery: CodeFile, settings: Settings) -> FloatArray:
    """Return the AP of each query where all codes are equal, in expectation over orders: that of random ranking."""
    asking, searched = (_without_codes(side) for side in (query, gallery))
    return _cell(asking, searched, replace(settings, ties="expected"), 0).given


def _without_codes(side: CodeFile) -> CodeFile:
    codes = side.codes
    return replace(side, codes=BinaryCodes(np.zeros_like(codes.packed), codes.num_bits, codes.num_levels))


def _seconds(stages: Sequence[CodePair]) -> tuple[float, ...]:
    known = [stage.seconds for stage in stages if isinstance(stage, Stage) and stage.seconds is not None]
    return tuple(known) if len(known) == len(stages) else ()


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
