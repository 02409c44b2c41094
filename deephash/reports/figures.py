"""From columns of one number a query to the figures of a report: means, ranges, intervals, classes, hardest queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deephash.evaluation.bootstrap import bootstrap_interval
from deephash.evaluation.scores import Column, QueryScores, Settings
from deephash.reports.protocol import Protocol
from deephash.reports.record import ClassFigure, Figure, HardQuery

HARDEST = 20  # queries listed


def figure_of(column: Column, protocol: Protocol, settings: Settings) -> Figure:
    """Average a column over the queries, with the range over tie orders and the bootstrap interval.

    The protocol says what the column was made with: only AP drops queries that find nothing, and a metric that needs no
    order, or has none but the expected one, does not carry the ``stable`` of the others.
    """
    low, high = None, None
    if settings.resamples:
        interval = bootstrap_interval(
            column.scores.values, weights=column.scores.found, resamples=settings.resamples, seed=settings.seed
        )
        low, high = interval.low, interval.high
    own = {"empty": protocol.empty if column.scores.found is not None else "zero", "ties": column.ties or protocol.ties}
    own |= {} if column.attack == "none" else {"attack": column.attack}
    worst, best = tie_range(column)
    return Figure(
        metric=column.metric,
        value=column.scores.mean(),
        protocol=protocol.for_metric(column.metric, normalize=column.normalize, gain=column.gain, **own),
        pessimistic=worst,
        optimistic=best,
        low=low,
        high=high,
    )


def tie_range(column: Column) -> tuple[float | None, float | None]:
    """Return the lowest and the highest mean that any orders of tied items give; None where no bound is made."""
    if column.worst is None or column.best is None:
        return None, None
    assured, possible = column.worst.found, column.best.found
    if assured is None or possible is None:
        return column.worst.mean(), column.best.mean()
    means = [_means_with_optional(side, assured, possible, s) for side, s in ((column.worst, 1), (column.best, -1))]
    return float(means[0].min()), float(means[1].max())


def _means_with_optional(
    side: QueryScores, assured: NDArray[np.float64], possible: NDArray[np.float64], sign: int
) -> NDArray[np.float64]:
    """Means over the queries that find something in every order and the 0, 1, 2, ... lowest (highest) of the others.

    Under ``empty="drop"`` the order of ties also decides who is in the mean, so no query's best order is best for all.
    """
    always = np.equal(assured, 1)
    others = sign * np.sort(sign * side.values[np.equal(possible, 1) & ~always])
    sums = side.values[always].sum() + np.concatenate([[0.0], np.cumsum(others)])
    return np.asarray(sums / np.maximum(always.sum() + np.arange(len(sums)), 1))


def class_figures(column: Column, labels: NDArray[np.integer], class_names: Sequence[str]) -> tuple[ClassFigure, ...]:
    """Average a column over the queries of each class; a query of several labels counts for each of them.

    Args:
        column: the metric.
        labels: of the queries, class numbers [Q] or multi-hot [Q, C].
        class_names: words, in the order of the class numbers; numbers are shown where they are missing.
    """
    known = ~np.isnan(column.scores.values)
    members = _rows_by_class(labels)
    found = []
    for number, rows in members.items():
        answered = rows[known[rows]]
        if len(answered):
            name = class_name(number, class_names)
            found.append(ClassFigure(name, len(answered), column.scores.mean(answered)))
    return tuple(found)


def hardest_queries(
    column: Column, labels: NDArray[np.integer], class_names: Sequence[str], names: NDArray[np.str_] | None
) -> tuple[HardQuery, ...]:
    """Return the queries with the lowest values, lowest first, equal ones in their own order."""
    values = column.scores.values
    order = np.argsort(values, kind="stable")[: min(HARDEST, int((~np.isnan(values)).sum()))]
    return tuple(
        HardQuery(
            row=int(row),
            name="" if names is None else str(names[row]),
            labels=tuple(class_name(number, class_names) for number in _labels_of(labels[row])),
            value=float(values[row]),
        )
        for row in order
    )


def class_name(number: int, class_names: Sequence[str]) -> str:
    """Return the word for a class, or its number."""
    return class_names[number] if number < len(class_names) else str(number)


def _labels_of(label: NDArray[np.integer] | np.integer) -> list[int]:
    return np.flatnonzero(label).tolist() if np.ndim(label) else [int(label)]


def _rows_by_class(labels: NDArray[np.integer]) -> dict[int, NDArray[np.int64]]:
    if labels.ndim == 2:
        return {number: np.flatnonzero(labels[:, number]) for number in range(labels.shape[1])}
    return {int(number): np.flatnonzero(labels == number) for number in np.unique(labels[labels >= 0])}
