"""The table of metrics. A row here is a column of the report, a function of ``metrics`` and a torchmetrics class.

A new metric is a function of tied groups (``ranking``, ``graded``), a row in one of the tuples below, and, where Python
should have it by name, a line in ``metrics``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deephash.evaluation.counts import DistanceCounts
from deephash.evaluation.graded import (
    average_gain,
    normalised_discounted_gain,
    weighted_average_precision,
    weighted_average_precision_from_counts,
)
from deephash.evaluation.groups import FloatArray, GainScale, RankedGroups, groups_from_counts
from deephash.evaluation.radius import (
    average_precision_within_radius_from_counts,
    f1_within,
    precision_within,
    recall_within,
)
from deephash.evaluation.ranking import (
    Normalize,
    average_precision,
    average_precision_at_r,
    average_precision_from_counts,
    hit,
    precision,
    r_precision,
    recall,
    trapezoid_average_precision,
)
from deephash.evaluation.settings import Settings

NO_GAIN, EXPONENTIAL, LINEAR = "none", "2^g-1", "g"  # how a shared label counts, in protocols
HIT_RANKS = 10  # hit@N says little beyond


@dataclass(frozen=True)
class Formula:
    """A metric of rankings, one number a query.

    Attributes:
        name: with ``{}`` for the rank it looks down to.
        of_groups: (rankings, rank or None) -> [Q], expected over the orders inside tied groups.
        of_counts: (counts, rank or None, tie policy) -> [Q], where the best and the worst order are not simply those by
            gain; else None.
        scale: of the gains in ``of_groups``.
        gain: the word for it, where a gain has a say.
        normalize: denominator that belongs to the metric; None where AP's has no say or is the one asked for.
        deepest: the largest rank a report prints it for.
    """

    name: str
    of_groups: Callable[[RankedGroups, int | None], FloatArray]
    of_counts: Callable[[DistanceCounts, int | None, str], FloatArray] | None = None
    scale: GainScale = "linear"
    gain: str = NO_GAIN
    normalize: str | None = None
    deepest: int | None = None

    def from_counts(
        self,
        counts: DistanceCounts,
        *,
        top_k: int | None = None,
        ties: str = "expected",
        scale: GainScale | None = None,
    ) -> FloatArray:
        """Return the scores under a policy that counts decide, [Q]; NaN where a query has no relevant item."""
        if self.of_counts is not None:
            return self.of_counts(counts, top_k, ties)
        return self.of_groups(groups_from_counts(counts, ties, scale or self.scale), top_k)


@dataclass(frozen=True)
class RadiusFormula:
    """A metric of the items within a Hamming radius.

    Attributes:
        name: with ``{}`` for the radius.
        of_counts: (counts, radius, tie policy) -> [Q].
        has_ties: whether the order of ties has a say.
        normalize: as in :class:`Formula`.
    """

    name: str
    of_counts: Callable[[DistanceCounts, int, str], FloatArray]
    has_ties: bool = False
    normalize: str | None = None


def _of_rank(formula: Callable[[RankedGroups, int], FloatArray]) -> Callable[[RankedGroups, int | None], FloatArray]:
    return lambda groups, top_k: formula(groups, groups.longest if top_k is None else top_k)


def _of_whole(formula: Callable[[RankedGroups], FloatArray]) -> Callable[[RankedGroups, int | None], FloatArray]:
    return lambda groups, _: formula(groups)


def mean_ap(normalize: Normalize) -> Formula:
    """Average precision with one of its denominators."""
    return Formula(
        "mAP@{}",
        lambda groups, top_k: average_precision(groups, top_k, normalize),
        lambda counts, top_k, ties: average_precision_from_counts(counts, top_k=top_k, normalize=normalize, ties=ties),
        normalize=normalize,
    )


TRAPEZOID = Formula("trapezoid mAP@{}", _of_whole(trapezoid_average_precision))
AP_AT_R = Formula("MAP@R", _of_whole(average_precision_at_r), normalize="total")
R_PRECISION = Formula("R-precision", _of_whole(r_precision), normalize="total")
PRECISION = Formula("P@{}", _of_rank(precision))
RECALL = Formula("R@{}", _of_rank(recall))
HIT = Formula("hit@{}", hit, deepest=HIT_RANKS)
NDCG = Formula("NDCG@{}", normalised_discounted_gain, scale="exponential", gain=EXPONENTIAL)
ACG = Formula("ACG@{}", _of_rank(average_gain), gain=LINEAR)
WAP = Formula(
    "WAP@{}",
    weighted_average_precision,
    lambda counts, top_k, ties: weighted_average_precision_from_counts(counts, top_k=top_k, ties=ties),
    gain=LINEAR,
    normalize="hits",
)

AT_RANKS = (PRECISION, RECALL, HIT)  # printed for every rank that is asked for
GRADED = (NDCG, ACG, WAP)  # printed for the deepest of them, where items may share several labels

PRECISION_WITHIN = RadiusFormula("P@H<={}", lambda counts, radius, _: precision_within(counts, radius))
RECALL_WITHIN = RadiusFormula("R@H<={}", lambda counts, radius, _: recall_within(counts, radius))
F1_WITHIN = RadiusFormula("F1@H<={}", lambda counts, radius, _: f1_within(counts, radius))
AP_WITHIN = RadiusFormula(
    "mAP@H<={}",
    lambda counts, radius, ties: average_precision_within_radius_from_counts(counts, radius=radius, ties=ties),
    has_ties=True,
    normalize="hits",
)
WITHIN = (PRECISION_WITHIN, RECALL_WITHIN, F1_WITHIN, AP_WITHIN)


def asked_for(settings: Settings, size: int, *, is_graded: bool) -> Iterator[tuple[Formula, int | None]]:
    """Yield every (metric, rank or None) of a report over ``size`` items, headline first."""
    kinds = [(settings.top_k, settings.normalize)]
    if settings.top_k not in (None, size):  # on the whole database all denominators agree
        kinds += [(settings.top_k, "min"), (None, settings.normalize)]
    yield from ((mean_ap(normalize), top_k) for top_k, normalize in dict.fromkeys(kinds))
    if settings.trapezoid:
        yield TRAPEZOID, None
    if settings.at_r:
        yield AP_AT_R, None
        yield R_PRECISION, None
    for rank in settings.ranks:
        yield from ((formula, rank) for formula in AT_RANKS if rank <= min(size, formula.deepest or size))
    if is_graded:
        deepest = min(max(settings.ranks, default=size), size)
        yield from ((formula, deepest) for formula in GRADED)
