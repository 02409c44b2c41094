"""Metrics for Prometheus, by ``prometheus-client``; imported only where ``deephash serve --metrics`` asks for them.

Labels are names of collections and kinds of queries: no words, no pictures, no visitors.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from deephash.errors import CollectionError, DataError, DeephashError, UsageError

from .watching import Watcher
from .workspace import Place, Workspace

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
KNOWN_CODES = ("item", "code")  # kinds of queries whose code is looked up, not computed
REASONS: tuple[tuple[type[Exception], str], ...] = (  # the first that fits
    (UsageError, "question"),
    (CollectionError, "collection"),
    (DataError, "picture"),
    (DeephashError, "other"),
)


class Metrics(Watcher):
    """Counts and times what a workspace answers. Make it before the first query; it becomes the workspace's watcher."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, workspace: Workspace) -> None:
        self._registry = CollectorRegistry()
        labels, registry = ("collection", "kind"), self._registry
        self._queries = Histogram(
            "deephash_query_seconds", "Answered queries.", labels, registry=registry, buckets=SECONDS
        )
        self._encoding = Histogram(
            "deephash_encode_seconds", "Codes computed for queries.", labels, registry=registry, buckets=SECONDS
        )
        self._errors = Counter(
            "deephash_errors", "Queries that were not answered.", ("collection", "reason"), registry=registry
        )
        registry.register(_State(workspace))  # type: ignore[arg-type]
        ProcessCollector(registry=registry)
        workspace.watcher = self

    def answered(self, collection: str, kind: str, seconds: float, encode_seconds: float) -> None:
        """Note an answer."""
        self._queries.labels(collection, kind).observe(seconds)
        self.encoded(collection, kind, encode_seconds)

    def encoded(self, collection: str, kind: str, seconds: float) -> None:
        """Note a code, where it had to be computed."""
        if kind not in KNOWN_CODES:
            self._encoding.labels(collection, kind).observe(seconds)

    def failed(self, collection: str, error: Exception) -> None:
        """Note a query that was not answered."""
        reason = next((word for kind, word in REASONS if isinstance(error, kind)), "fault")
        self._errors.labels(collection, reason).inc()

    def text(self) -> bytes:
        """Return all metrics in the format of Prometheus."""
        return generate_latest(self._registry)


class _State:
    """Reads at each scrape what nobody needs to count meanwhile."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("deephash_collection_up", "1 where it can be read.", labels=("collection",))
        rows = GaugeMetricFamily("deephash_rows", "Items of the collection.", labels=("collection",))
        generation = GaugeMetricFamily(
            "deephash_generation", "Version of the collection; it grows with every change.", labels=("collection",)
        )
        for place in self._workspace.places.values():
            found = _state_of(place)
            up.add_metric((place.name,), float(found is not None))
            if found is not None:
                rows.add_metric((place.name,), found[0])
                generation.add_metric((place.name,), found[1])
        yield from (up, rows, generation)
        ready = GaugeMetricFamily("deephash_ready", "1 where /readyz says so.")
        ready.add_metric((), float(self._workspace.readiness.ready))
        yield ready
        busy = CounterMetricFamily("deephash_turned_away", "Requests refused because too many searches were waiting.")
        busy.add_metric((), self._workspace.turns.turned_away)
        yield busy


def _state_of(place: Place) -> tuple[int, int] | None:
    """Return items and version of a collection, or None where it cannot be read at this moment."""
    try:
        snapshot = place.searcher.snapshot
    except Exception:  # a scrape tells of a damaged collection, and does not fail of it
        return None
    return len(snapshot), snapshot.collection.version
