"""Nearer than chance: which hits of one query are more than the nearest of many unrelated items.

Needs no labels. With a null F0 (:mod:`deephash.evaluation.null`) and N searched items, N F0(d) unrelated ones are
expected within d. Of all items found there that is the share of false discoveries, if every item were unrelated; the
list is cut at the largest distance where it is at most q (Benjamini and Hochberg 1995 on p = F0(d)). Nothing here is a
quantile of the index: of a query that nothing is near to, nothing is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deephash.evaluation.null import Floats, Null

RATE = 0.05
LEAST_ITEMS = 50  # below, one query says nothing
Counts = NDArray[np.integer]


def expected_within(null: Null, counts: Counts) -> Floats:
    """Return N F0(d), how many unrelated items chance puts within each distance, float64 [D + 1]."""
    return np.asarray(counts.sum() * null.within)


def discovery_rates(null: Null, counts: Counts) -> Floats:
    """Return the least rate of false discoveries at which a hit at each distance is kept, [D + 1] in 0..1, rising."""
    found = np.cumsum(counts)
    rate = np.minimum(expected_within(null, counts) / np.maximum(found, 1), 1.0)
    return np.asarray(np.minimum.accumulate(np.where(found > 0, rate, 1.0)[::-1])[::-1])


def cuts(nulls: Sequence[Null], counts: Sequence[Counts], rate: float = RATE) -> list[int]:
    """Return the largest distance that is nearer than chance in each of several spaces of codes, -1 for none.

    One query's items in all spaces are one list, in the order of p = F0(d): a distance alone cannot be compared.
    """
    total = sum(int(each.sum()) for each in counts)
    steps = np.sort(np.concatenate([null.within[each > 0] for null, each in zip(nulls, counts)]))
    found = np.zeros(len(steps))
    for null, each in zip(nulls, counts):
        below = np.concatenate([[0], np.cumsum(each)])
        found += below[np.searchsorted(null.within, steps, side="right")]
    kept = np.flatnonzero(total * steps <= rate * found)
    if not len(kept):
        return [-1] * len(nulls)
    last = steps[kept[-1]]
    return [_last_within(null, each, float(last)) for null, each in zip(nulls, counts)]


def _last_within(null: Null, counts: Counts, probability: float) -> int:
    """Return the farthest distance as improbable as that; up to the next item nothing lies, so it may stand there."""
    return int(np.searchsorted(null.within, probability, side="right")) - 1
