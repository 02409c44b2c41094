"""Metrics for graded relevance: the gain of an item is the number of labels it shares with the query.

All three are exact under ties, because they are linear in the items of a tied group (NDCG, ACG) or follow from the same
sum as average precision (WAP).
"""

from __future__ import annotations

import numpy as np

from deephash.evaluation.counts import DistanceCounts
from deephash.evaluation.cut import CutGroup, precision_sum
from deephash.evaluation.groups import (
    FloatArray,
    HarmonicNumbers,
    IntArray,
    RankedGroups,
    exclusive_cumsum,
    groups_from_counts,
    validate_top_k,
)
from deephash.evaluation.ranking import weighted_precision


def weighted_average_precision_from_counts(
    counts: DistanceCounts, *, top_k: int | None = None, ties: str = "expected"
) -> FloatArray:
    """Return WAP@k of every query, [Q]; NaN where N_q = 0. "optimistic" and "pessimistic" are strict bounds."""
    if ties in ("optimistic", "pessimistic") and top_k is not None:
        return _extreme_weighted_precision(counts, top_k, ties)
    return weighted_average_precision(groups_from_counts(counts, ties), top_k)


def normalised_discounted_gain(groups: RankedGroups, top_k: int | None = None) -> FloatArray:
    """NDCG@k = DCG@k / (DCG@k of the best possible order of the whole database), [Q].

    DCG@k = sum_{j <= k} gain_j / log2(1 + j) (Jarvelin and Kekalainen 2002, in the form of Burges et al. 2005). Under
    ties every item of a group has the group's mean gain (McSherry and Najork, ECIR 2008), so a group adds its mean gain
    times the discounts of its places.
    """
    depth = validate_top_k(top_k, groups)
    discounts = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, depth + 2)))])
    start, stop = np.minimum(exclusive_cumsum(groups.items), depth), np.minimum(groups.ends, depth)
    mean_gain = groups.gain / np.maximum(groups.items, 1)
    gained = (mean_gain * (discounts[stop] - discounts[start])).sum(axis=1)
    ideal = _ideal_gain(groups, discounts, depth)
    return np.where(ideal > 0, gained / np.where(ideal > 0, ideal, 1.0), np.nan)


def average_gain(groups: RankedGroups, top_k: int) -> FloatArray:
    """ACG@k = (1/k) sum_{j <= k} gain_j, [Q]; whole groups count their gain, the cut group its share."""
    depth = validate_top_k(top_k, groups)
    taken = np.clip(depth - exclusive_cumsum(groups.items), 0, groups.items)
    gained = (taken * groups.gain / np.maximum(groups.items, 1)).sum(axis=1)
    return np.where(groups.num_relevant > 0, gained / depth, np.nan)


def weighted_average_precision(groups: RankedGroups, top_k: int | None = None) -> FloatArray:
    """WAP@k = sum_{j <= k} r_j ACG@j / (relevant items found in the top k), [Q].

    As in IDHN (Zhang et al., IEEE TMM 2020, arXiv 1803.02987) and its successors. With gains of 0 and 1 it is AP@k with
    norm "hits". Groups split by gain are two orders, not the bounds of a cut ranking, since finding more items also
    raises the denominator: ``weighted_average_precision_from_counts`` makes the bounds.
    """
    return weighted_precision(groups, groups.gain, top_k, "hits")


def _ideal_gain(groups: RankedGroups, discounts: FloatArray, depth: int) -> FloatArray:
    """DCG@k of the order by falling gain, from the number of items of each gain."""
    falling: IntArray = groups.totals[:, ::-1]
    stop = np.minimum(np.cumsum(falling, axis=1), depth)
    start = np.minimum(exclusive_cumsum(falling), depth)
    return np.asarray(((discounts[stop] - discounts[start]) * groups.gain_values[::-1]).sum(axis=1))


def _extreme_weighted_precision(counts: DistanceCounts, top_k: int, ties: str) -> FloatArray:
    """The largest (smallest) WAP@k over all tie orders, [Q].

    Whole groups stand in order of gain. In the cut group every possible number h of hits is tried: the h highest gains
    first in falling order (the h lowest last, in rising order).
    """
    groups, split = groups_from_counts(counts), groups_from_counts(counts, ties)
    depth = validate_top_k(top_k, groups)
    harmonic = HarmonicNumbers.up_to(groups.longest)
    before, weight_before = exclusive_cumsum(split.items), exclusive_cumsum(split.gain)
    sums = precision_sum(split.items, split.relevant, split.gain, before, weight_before, split.items, harmonic)
    whole = groups.ends <= depth
    total = np.where(np.repeat(whole, len(groups.gain_values), axis=1), sums, 0.0).sum(axis=1)
    cut = CutGroup.at(groups, depth, groups.gain)
    column = np.minimum(whole.sum(axis=1), whole.shape[1] - 1)
    scores = np.zeros(len(counts))
    for row in range(len(counts)):  # a row may have as many possibilities as places
        kinds = counts.by_gain[row, 1:, column[row]]
        scores[row] = _extreme_of_cut(cut, row, kinds, float(total[row]), harmonic, best=ties == "optimistic")
    return np.where(groups.num_relevant > 0, scores, np.nan)


def _extreme_of_cut(
    cut: CutGroup, row: int, kinds: IntArray, total: float, harmonic: HarmonicNumbers, *, best: bool
) -> float:
    """Best (worst) of (total + sum of ACG over h hits of the cut group) / (M + h); ``kinds`` counts gains 1..G."""
    places, relevant = int(cut.places[row]), int(cut.relevant[row])
    hits = np.arange(max(0, places - int(cut.items[row]) + relevant), min(relevant, places) + 1)[:, None]
    gain = np.arange(1, len(kinds) + 1)[:: -1 if best else 1]
    kinds = kinds[:: -1 if best else 1]
    taken = np.clip(hits - (np.cumsum(kinds) - kinds), 0, kinds)
    start = cut.before[row] + (0 if best else places - hits) + exclusive_cumsum(taken)
    weight = cut.weight_before[row] + exclusive_cumsum(taken * gain)
    # A run of c items of gain g after P items of weight W: sum_i (W + g i) / (P + i) = c g + (W - g P)(H(P+c) - H(P))
    inside = (taken * gain + (weight - gain * start) * harmonic.between(start, start + taken)).sum(axis=1)
    scores = (total + inside) / np.maximum(cut.relevant_before[row] + hits[:, 0], 1)
    return float(scores.max() if best else scores.min())
