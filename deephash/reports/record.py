"""What a report holds: figures with range, interval and protocol, and all that stands beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from deephash.errors import UsageError, did_you_mean
from deephash.reports.protocol import Protocol

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Figure:
    """One number and how far it may be trusted.

    Attributes:
        metric: e.g. ``mAP@all``.
        value: under the protocol's tie policy.
        protocol: what the number means.
        pessimistic: mean under the worst order of tied items; None for a metric that knows no ties.
        optimistic: mean under the best.
        low: lower end of the bootstrap interval over queries; None where none was made.
        high: upper end.
    """

    metric: str
    value: float
    protocol: Protocol
    pessimistic: float | None = None
    optimistic: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def label(self) -> str:
        """Metric, with its denominator where that matters."""
        if self.protocol.legacy != "none":
            return f"{self.metric} (as {self.protocol.legacy})"
        words = [self.protocol.normalize] if self.protocol.top_k and "mAP@" in self.metric else []
        words += ["pairs"] if self.protocol.relevance == "pairs" else []
        return f"{self.metric} ({', '.join(words)})" if words else self.metric

    @property
    def column(self) -> str:
        """Name of the column of one number a query behind this figure, where a report keeps one."""
        return column_name(self.metric, self.protocol.normalize, self.protocol.relevance)

    @property
    def is_mean_ap(self) -> bool:
        """Whether this is a plain mean average precision."""
        return self.metric.startswith("mAP@")


def column_name(metric: str, normalize: str, relevance: str) -> str:
    """Return ``METRIC|DENOMINATOR``, or ``METRIC|pairs`` where the own pair is the right answer."""
    return f"{metric}|{'pairs' if relevance == 'pairs' else normalize}"


@dataclass(frozen=True)
class Series:
    """Scores of several models, the table behind a lifelong or compatibility figure.

    Attributes:
        kind: ``lifelong`` or ``compatibility``.
        metric: e.g. ``mAP@all``.
        names: of the stages or models.
        scores: row t has t + 1 scores. Lifelong: after stage t, queries of session s <= t. Compatibility: queries of
            model t against the gallery of model k <= t.
        seconds: that the training of each took; empty where unknown.
    """

    kind: str
    metric: str
    names: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...]
    seconds: tuple[float, ...] = ()


@dataclass(frozen=True)
class ClassFigure:
    """The headline metric over the queries of one class. ``name`` is a word or the class number."""

    name: str
    queries: int
    value: float


@dataclass(frozen=True)
class HardQuery:
    """One of the queries with the lowest headline value.

    Attributes:
        row: among the scored queries.
        name: empty where unknown.
        labels: its classes in words.
        value: of the headline metric.
        nearest: names (or ``row N``) of the nearest items, equal distances in database order.
        distances: of those items.
        relevant: whether each of them is right.
    """

    row: int
    name: str
    labels: tuple[str, ...]
    value: float
    nearest: tuple[str, ...] = ()
    distances: tuple[int, ...] = ()
    relevant: tuple[bool, ...] = ()


@dataclass(frozen=True, eq=False)
class Record:
    """Everything one evaluation found.

    Attributes:
        method: what made the codes, in the caller's words.
        protocol: of the headline figure.
        figures: headline first.
        per_class: headline metric by class; empty without classes.
        curves: name -> list of numbers, see docs/formats.md.
        health: code health of the database (and ``query``).
        hubness: how unevenly the items turn up among the nearest of the queries; see
            :class:`~deephash.evaluation.hubness_measures.Hubness`. Empty in reports of schema 1.
        series: scores of several models behind a lifelong or compatibility figure; None for one model.
        counts: queries and items that were left out or stand out, and why.
        baselines: name -> figures of the same metrics, from the same features.
        hardest: queries with the lowest headline value.
        timings: seconds by step.
        environment: versions and machine.
        warnings: what a reader must know before quoting a figure.
        created: UTC time, ISO 8601.
        per_query: columns of one number a query, for paired tests; kept in ``per_query.npz``.
        open_picture: turns an item's name into its picture, where pictures are at hand; not kept.
    """

    method: str
    protocol: Protocol
    figures: tuple[Figure, ...]
    per_class: tuple[ClassFigure, ...] = ()
    curves: Mapping[str, list[float]] = field(default_factory=dict)
    health: Mapping[str, Mapping[str, float | int | None]] = field(default_factory=dict)
    hubness: Mapping[str, float | int] = field(default_factory=dict)
    series: Series | None = None
    counts: Mapping[str, float | int] = field(default_factory=dict)
    baselines: Mapping[str, tuple[Figure, ...]] = field(default_factory=dict)
    hardest: tuple[HardQuery, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    created: str = ""
    per_query: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    open_picture: Callable[[str], Image] | None = None

    @property
    def headline(self) -> Figure:
        """The first figure."""
        return self.figures[0]

    def figure(self, metric: str) -> Figure:
        """Return the first figure of a metric, e.g. ``report.figure("P@100").value``."""
        for figure in self.figures:
            if metric in (figure.metric, figure.label):
                return figure
        raise UsageError(f"this report has no {metric!r}{did_you_mean(metric, [each.label for each in self.figures])}")
