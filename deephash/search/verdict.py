"""Verdict: which hits of one query mean something, in a word and a number.

Two statements, never mixed. *Nearer than chance* needs no labels: of N unrelated items fewer lie so near. *Likely* is
the probability that a hit is right, from known pairs (:class:`~deephash.collection.pair_counts.PairCounts`); it is said
where the query is like those that the pairs are of, and the first statement where it is not. The line that either draws
is one in the list: what lies beyond stays visible, and is never called an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deephash.collection.pair_counts import PairCounts
from deephash.evaluation.false_discovery import LEAST_ITEMS, RATE, cuts, discovery_rates, expected_within
from deephash.evaluation.null import Null, own_null
from deephash.search.snapshot import Shard

Basis = Literal["relevance", "chance", "none"]
LIKELY = 0.5
STANDS_OUT = 0.2  # rate of false discoveries above which a probability is told to nobody (docs/results/relevance.md)
LARGE_GROUPS = 0.15  # share of related pairs, above which a query's own near items would pass for its null
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Searched:
    """What a verdict is made of: one space of codes, as one query sees it.

    Attributes:
        shard: the items whose codes are compared.
        counts: int64 [D + 1], searched items at each distance, those that pass the filter.
        everywhere: the same without a filter: how the query lies to the collection.
        modality: of the query; None for mixtures and bare codes.
        across: whether words have a part in the query. Words lie farther from all pictures than these from each other
            (the modality gap), so the distances of random pictures are no null of theirs: the query's own are.
    """

    shard: Shard
    counts: Counts
    everywhere: Counts
    modality: str | None = None
    across: bool = False

    @property
    def null(self) -> Null:
        """The careful null: as much by chance as the collection allows for, or the query's own distances.

        A handful of items, as a new model has at first, tells nothing of how a query lies to unrelated ones.
        """
        if self.everywhere.sum() < LEAST_ITEMS:
            return self.shard.null
        if self.across:
            return own_null(self.everywhere)
        return self.shard.null.careful(own_null(self._unrelated()))

    @property
    def table(self) -> PairCounts | None:
        """Known pairs of this direction, where there are some."""
        wanted = (self.modality, "image")
        return next((each for each in self.shard.known_pairs if (each.query, each.database) == wanted), None)

    def _unrelated(self) -> Counts:
        chance, counts = self.shard.chance, self.everywhere
        if chance is None or chance.valley is None or chance.related < LARGE_GROUPS:
            return counts
        far = np.where(np.arange(len(counts)) > chance.valley, counts, 0)
        return far if far.any() else counts


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a distance means for one query in one space of codes.

    Attributes:
        basis: ``relevance``: known pairs; ``chance``: no labels; ``none``: too few items to say anything.
        cut: the line: the farthest distance in bits that is likely, or nearer than chance; -1 for none.
        expected: float64 [D + 1], how many unrelated items chance puts within each distance.
        rates: float64 [D + 1], least rate of false discoveries at which a hit there is kept.
        relevance: float64 [D + 1], probability that a hit there is right; None unless known pairs say.
        why: what else should be known, in a sentence; may be empty.
        source: where the known pairs come from; empty without them.
    """

    basis: Basis
    cut: int
    expected: NDArray[np.float64]
    rates: NDArray[np.float64]
    relevance: NDArray[np.float64] | None = None
    why: str = ""
    source: str = ""

    def is_above(self, distance: int) -> bool:
        """Say whether a hit lies above the line; everything does where nothing can be said."""
        return self.basis == "none" or distance <= self.cut

    def word(self, distance: int) -> str:
        """Return ``likely``, ``nearer than chance``, ``unlikely`` or ``by chance``; empty where nothing can be said."""
        if self.basis == "none":
            return ""
        if distance <= self.cut:
            return "likely" if self.basis == "relevance" else "nearer than chance"
        nearer = self.basis == "relevance" and self.rates[distance] <= RATE
        return "unlikely" if nearer else "by chance"

    def number(self, distance: int) -> str:
        """Return the number behind the word, with what it counts."""
        if self.basis == "none":
            return ""
        if self.relevance is not None:
            return _percent(float(self.relevance[distance])) + (" right" if distance > self.cut else "")
        return f"{_count(float(self.expected[distance]))} expected"


def verdicts(parts: Sequence[Searched]) -> list[Verdict]:
    """Return the verdict of each space of codes that one query was asked of."""
    if sum(int(part.counts.sum()) for part in parts) < LEAST_ITEMS:
        return [_nothing(part.counts, "too few items to tell what is nearer than chance") for part in parts]
    nulls = [part.null for part in parts]
    found = [
        Verdict("chance", cut, expected_within(null, part.counts), discovery_rates(null, part.counts))
        for part, null, cut in zip(parts, nulls, cuts(nulls, [part.counts for part in parts]))
    ]
    if len(parts) > 1 or parts[0].table is None:
        return found
    return [_calibrated(parts[0], parts[0].table, found[0])]


def _calibrated(part: Searched, table: PairCounts, chance: Verdict) -> Verdict:
    """Return the verdict by known pairs; the one by chance where the query is unlike those that they are of."""
    relevance = table.posterior(part.counts)
    likely = np.flatnonzero(relevance >= LIKELY)
    cut = int(likely[-1]) if len(likely) else -1
    why = _unlike(part.counts, table, relevance, cut, float(chance.rates.min()))
    if why:
        return Verdict("chance", chance.cut, chance.expected, chance.rates, None, f"{why}, so only chance is told")
    return Verdict("relevance", cut, chance.expected, chance.rates, relevance, source=table.source)


def _unlike(counts: Counts, table: PairCounts, relevance: NDArray[np.float64], cut: int, rate: float) -> str:
    """Say in what a query differs from those that the pairs are of; empty where it does not.

    Pairs of relevant and irrelevant items explain any query somehow, also noise that lies a little nearer to one class.
    Nothing stands out from the distances of that; where most items are relevant nothing can.
    """
    nearest = int(np.flatnonzero(counts)[0])
    if table.misfit_of(counts, relevance) > table.misfit or table.nearest < nearest <= cut:
        return "this query is unlike those that the probabilities were measured on"
    mostly = float(counts @ relevance) > 0.5 * counts.sum()
    return "" if mostly or rate <= STANDS_OUT or cut < nearest else "nothing stands out from this query's distances"


def _nothing(counts: Counts, why: str) -> Verdict:
    none = np.zeros(len(counts))
    return Verdict("none", len(counts) - 1, none, none, None, why)


def _percent(share: float) -> str:
    return "over 99 %" if share > 0.99 else "under 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def _count(expected: float) -> str:
    if expected < 0.01:
        return "under 0.01"
    return f"{expected:.2f}" if expected < 1 else f"{expected:.1f}" if expected < 10 else f"{expected:,.0f}"
