"""The gate: may the queries of a new model search the codes of the old one? Measured on rows of the collection itself.

The criterion of backward-compatible training (Shen et al., CVPR 2020; CoReS, TPAMI 2023): new queries must do better on
the old codes than the old queries do, here by more than a margin at the lower end of a paired bootstrap interval. A
second difference, new queries on new codes, says whether encoding everything anew is worth it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes, hamming_distance
from deephash.evaluation.bootstrap import PairedComparison, paired_bootstrap
from deephash.evaluation.engine import average_precisions
from deephash.evaluation.relevance import Relevance
from deephash.reports.protocol import Protocol
from deephash.upgrades.sample import Sample, TooFewRows

NEIGHBOURS = 10  # of which the overlap is counted


@dataclass(frozen=True)
class Verdict:
    """What was measured before an upgrade.

    Attributes:
        figures: mAP by ``old/old`` (queries/codes), ``new/old`` and ``new/new``; where nothing says what is relevant,
            the share of the old model's nearest ten that are found again. ``new/old`` is missing where codes of
            different length cannot be compared.
        keep: new queries on old codes minus old on old; None where it cannot be measured or judged.
        renew: new queries on new codes minus old on old; None where it cannot be judged.
        relevance: what makes an item a right answer, in words.
        protocol: of the figures.
        held_out: neither model was trained on these rows.
        margin: that a difference must exceed.
        chance: how many pairs of a query and an item that is no right answer lie at each distance, [K + 1], by the new
            model.
        chance_before: by the old one.
    """

    figures: Mapping[str, float]
    keep: PairedComparison | None
    renew: PairedComparison | None
    relevance: str
    protocol: str
    held_out: bool
    margin: float
    chance: tuple[int, ...] = ()
    chance_before: tuple[int, ...] = ()

    @property
    def is_compatible(self) -> bool:
        """Whether old codes may stay: new queries find more in them than the old queries did."""
        return self._passes(self.keep)

    @property
    def is_better(self) -> bool:
        """Whether new codes of everything would be better than what is there."""
        return self._passes(self.renew)

    def _passes(self, difference: PairedComparison | None) -> bool:
        return self.held_out and difference is not None and difference.interval.low > self.margin

    def to_record(self) -> dict[str, Any]:
        """Return what the collection remembers of it, as JSON values."""

        def of(difference: PairedComparison | None) -> list[float] | None:
            return (
                None
                if difference is None
                else [round(each, 6) for each in (difference.difference, *difference.interval)]
            )

        return {
            "figures": {name: round(value, 6) for name, value in self.figures.items()},
            "keep": of(self.keep),
            "renew": of(self.renew),
            "relevance": self.relevance,
            "protocol": self.protocol,
            "held_out": self.held_out,
            "margin": self.margin,
            "compatible": self.is_compatible,
            "chance": list(self.chance),
            "chance_before": list(self.chance_before),
        }


def judge(sample: Sample, *, margin: float = 0.0, seed: int = 0) -> Verdict:
    """Measure old against new codes on a sample of a collection's rows.

    Args:
        sample: queries and items with the codes of both models.
        margin: of mAP; the differences must exceed it at the lower end of their intervals.
        seed: of the bootstrap.

    Raises:
        TooFewRows: nobody who asks has a right answer.
    """
    relevance = sample.relevance
    if relevance is None:
        return _with_chance(_overlap(sample, margin), sample)
    pairs = {"old/old": (sample.old_queries, sample.old_items), "new/new": (sample.new_queries, sample.new_items)}
    if sample.old_items.layout == sample.new_items.layout:
        pairs["new/old"] = (sample.new_queries, sample.old_items)
    scores = {name: _precisions(queries, items, relevance) for name, (queries, items) in pairs.items()}
    if np.isnan(scores["old/old"]).all():
        raise TooFewRows(
            f"no query of the sample has a right answer in it ({sample.relevance_in_words}), so nothing can be "
            "measured; look at more rows (--sample), or name another attribute (--label). --force publishes without "
            "measuring"
        )
    keep = None if "new/old" not in scores else paired_bootstrap(scores["old/old"], scores["new/old"], seed=seed)
    renew = paired_bootstrap(scores["old/old"], scores["new/new"], seed=seed)
    figures = {name: float(np.nanmean(values)) for name, values in scores.items()}
    protocol = str(_protocol(sample))
    verdict = Verdict(figures, keep, renew, sample.relevance_in_words, protocol, sample.held_out, margin)
    return _with_chance(verdict, sample)


def _with_chance(verdict: Verdict, sample: Sample) -> Verdict:
    """Add how far apart the same unrelated pictures are by either model, by which answers of both can be merged."""
    related = None if sample.relevance is None else sample.relevance.gains() > 0

    def counts(queries: BinaryCodes, items: BinaryCodes) -> tuple[int, ...]:
        distances = hamming_distance(queries, items)
        distances = distances if related is None else distances[~related]
        return tuple(np.bincount(distances.ravel(), minlength=queries.layout.max_distance + 1).tolist())

    new, old = counts(sample.new_queries, sample.new_items), counts(sample.old_queries, sample.old_items)
    return replace(verdict, chance=new, chance_before=old)


def _precisions(queries: BinaryCodes, items: BinaryCodes, relevance: Relevance) -> NDArray[np.float64]:
    return average_precisions(queries, items, relevance)[:, 0]


def _protocol(sample: Sample) -> Protocol:
    named = f"collection-{'held-out-' if sample.held_out else ''}draw-{len(sample.old_queries)}-seed-{sample.seed}"
    kind = "explicit" if sample.by_vectors else "any-shared-label"
    return replace(
        Protocol(dataset=named, relevance=kind, series="compatibility:2"),
        num_bits=sample.new_items.num_bits,
        num_queries=len(sample.old_queries),
        num_database=len(sample.old_items),
        split=sample.checksum,
    )


def _overlap(sample: Sample, margin: float) -> Verdict:
    """Without labels: how many of the ten that the old model finds nearest are found again."""
    before = _nearest(sample.old_queries, sample.old_items)
    figures = {"old/old": 1.0, "new/new": _shared(before, _nearest(sample.new_queries, sample.new_items))}
    if sample.old_items.layout == sample.new_items.layout:
        figures["new/old"] = _shared(before, _nearest(sample.new_queries, sample.old_items))
    protocol = _protocol(replace(sample, by_vectors=True))
    own = replace(protocol, relevance="none", metric=f"overlap@{NEIGHBOURS}")
    return Verdict(figures, None, None, sample.relevance_in_words, str(own), sample.held_out, margin)


def _nearest(queries: BinaryCodes, items: BinaryCodes) -> NDArray[np.int64]:
    from deephash.index import open_index

    return open_index("auto", np.arange(len(items)), items).search(queries, NEIGHBOURS).ids


def _shared(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    return float(np.mean([len(np.intersect1d(a, b)) / one.shape[1] for a, b in zip(one, other)]))
