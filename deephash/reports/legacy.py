"""The section that replays a public script."""

from __future__ import annotations

from collections.abc import Iterator

from deephash.evaluation.legacy import LEGACY_RULES, legacy_mean_average_precision
from deephash.reports.record import Figure
from deephash.reports.sections import Case, Section


class Legacy(Section):
    """What the script of a repository prints; it sees the unlabelled queries too and has its own ways with them."""

    def __init__(self, case: Case, repository: str) -> None:
        super().__init__(case)
        self.repository = repository

    def figures(self, headline: Figure) -> Iterator[Figure]:
        """Its mAP@R."""
        sides, top_k = self.case.sides, self.case.settings.top_k
        value = legacy_mean_average_precision(
            self.repository,
            sides.given_query,
            sides.database,
            query_labels=sides.given_labels,
            database_labels=sides.database_labels,
            top_k=top_k,
        )
        rule = LEGACY_RULES[self.repository]
        told = {
            "ties": "sort-call",
            "normalize": rule.normalize,
            "empty": rule.nothing_found,
            "unlabelled": rule.unlabelled,
        }
        metric = f"mAP@{top_k or 'all'}"
        yield Figure(metric, value, headline.protocol.for_metric(metric, legacy=self.repository, **told))
