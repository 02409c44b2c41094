"""The section of an attack: what it did to the same queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.evaluation.groups import FloatArray
from deephash.evaluation.knn import knn_correct
from deephash.evaluation.robustness import AttackPrecisions, attack_precisions, share_label
from deephash.evaluation.scores import NEIGHBOURS, Column, QueryScores
from deephash.reports.record import Record
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


class Attacked(Section):
    """Figures of an attack.

    ``attacked mAP@R`` and ``drop of mAP@R`` are judged by the queries' own labels; ``t-mAP@R``, the t-mAP of the clean
    queries (the floor from which a targeted attack starts) and the success rate ``ASR@k`` by the targets. The range of
    the drop is that of two independent rankings.

    Raises:
        UsageError: nothing is judged by labels, targets of another kind than they, or none of them in the database.
    """

    def __init__(self, case: Case, attack: Attack) -> None:
        super().__init__(case)
        if case.sides.right != OWN or case.settings.empty == "drop":
            raise UsageError("an attack is scored by labels, and a query that finds nothing counts 0 (empty='zero')")
        case.sides.require_one_each({"attacked codes": attack.codes, "targets": attack.targets})
        rows = case.sides.query_rows
        self.codes, self.targets = attack.codes[rows], None if attack.targets is None else attack.targets[rows]
        self.says = attack.says

    def columns(self) -> Iterator[tuple[Column, str]]:
        """Attacked mAP, its drop, and with targets t-mAP, its floor and ASR."""
        sides, settings = self.case.sides, self.case.settings
        policies = (settings.ties, "optimistic", "pessimistic")
        given, best, worst = (self._precisions(ties) for ties in policies)

        def column(metric: str, *values: FloatArray | None, says: str = self.says) -> Column:
            in_order, optimistic, pessimistic = (QueryScores(np.asarray(each)) for each in values)
            return Column(metric, settings.normalize, in_order, optimistic, pessimistic, attack=says)

        name = f"mAP@{settings.top_k or 'all'}"
        yield column(f"attacked {name}", given.attacked, best.attacked, worst.attacked), OWN
        drops = given.benign - given.attacked, best.benign - worst.attacked, worst.benign - best.attacked
        yield column(f"drop of {name}", *drops), OWN
        if self.targets is None or given.targeted is None:
            return
        if np.isnan(given.targeted).all():
            raise UsageError("no target label of the attack is in the database, so nothing can be aimed at")
        yield column(f"t-{name}", given.targeted, best.targeted, worst.targeted), TARGET
        floor = given.benign_targeted, best.benign_targeted, worst.benign_targeted
        yield column(f"clean t-{name}", *floor, says="none"), TARGET
        if self.targets.ndim == 1 and len(sides.database) >= NEIGHBOURS:
            labels = self.targets, sides.database_labels
            votes = knn_correct(self.codes, sides.database, *labels, NEIGHBOURS, policies=policies)
            yield column(f"ASR@{NEIGHBOURS}", *votes.T), TARGET

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

    def _precisions(self, ties: str) -> AttackPrecisions:
        sides, settings = self.case.sides, self.case.settings
        return attack_precisions(
            sides.query,
            self.codes,
            sides.database,
            query_labels=sides.query_labels,
            database_labels=sides.database_labels,
            target_labels=self.targets,
            top_k=settings.top_k,
            normalize=settings.normalize,
            ties=ties,
        )
