"""Puts a report together: which queries count, the scores, what stands out, and under which protocol."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import hamming_distance
from deephash.errors import UsageError
from deephash.evaluation.additions import LISTED, OWN, PAIRS, TARGET, Attack, attack_columns, pair_columns
from deephash.evaluation.curves import Curves
from deephash.evaluation.figures import Figure, HardQuery, class_figures, column_name, figure_of, hardest_queries
from deephash.evaluation.health import CodeHealth, code_health, count_labellings
from deephash.evaluation.hubness_measures import Hubness, hubness
from deephash.evaluation.legacy import LEGACY_RULES, legacy_mean_average_precision
from deephash.evaluation.protocol import Protocol
from deephash.evaluation.relevance import IGNORED, Relevance
from deephash.evaluation.report import EvaluationReport
from deephash.evaluation.report_sides import Beyond, Sides, is_labelled
from deephash.evaluation.robustness import share_label
from deephash.evaluation.scores import Column, ScoreTable, Settings, score

NEAREST = 5  # neighbours listed of a hard query
HUBNESS_K = 10  # neighbours counted for hubness
WIDE_RANGE = 0.02  # of the headline over tie orders, from which the report warns


def assemble(
    sides: Sides,
    settings: Settings,
    protocol: Protocol,
    method: str,
    class_names: tuple[str, ...],
    beyond: Beyond,
) -> EvaluationReport:
    """Score and describe; see :func:`deephash.evaluation.report.evaluate_codes`."""
    beyond.require_fit(len(sides.given_query), len(sides.database))
    started = time.perf_counter()
    relevance = sides.relevance
    scores = score(sides.query, sides.database, relevance, settings, votes=not beyond.instead)
    entries = _entries(sides, scores, settings, beyond)
    headline = entries[0][0]
    answered = ~np.isnan(headline.scores.values)
    if not answered.any():
        raise UsageError(
            f"none of the {len(sides.query):,} labelled queries has a relevant item in the database, so no metric is "
            "defined; check that both sides use the same class numbers"
        )
    scored = time.perf_counter()
    hubs = _hubness_of(sides)
    full = _complete(protocol, sides, settings, checks_overlap=_checks_overlap(protocol, sides, beyond))
    figures = tuple(_figures(entries, hubs, sides, settings, full))
    intervals = time.perf_counter()
    query_health, health = _health_of(sides)
    report = EvaluationReport(
        method=method,
        protocol=figures[0].protocol,
        figures=figures,
        per_class=() if beyond.instead else class_figures(headline, sides.query_labels, class_names),
        curves=_curves_to_lists(scores.curves),
        health={"database": asdict(health), "query": asdict(query_health)},
        hubness=asdict(hubs),
        counts=_counts(sides, scores, answered),
        hardest=_with_nearest(
            hardest_queries(headline, sides.query_labels, class_names, sides.query_names), sides, relevance
        ),
        timings={
            "scoring": scored - started,
            "intervals": intervals - scored,
            "code_health": time.perf_counter() - intervals,
        },
        environment=environment(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        per_query=_per_query(sides, entries),
    )
    return replace(report, warnings=tuple(_warnings(report, health, sides, beyond)))


def environment() -> dict[str, str]:
    """Return versions and machine, as they stand in a report."""
    found = {name: metadata.version(name) for name in ("deephash", "numpy")}
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return {**found, "python": platform.python_version(), "system": system}


# Parts -------------------------------------------------------------------------------------------------


def _entries(sides: Sides, scores: ScoreTable, settings: Settings, beyond: Beyond) -> list[tuple[Column, str]]:
    """Return every column with what made an item right, headline first."""
    if sides.listed is not None:
        return [(column, LISTED) for column in scores.columns]
    rows = sides.query_rows
    by_pair: list[tuple[Column, str]] = []
    if beyond.pairs is not None:
        pairs = beyond.pairs[0][rows], beyond.pairs[1]
        by_pair = [(column, PAIRS) for column in pair_columns(sides.query, sides.database, pairs, settings)]
    if beyond.instead:
        others = [column for column in scores.columns if column.metric.startswith(("mAP@", "R@"))]
        return by_pair + [(column, PAIRS) for column in others]
    entries = [(column, OWN) for column in scores.columns] + by_pair
    if beyond.attack is not None:
        labels = sides.query_labels, sides.database_labels
        entries += attack_columns(sides.query, sides.database, labels, beyond.attack.rows(rows), settings)
    return entries


def _figures(
    entries: list[tuple[Column, str]], hubs: Hubness, sides: Sides, settings: Settings, protocol: Protocol
) -> Iterator[Figure]:
    known = [_figure(column, relevance, protocol, settings) for column, relevance in entries]
    yield from known
    yield _hubness_figure(hubs, known[0].protocol, len(sides.query))
    if settings.legacy is not None:
        yield _legacy_figure(sides, settings, known[0].protocol)


def _figure(column: Column, relevance: str, protocol: Protocol, settings: Settings) -> Figure:
    known = int((~np.isnan(column.scores.values)).sum())
    own = replace(protocol, relevance=relevance, num_queries=known)
    if relevance == PAIRS and column.metric.startswith("hit@"):
        own = replace(own, folds=settings.folds)
    return figure_of(column, own, settings)


def _health_of(sides: Sides) -> tuple[CodeHealth, CodeHealth]:
    """Of the codes of both sides; by class only where labels are what is asked for."""
    if sides.listed is not None:
        return code_health(sides.query), code_health(sides.database)
    pairs = ((sides.query, sides.query_labels), (sides.database, sides.database_labels))
    query, database = (code_health(codes, labels=labels) for codes, labels in pairs)
    return query, database


def _hubness_of(sides: Sides) -> Hubness:
    searched = len(sides.database) - (sides.own is not None)
    return hubness(sides.query, sides.database, k=min(HUBNESS_K, searched), own=sides.own)


def _hubness_figure(found: Hubness, protocol: Protocol, num_queries: int) -> Figure:
    """The skewness; relevance and the order of ties have no say, and all queries count."""
    changes = {"relevance": "none", "ties": "expected", "empty": "zero", "normalize": "hits", "folds": 1}
    own = protocol.for_metric(f"hubness@{found.k}", num_queries=num_queries, **changes)
    return Figure(own.metric, found.skewness, own)


def _complete(protocol: Protocol, sides: Sides, settings: Settings, *, checks_overlap: bool) -> Protocol:
    """Fill in what the settings and the codes decide, all but the metric and the number of queries."""
    overlap = sides.overlap if checks_overlap else 0
    return replace(
        protocol,
        ties=settings.ties,
        normalize=settings.normalize,
        empty=settings.empty,
        num_bits=sides.query.num_bits,
        num_database=len(sides.database),
        split=sides.split if protocol.split == "unknown" else protocol.split,
        overlap=f"{overlap} queries in database" if overlap else protocol.overlap,
        leave_one_out=protocol.leave_one_out if sides.own is None else "yes",
    )


def _checks_overlap(protocol: Protocol, sides: Sides, beyond: Beyond) -> bool:
    """Whether a query in the database is an error; it is none where that is the task or the query can be left out."""
    alone = beyond.pairs is None and sides.own is None and sides.listed is None
    return protocol.task == "same-side" and alone


def _legacy_figure(sides: Sides, settings: Settings, protocol: Protocol) -> Figure:
    """What a public script prints; it sees the unlabelled queries too and has its own ways with them."""
    repository = str(settings.legacy)
    value = legacy_mean_average_precision(
        repository,
        sides.given_query,
        sides.database,
        query_labels=sides.given_labels,
        database_labels=sides.database_labels,
        top_k=settings.top_k,
    )
    rule = LEGACY_RULES[repository]
    told = {
        "ties": "sort-call",
        "normalize": rule.normalize,
        "empty": rule.nothing_found,
        "unlabelled": rule.unlabelled,
    }
    metric = f"mAP@{settings.top_k or 'all'}"
    return Figure(metric, value, protocol.for_metric(metric, legacy=repository, **told))


def _counts(sides: Sides, scores: ScoreTable, answered: NDArray[np.bool_]) -> dict[str, float | int]:
    return {
        "queries": len(sides.query) + sides.num_unlabelled,
        "unlabelled_queries": sides.num_unlabelled,
        "unanswerable_queries": int((~answered).sum()),
        "scored_queries": int(answered.sum()),
        "database": len(sides.database),
        "unlabelled_database": int((~is_labelled(sides.database_labels)).sum()),
        "empty_balls": float((scores.ball_size == 0).mean()),
        "mean_ball_size": float(scores.ball_size.mean()),
        "bytes_per_item": sides.database.packed.shape[1],
    }


def _curves_to_lists(curves: Curves) -> dict[str, list[float]]:
    return {name: getattr(curves, name).tolist() for name in Curves.__dataclass_fields__}


def _per_query(sides: Sides, entries: list[tuple[Column, str]]) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {"row": sides.query_rows, "labels": sides.query_labels}
    if sides.query_names is not None:
        columns["names"] = sides.query_names
    for column, relevance in entries:
        name = column_name(column.metric, column.normalize, relevance)
        columns[name] = column.scores.values
        if column.scores.found is not None:
            columns[f"{name}|found"] = column.scores.found
    return columns


def _with_nearest(queries: tuple[HardQuery, ...], sides: Sides, relevance: Relevance) -> tuple[HardQuery, ...]:
    names = sides.database_names
    found = []
    for each in queries:
        distances = hamming_distance(sides.query[[each.row]], sides.database)[0]
        gains = relevance.rows(slice(each.row, each.row + 1)).gains()[0]
        ranked = np.flatnonzero(gains != IGNORED)
        most = min(NEAREST, len(ranked))
        near = ranked[distances[ranked] <= np.partition(distances[ranked], most - 1)[most - 1]] if most else ranked
        rows = near[np.argsort(distances[near], kind="stable")[:NEAREST]]
        right = gains[rows] > 0
        nearest = [f"row {row}" for row in rows] if names is None else names[rows].tolist()
        shown: dict[str, Any] = {"nearest": tuple(nearest), "distances": tuple(distances[rows].tolist())}
        shown["labels"] = each.labels if sides.listed is None else ()
        found.append(replace(each, **shown, relevant=tuple(right.tolist())))
    return tuple(found)


def _warnings(report: EvaluationReport, health: CodeHealth, sides: Sides, beyond: Beyond) -> Iterator[str]:
    counts, headline = report.counts, report.headline
    checks_overlap = _checks_overlap(report.protocol, sides, beyond)
    if sides.overlap and checks_overlap:
        yield (
            f"{sides.overlap:,} of {len(sides.query):,} queries are also in the database; the figures are inflated "
            "(--leave-one-out takes each query out of its own ranking)"
        )
    if sides.overlap is None and checks_overlap:
        yield "items have no names, so it was not checked whether queries are in the database"
    kind = "partner" if beyond.instead else "label"
    if counts["unlabelled_queries"]:
        yield f"{counts['unlabelled_queries']:,} of {counts['queries']:,} queries have no {kind} and are left out"
    if counts["unanswerable_queries"]:
        yield f"{counts['unanswerable_queries']:,} queries have no relevant item in the database and are left out"
    if counts["unlabelled_database"]:
        yield f"{counts['unlabelled_database']:,} database items have no {kind}; they count as wrong answers"
    if health.dead_bits:
        yield f"{health.dead_bits} of {health.num_bits} bits never change"
    num_classes = count_labellings(sides.database_labels)
    if not beyond.instead and health.unique_codes <= num_classes < health.num_codes:
        yield f"{health.unique_codes:,} different codes for {num_classes:,} different labellings: these are class codes"
    if headline.optimistic is not None and headline.pessimistic is not None:
        width = headline.optimistic - headline.pessimistic
        if width > WIDE_RANGE:
            yield f"{headline.metric} varies by {width:.3f} with the order of tied items: compare under one policy"
    yield from _target_warnings(report, sides, beyond.attack)


def _target_warnings(report: EvaluationReport, sides: Sides, attack: Attack | None) -> Iterator[str]:
    if attack is None or attack.targets is None:
        return
    shared = int(share_label(sides.query_labels, attack.targets[sides.query_rows]).sum())
    if shared:
        yield f"{shared:,} attacked queries share a label with their target: t-mAP starts from a floor, see clean t-mAP"
    aimed = next(figure for figure in report.figures if figure.protocol.relevance == TARGET)
    missing = len(sides.query) - aimed.protocol.num_queries
    if missing:
        yield f"{missing:,} attacks aim at a label that no database item has; t-mAP leaves them out"
