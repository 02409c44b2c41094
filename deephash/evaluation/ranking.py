"""Average precision, precision, recall and hit rate of rankings with ties, in closed form.

Notation of one query: groups with n items and m relevant ones, after N items and M relevant ones; r_j = 1 if the item
at rank j is relevant; P@j = (r_1 + ... + r_j) / j; N_q relevant items in the whole database.

    AP@R = sum_{j <= R} r_j P@j / denominator

"expected" is the mean over all orders inside the tied groups. He, Cakir, Bargal and Sclaroff ("Hashing as tie-aware
learning to rank", CVPR 2018, arXiv 1705.08562) treat uncut rankings; the hypergeometric cut group is ours.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from deephash.errors import UsageError, did_you_mean
from deephash.evaluation.counts import DistanceCounts
from deephash.evaluation.cut import CutGroup, draws_without_replacement, extreme_hits, first_hits, precision_sum
from deephash.evaluation.groups import (
    FloatArray,
    HarmonicNumbers,
    IntArray,
    RankedGroups,
    exclusive_cumsum,
    groups_from_counts,
    validate_top_k,
)

Normalize = Literal["hits", "min", "total", "first-k"]
NORMALIZE = ["hits", "min", "total", "first-k"]


# From counts: per-query arrays -----------------------------------------------------------------------


def average_precision_from_counts(
    counts: DistanceCounts, *, top_k: int | None = None, normalize: Normalize = "hits", ties: str = "expected"
) -> FloatArray:
    """Return AP@R of every query, [Q]; NaN where the query has no relevant item at all.

    A query that finds nothing in its top R scores 0 here; ``empty="drop"`` is a matter of the mean, see
    ``metrics.mean_average_precision``.

    Args:
        counts: from ``distance_counts``.
        top_k: R; None ranks the whole database.
        normalize: the denominator. "hits": relevant items found in the top R; "min": min(R, N_q); "total": N_q;
            "first-k": AP over the first min(R, N_q) relevant items wherever they are. All agree for the whole database.
        ties: "expected", or the bound "optimistic" or "pessimistic" that no tie order exceeds.
    """
    if ties in ("optimistic", "pessimistic") and normalize == "hits" and top_k is not None:
        return _extreme_average_precision(counts, top_k, best=ties == "optimistic")
    return average_precision(groups_from_counts(counts, ties), top_k, normalize)


# From tied groups ------------------------------------------------------------------------------------


def average_precision(groups: RankedGroups, top_k: int | None = None, normalize: Normalize = "hits") -> FloatArray:
    """Expected AP@R of each ranking, [Q]; arguments as in ``average_precision_from_counts``."""
    return weighted_precision(groups, groups.relevant.astype(np.float64), top_k, normalize)


def trapezoid_average_precision(groups: RankedGroups) -> FloatArray:
    """Expected area under the precision-recall curve by trapezoids, [Q], as the Oxford and ROxford scripts compute it.

        AP = (1 / N_q) sum_j r_j (P@(j-1) + P@j) / 2,   P@0 = 1

    A group after N > 0 items and M relevant ones adds E[sum_j r_j P@(j-1)] = (m/n) sum_{t<n} (M + t s) / (N + t) with
    s = (m - 1)/(n - 1), which again needs harmonic numbers only; in the first group the place t = 0 counts 1.
    """
    n, m = groups.items, groups.relevant
    before, found = exclusive_cumsum(n), exclusive_cumsum(m)
    harmonic = _harmonic_of(groups)
    upper = precision_sum(n, m, m.astype(np.float64), before, found.astype(np.float64), n, harmonic)
    slope = np.maximum(m - 1, 0) / np.maximum(n - 1, 1)
    share = harmonic.between(np.maximum(before - 1, 0), np.maximum(before + n - 1, 0))
    later = found * share + slope * (n - before * share)
    lower = m / np.maximum(n, 1) * np.where(before > 0, later, 1 + slope * (n - 1))
    areas = np.where(n > 0, (lower + upper) / 2, 0.0).sum(axis=1)
    return _where_answerable(groups, areas / np.maximum(groups.num_relevant, 1))


def average_precision_at_r(groups: RankedGroups) -> FloatArray:
    """Expected MAP@R of metric learning, [Q]: sum_{j <= R} r_j P@j / R, where R = N_q differs from query to query.

    Musgrave, Belongie and Lim, "A metric learning reality check" (ECCV 2020, arXiv 2003.08505). A relevant item behind
    rank N_q counts nothing, so it is at most ``average_precision`` of the whole database.
    """
    found = _precisions_within(groups, groups.relevant.astype(np.float64), groups.num_relevant[:, None])
    return _where_answerable(groups, found / np.maximum(groups.num_relevant, 1))


def r_precision(groups: RankedGroups) -> FloatArray:
    """Expected R-precision, [Q]: the share of relevant items among the first N_q, which is P and recall at N_q."""
    found = relevant_within(groups, groups.num_relevant[:, None])
    return _where_answerable(groups, found / np.maximum(groups.num_relevant, 1))


def precision(groups: RankedGroups, top_k: int) -> FloatArray:
    """Expected P@N, [Q]: whole groups count m, the cut group k m / n."""
    depth = validate_top_k(top_k, groups)
    return _where_answerable(groups, relevant_within(groups, depth) / depth)


def recall(groups: RankedGroups, top_k: int) -> FloatArray:
    """Expected recall@N, [Q]."""
    depth = validate_top_k(top_k, groups)
    return _where_answerable(groups, relevant_within(groups, depth) / np.maximum(groups.num_relevant, 1))


def hit(groups: RankedGroups, top_k: int | None) -> FloatArray:
    """Expected hit@N, [Q] (None: of all): 1 if a whole group holds a hit, else 1 - P(no hit in the cut group).

    With k places left in a group of n items, m relevant, P(no hit) = C(n - m, k) / C(n, k).
    """
    cut = CutGroup.at(groups, validate_top_k(top_k, groups))
    hits, chances = draws_without_replacement(cut.items, cut.relevant, cut.places)
    missed = np.where(hits == 0, chances, 0.0).sum(axis=1)
    return _where_answerable(groups, np.where(cut.relevant_before > 0, 1.0, 1.0 - missed))


def relevant_within(groups: RankedGroups, depth: int | IntArray) -> FloatArray:
    """Expected number of relevant items among the top ``depth`` (one for all queries, or [Q, 1]), [Q]."""
    taken = np.clip(depth - exclusive_cumsum(groups.items), 0, groups.items)
    return np.asarray((taken * groups.relevant / np.maximum(groups.items, 1)).sum(axis=1))


def weighted_precision(groups: RankedGroups, weight: FloatArray, top_k: int | None, normalize: Normalize) -> FloatArray:
    """E[ sum_{j <= R} r_j (w_1 + ... + w_j) / j / denominator ], [Q], for non-negative weights of the relevant items.

    Weight 1 an item gives AP; weight = gain gives WAP.

    Args:
        groups: Q rankings.
        weight: [Q, J], sum of the weights in each group.
        top_k: R.
        normalize: the denominator, see ``average_precision_from_counts``.
    """
    depth = validate_top_k(top_k, groups)
    if normalize == "first-k":
        found = first_hits(groups, weight, np.minimum(depth, groups.num_relevant), _harmonic_of(groups))
        return _where_answerable(groups, found / np.clip(groups.num_relevant, 1, depth))
    if normalize == "hits":
        return _where_answerable(groups, _normalised_by_hits(groups, weight, depth, _harmonic_of(groups)))
    found = _precisions_within(groups, weight, depth)
    if normalize == "min":
        return _where_answerable(groups, found / np.clip(groups.num_relevant, 1, depth))
    if normalize == "total":
        return _where_answerable(groups, found / np.maximum(groups.num_relevant, 1))
    raise UsageError(f"normalize={normalize!r} is unknown{did_you_mean(str(normalize), NORMALIZE)}")


def _harmonic_of(groups: RankedGroups) -> HarmonicNumbers:
    return HarmonicNumbers.up_to(groups.longest)


def _precisions_within(groups: RankedGroups, weight: FloatArray, depth: int | IntArray) -> FloatArray:
    """E[ sum_{j <= R} r_j (w_1 + ... + w_j) / j ], [Q], for R = ``depth``, one for all queries or [Q, 1]."""
    before = exclusive_cumsum(groups.items)
    places = np.clip(depth - before, 0, groups.items)
    sums = precision_sum(
        groups.items, groups.relevant, weight, before, exclusive_cumsum(weight), places, _harmonic_of(groups)
    )
    return np.asarray(sums.sum(axis=1))


def _normalised_by_hits(groups: RankedGroups, weight: FloatArray, depth: int, harmonic: HarmonicNumbers) -> FloatArray:
    """Whole groups are summed; the hits h of the cut group are hypergeometric, and so is the denominator M + h."""
    before = exclusive_cumsum(groups.items)
    whole = before + groups.items <= depth
    sums = precision_sum(
        groups.items, groups.relevant, weight, before, exclusive_cumsum(weight), groups.items, harmonic
    )
    total = np.where(whole, sums, 0.0).sum(axis=1)
    cut = CutGroup.at(groups, depth, weight)
    if not cut.places.any():
        return np.asarray(total / np.maximum(cut.relevant_before, 1))
    hits, chances = draws_without_replacement(cut.items, cut.relevant, cut.places)
    column = cut.column_vectors()
    drawn_weight = column.weight * hits / np.maximum(column.relevant, 1)
    inside = precision_sum(
        column.places, hits, drawn_weight, column.before, column.weight_before, column.places, harmonic
    )
    found = column.relevant_before + hits
    return np.asarray((chances * (total[:, None] + inside) / np.maximum(found, 1)).sum(axis=1))


def _extreme_average_precision(counts: DistanceCounts, top_k: int, *, best: bool) -> FloatArray:
    """The largest (smallest) AP@R with norm "hits" over all tie orders.

    Inside whole groups relevant items come first (last). In the cut group the number of hits changes the denominator
    too, so finding *more* can lower the score: every possible number is tried.
    """
    groups = groups_from_counts(counts, "expected")
    depth = validate_top_k(top_k, groups)
    harmonic = _harmonic_of(groups)
    n, m, before = groups.items, groups.relevant, exclusive_cumsum(groups.items)
    skipped = np.zeros_like(n) if best else n - m
    sums = _run_of_hits(before + skipped, exclusive_cumsum(m), m, harmonic)
    total = np.where(before + n <= depth, sums, 0.0).sum(axis=1)
    cut = CutGroup.at(groups, depth)
    return _where_answerable(groups, extreme_hits(cut, total, harmonic, best=best))


def _run_of_hits(rank: IntArray, found: IntArray, hits: IntArray, harmonic: HarmonicNumbers) -> FloatArray:
    """Sum of P@j over a run of ``hits`` relevant items after ``rank`` items: h + (M - N) (H(N + h) - H(N))."""
    return np.asarray(hits + (found - rank) * harmonic.between(rank, rank + hits))


def _where_answerable(groups: RankedGroups, values: FloatArray) -> FloatArray:
    return np.where(groups.num_relevant > 0, values, np.nan)
