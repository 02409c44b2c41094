"""The section of several attacks on the same queries: each one's mAP, and the worst case of every query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from deephash.errors import UsageError
from deephash.evaluation.groups import FloatArray
from deephash.evaluation.scores import Column, QueryScores
from deephash.reports.attack import Attack, own_precisions
from deephash.reports.sections import Case, Section
from deephash.reports.sides import OWN


class WorstCase(Section):
    """``attacked mAP@R NAME`` of each attack, and ``worst-case mAP@R``: the mean over queries of their lowest AP.

    A defence is judged by what breaks it, query by query, not by the attack it was trained on and not by a mean over
    attacks.

    Args:
        case: the clean queries.
        attacks: name -> the attacked queries; all untargeted.
        says: the ensemble, in the words of protocols.
        beside: names of attacks that are shown but do not enter the worst case, such as those of a larger budget.
    """

    def __init__(
        self, case: Case, attacks: Mapping[str, Attack], says: str, beside: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(case)
        if case.settings.empty == "drop":
            raise UsageError("the worst case of a query that finds nothing is 0: several attacks need empty='zero'")
        self.attacks, self.says, self.beside = attacks, says, beside

    def columns(self) -> Iterator[tuple[Column, str]]:
        """The worst case first, then every attack."""
        settings, name = self.case.settings, f"mAP@{self.case.settings.top_k or 'all'}"
        policies = (settings.ties, "optimistic", "pessimistic")
        found = {
            key: [own_precisions(self.case, attack.codes[self.case.sides.query_rows], ties) for ties in policies]
            for key, attack in self.attacks.items()
        }
        worst = [
            np.minimum.reduce([each[place] for key, each in found.items() if key not in self.beside])
            for place in range(3)
        ]
        yield self._column(f"worst-case {name}", worst, self.says), OWN
        for key, values in found.items():
            yield self._column(f"attacked {name} {key}", values, self.attacks[key].says), OWN

    def _column(self, metric: str, values: list[FloatArray], says: str) -> Column:
        in_order, best, worst = (QueryScores(np.asarray(each)) for each in values)
        return Column(metric, self.case.settings.normalize, in_order, best, worst, attack=says)
