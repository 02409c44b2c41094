"""The section of certified bits: lower bounds of retrieval that no change within a radius can break."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.evaluation.certified import certain_bits, worst_counts
from deephash.evaluation.counts import DistanceCounts
from deephash.evaluation.formulas import NDCG, PRECISION, mean_ap
from deephash.evaluation.relevance import relevance_from_labels
from deephash.evaluation.scores import Column, QueryScores
from deephash.reports.attack import own_precisions
from deephash.reports.sections import Case, Section
from deephash.reports.sides import NOTHING, OWN


@dataclass(frozen=True, eq=False)
class Certificate:
    """What is certified of Q queries.

    Attributes:
        radii: float64 [Q, K], L2 in units of the pixel range.
        base: codes of the queries without noise.
        says: sigma, draws, alpha and seed, in the words of protocols.
        shown: radii to print.
    """

    radii: NDArray[np.float64]
    base: BinaryCodes
    says: str
    shown: Sequence[float]


class Certified(Section):
    """``certified mAP@R l2<=RHO`` and others for each radius, beside the mAP of the codes without noise.

    The headline of the report is mAP of the smoothed codes. NDCG is bounded only where an item is right or wrong: with
    gains of several sizes an item of a smaller gain may come before one of a larger.
    """

    def __init__(self, case: Case, certificate: Certificate) -> None:
        super().__init__(case)
        self.certificate = certificate
        self.radii = certificate.radii[case.sides.query_rows]

    def columns(self) -> Iterator[tuple[Column, str]]:
        """Codes without noise first, then a group for each radius."""
        yield self._without_noise(), OWN
        for radius in self.certificate.shown:
            yield from ((column, OWN) for column in self._bounds(radius))
            uncertain = (~certain_bits(self.radii, radius)).sum(axis=1)
            yield self._column(f"uncertain bits l2<={radius:g}", uncertain.astype(np.float64), radius), NOTHING

    def _bounds(self, radius: float) -> Iterator[Column]:
        counts = self._counts(radius)
        for column in self._of(counts):
            yield self._column(f"certified {column.metric} l2<={radius:g}", column.scores.values, radius)

    def _of(self, counts: DistanceCounts) -> list[Column]:
        settings, sides = self.case.settings, self.case.sides
        formula, top_k = mean_ap(settings.normalize), settings.top_k
        values = formula.from_counts(counts, top_k=top_k, ties="pessimistic")
        found = [Column(f"mAP@{top_k or 'all'}", settings.normalize, QueryScores(values))]
        ranks = [rank for rank in settings.ranks if rank <= len(sides.database)]
        kinds = [(PRECISION, rank) for rank in ranks]
        if sides.query_labels.ndim == 1:
            kinds += [(NDCG, rank) for rank in ranks[-1:]]
        for kind, rank in kinds:
            values = kind.from_counts(counts, top_k=rank, ties="pessimistic")
            found.append(Column(kind.name.format(rank), settings.normalize, QueryScores(values)))
        return found

    def _counts(self, radius: float) -> DistanceCounts:
        sides = self.case.sides
        relevance = relevance_from_labels(sides.query_labels, sides.database_labels)
        return worst_counts(sides.query, certain_bits(self.radii, radius), sides.database, relevance)

    def _without_noise(self) -> Column:
        settings = self.case.settings
        values = own_precisions(self.case, self.certificate.base[self.case.sides.query_rows])
        return Column(f"base mAP@{settings.top_k or 'all'}", settings.normalize, QueryScores(values))

    def _column(self, metric: str, values: NDArray[np.float64], radius: float) -> Column:
        says = f"certified,l2<={radius:g},{self.certificate.says}"
        ties = "pessimistic" if metric.startswith("certified") else None
        return Column(metric, self.case.settings.normalize, QueryScores(values), ties=ties, attack=says)
