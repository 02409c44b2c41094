"""The sections of the codes themselves: their health, and how unevenly they turn up as neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property
from typing import Any

from deephash.evaluation.health import CodeHealth, code_health, count_labellings
from deephash.evaluation.hubness_measures import Hubness, hubness
from deephash.evaluation.scores import Column
from deephash.reports.record import Figure, Record
from deephash.reports.sections import Section
from deephash.reports.sides import LISTED, OWN

HUBNESS_K = 10  # neighbours counted for hubness


class Health(Section):
    """Does each side use its bits? By class only where labels are what is asked for."""

    @cached_property
    def found(self) -> dict[str, CodeHealth]:
        """Health by side."""
        sides = self.case.sides
        labels = (None, None) if sides.right == LISTED else (sides.database_labels, sides.query_labels)
        database, query = (
            code_health(codes, labels=known) for codes, known in zip((sides.database, sides.query), labels, strict=True)
        )
        return {"database": database, "query": query}

    def data(self, headline: Column) -> dict[str, Any]:
        """The numbers."""
        return {"health": {side: asdict(health) for side, health in self.found.items()}}

    def warnings(self, record: Record) -> Iterator[str]:
        """Dead bits, and codes that only name a class."""
        health, sides = self.found["database"], self.case.sides
        if health.dead_bits:
            yield f"{health.dead_bits} of {health.num_bits} bits never change"
        if sides.right != OWN:
            return
        kinds = count_labellings(sides.database_labels)
        if health.unique_codes <= kinds < health.num_codes:
            yield f"{health.unique_codes:,} different codes for {kinds:,} different labellings: these are class codes"


class Neighbourhoods(Section):
    """How unevenly the items turn up among the nearest of the queries."""

    @cached_property
    def found(self) -> Hubness:
        """The measures; relevance and the order of ties have no say, and all queries count."""
        sides = self.case.sides
        searched = len(sides.database) - (sides.own is not None)
        return hubness(sides.query, sides.database, k=min(HUBNESS_K, searched), own=sides.own)

    def figures(self, headline: Figure) -> Iterator[Figure]:
        """The skewness."""
        changes = {"relevance": "none", "ties": "expected", "empty": "zero", "normalize": "hits", "folds": 1}
        metric, num_queries = f"hubness@{self.found.k}", len(self.case.sides.query)
        own = headline.protocol.for_metric(metric, num_queries=num_queries, **changes)
        yield Figure(metric, self.found.skewness, own)

    def data(self, headline: Column) -> dict[str, Any]:
        """All measures."""
        return {"hubness": asdict(self.found)}
