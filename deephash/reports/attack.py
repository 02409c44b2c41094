"""The section of an attack: what it did to the same queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.engine import average_precisions
from deephash.evaluation.groups import FloatArray
from deephash.evaluation.knn import knn_correct
from deephash.evaluation.relevance import relevance_from_labels
from deephash.evaluation.robustness import share_label
from deephash.evaluation.scores import NEIGHBOURS, Column, QueryScores
from deephash.reports.record import Figure, Record
from deephash.reports.sections import Case, Section
from deephash.reports.sides import OWN, TARGET


@dataclass(frozen=True, eq=False)
class Attack:
    """The same queries after an attack.

    Attributes:
        codes: Q codes, in the order of the queries. They should come from pictures that were clipped, rounded to 8
            bits, saved and read again; that is the business of the attack.
        targets: labels that were aimed at, like the queries' own; None for an untargeted attack.
        says: what was done, in the words of protocols; ``none`` where nobody knows.
    """

    codes: BinaryCodes
    targets: NDArray[Any] | None = None
    says: str = "none"


def precision_column(case: Case, codes: BinaryCodes, labels: NDArray[Any], metric: str, says: str) -> Column:
    """Return AP@R of codes of the queries by some labels of theirs, by the conventions of the case.

    Under ``empty="drop"`` the order of ties decides which queries are in the mean, and no range is given.
    """
    sides, settings = case.sides, case.settings
    relevance = relevance_from_labels(labels, sides.database_labels)

    def scores(ties: str) -> QueryScores:
        options: dict[str, Any] = {"top_k": settings.top_k, "normalize": settings.normalize, "ties": ties}
        values, found = average_precisions(codes, sides.database, relevance, **options).T
        return QueryScores(values, found if settings.empty == "drop" else None)

    best, worst = (None, None) if settings.empty == "drop" else (scores("optimistic"), scores("pessimistic"))
    return Column(metric, settings.normalize, scores(settings.ties), best, worst, attack=says)


def own_precisions(case: Case, codes: BinaryCodes, ties: str | None = None) -> FloatArray:
    """Return AP@R [Q] of codes of the queries by their own labels, ties as the case has them where not said."""
    sides, settings = case.sides, case.settings
    relevance = relevance_from_labels(sides.query_labels, sides.database_labels)
    options: dict[str, Any] = {"top_k": settings.top_k, "normalize": settings.normalize, "ties": ties or settings.ties}
    return average_precisions(codes, sides.database, relevance, **options)[:, 0]


def turned_bits(first: BinaryCodes, second: BinaryCodes) -> FloatArray:
    """Return how many bits of each pair of rows differ, [Q]."""
    return np.asarray((first.bits() != second.bits()).sum(axis=1), dtype=np.float64)


class Attacked(Section):
    """Figures of an attack.

    ``attacked mAP@R`` and ``drop of mAP@R`` are judged by the queries' own labels; ``t-mAP@R``, the t-mAP of the clean
    queries (the floor from which a targeted attack starts) and the success rate ``ASR@k`` by the targets. The range of
    the drop is that of two independent rankings; under ``empty="drop"`` it is the difference of two means over queries
    that may differ.

    Raises:
        UsageError: nothing is judged by labels, targets of another kind than they, or none of them in the database.
    """

    def __init__(self, case: Case, attack: Attack) -> None:
        super().__init__(case)
        if case.sides.right != OWN:
            raise UsageError("an attack is scored by labels, and what is right here is something else")
        case.sides.require_one_each({"attacked codes": attack.codes, "targets": attack.targets})
        rows = case.sides.query_rows
        self.codes, self.targets = attack.codes[rows], None if attack.targets is None else attack.targets[rows]
        self.says = attack.says
        self._dropped: float | None = None

    def columns(self) -> Iterator[tuple[Column, str]]:
        """Attacked mAP, its drop, and with targets t-mAP, its floor and ASR."""
        sides, settings = self.case.sides, self.case.settings
        name = f"mAP@{settings.top_k or 'all'}"
        attacked = precision_column(self.case, self.codes, sides.query_labels, f"attacked {name}", self.says)
        yield attacked, OWN
        benign = precision_column(self.case, sides.query, sides.query_labels, name, "none")
        if settings.empty == "drop":
            self._dropped = benign.scores.mean() - attacked.scores.mean()
        else:
            yield _difference(benign, attacked, f"drop of {name}"), OWN
        if self.targets is None:
            return
        aimed = precision_column(self.case, self.codes, self.targets, f"t-{name}", self.says)
        if np.isnan(aimed.scores.values).all():
            raise UsageError("no target label of the attack is in the database, so nothing can be aimed at")
        yield aimed, TARGET
        yield precision_column(self.case, sides.query, self.targets, f"clean t-{name}", "none"), TARGET
        if self.targets.ndim == 1 and len(sides.database) >= NEIGHBOURS:
            yield self._votes(self.targets), TARGET

    def figures(self, headline: Figure) -> Iterator[Figure]:
        """The drop, where it is no mean of a column."""
        if self._dropped is None:
            return
        metric = f"drop of mAP@{self.case.settings.top_k or 'all'}"
        yield Figure(metric, self._dropped, headline.protocol.for_metric(metric, attack=self.says))

    def warnings(self, record: Record) -> Iterator[str]:
        """Targets that the query has anyway, or that nothing has."""
        if self.targets is None:
            return
        shared = int(share_label(self.case.sides.query_labels, self.targets).sum())
        if shared:
            yield (
                f"{shared:,} attacked queries share a label with their target: t-mAP starts from a floor, see clean "
                "t-mAP"
            )
        aimed = next(figure for figure in record.figures if figure.protocol.relevance == TARGET)
        missing = len(self.case.sides.query) - aimed.protocol.num_queries
        if missing:
            yield f"{missing:,} attacks aim at a label that no database item has; t-mAP leaves them out"

    def _votes(self, targets: NDArray[Any]) -> Column:
        sides, settings = self.case.sides, self.case.settings
        policies = (settings.ties, "optimistic", "pessimistic")
        labels = targets, sides.database_labels
        votes = knn_correct(self.codes, sides.database, *labels, NEIGHBOURS, policies=policies)
        given, best, worst = (QueryScores(each) for each in votes.T)
        return Column(f"ASR@{NEIGHBOURS}", settings.normalize, given, best, worst, attack=self.says)


def _difference(benign: Column, attacked: Column, metric: str) -> Column:
    """Return benign minus attacked, a query at a time."""
    assert benign.best is not None
    assert benign.worst is not None
    assert attacked.best is not None
    assert attacked.worst is not None
    pairs = (benign.scores, attacked.scores), (benign.best, attacked.worst), (benign.worst, attacked.best)
    given, best, worst = (QueryScores(first.values - second.values) for first, second in pairs)
    return Column(metric, benign.normalize, given, best, worst, attack=attacked.attack)
