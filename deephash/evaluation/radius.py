"""Hash look-up: precision, recall, F1 and AP among the items within a Hamming radius, and curves over all radii.

Everything here is free of ties except AP inside the ball, which takes the expectation over tie orders. The radius is
inclusive: d <= r (Faiss's range search is strict: it wants r + 1). An empty ball has precision 0, it is not skipped;
skipping lifted 0.327 to 0.597 on 64-bit codes of which 45 % had empty balls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from deephash.errors import UsageError
from deephash.evaluation.counts import DistanceCounts
from deephash.evaluation.groups import FloatArray, IntArray, RankedGroups, groups_from_counts
from deephash.evaluation.ranking import average_precision

Average = Literal["macro", "micro"]


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecallCurve:
    """A curve of P points.

    Attributes:
        at: [P], radii 0..D or ranks 1..N.
        precision: [P].
        recall: [P].
        kind: "radius" or "rank".
        average: "macro" (mean over queries at each point) or "micro" (counts pooled over queries).
    """

    at: FloatArray
    precision: FloatArray
    recall: FloatArray
    kind: Literal["radius", "rank"]
    average: Average


def ball_size(counts: DistanceCounts, radius: int) -> FloatArray:
    """Return the number of items in the ball of each query, [Q]."""
    return _within(counts, radius)[0].astype(np.float64)


def precision_within(counts: DistanceCounts, radius: int) -> FloatArray:
    """Return the relevant share of each ball, 0 for an empty one, [Q]; NaN where N_q = 0, as below."""
    items, relevant = _within(counts, radius)
    return _where_answerable(counts, relevant / np.maximum(items, 1))


def recall_within(counts: DistanceCounts, radius: int) -> FloatArray:
    """Return the share of the relevant items inside the ball, [Q]."""
    return _where_answerable(counts, _within(counts, radius)[1] / np.maximum(counts.num_relevant, 1))


def f1_within(counts: DistanceCounts, radius: int) -> FloatArray:
    """Return 2PR / (P + R) of each ball, [Q]."""
    items, relevant = _within(counts, radius)
    return _where_answerable(counts, 2 * relevant / np.maximum(items + counts.num_relevant, 1))


def average_precision_within_radius_from_counts(
    counts: DistanceCounts, *, radius: int, ties: str = "expected"
) -> FloatArray:
    """Return AP of the ranking inside the ball d <= ``radius``, over the relevant items found there, [Q].

    0 where the ball holds nothing relevant, NaN where N_q = 0. The ball itself is free of ties, its order is not.
    """
    _within(counts, radius)
    ball = DistanceCounts(counts.by_gain[:, :, : radius + 1])
    inside = np.nan_to_num(average_precision(groups_from_counts(ball, ties)))
    return _where_answerable(counts, inside)


def curve_by_radius_from_counts(counts: DistanceCounts, *, average: Average = "macro") -> PrecisionRecallCurve:
    """Precision and recall within r = 0..D; free of ties. Queries without relevant items are left out.

    Macro averages precision over queries with empty balls counted as 0; micro pools the counts first.
    """
    kept = _answerable(counts)
    items, relevant = kept.items.cumsum(axis=1), kept.relevant.cumsum(axis=1)
    total = kept.num_relevant
    at = np.arange(counts.by_gain.shape[2], dtype=np.float64)
    if _is_micro(average):
        pooled = relevant.sum(axis=0)
        precision, recall = pooled / np.maximum(items.sum(axis=0), 1), pooled / total.sum()
    else:
        precision, recall = (relevant / np.maximum(items, 1)).mean(axis=0), (relevant / total[:, None]).mean(axis=0)
    return PrecisionRecallCurve(at, precision, recall, "radius", average)


def curve_by_rank_from_counts(
    counts: DistanceCounts, *, ranks: ArrayLike | None = None, average: Average = "macro", ties: str = "expected"
) -> PrecisionRecallCurve:
    """Precision and recall among the top N for N in ``ranks`` (all of 1..N by default), expected over ties.

    Inside a tied group the expected number of hits grows by m/n a place, so the curve summed over queries is piecewise
    linear: every group adds its slope at its first place and takes it away behind its last one.
    """
    groups = groups_from_counts(_answerable(counts), ties)
    total = groups.num_relevant
    size = groups.longest
    slope = groups.relevant / np.maximum(groups.items, 1)
    hits = _summed_hits(groups, slope, size)
    at = np.arange(1, size + 1) if ranks is None else _valid_ranks(ranks, size)
    precision = hits[at - 1] / (len(total) * at)
    if _is_micro(average):
        recall = hits[at - 1] / total.sum()
    else:
        recall = _summed_hits(groups, slope / total[:, None], size)[at - 1] / len(total)
    return PrecisionRecallCurve(at.astype(np.float64), precision, recall, "rank", average)


def _where_answerable(counts: DistanceCounts, values: FloatArray) -> FloatArray:
    return np.where(counts.num_relevant > 0, values, np.nan)


def _within(counts: DistanceCounts, radius: int) -> tuple[IntArray, IntArray]:
    largest = counts.by_gain.shape[2] - 1
    if isinstance(radius, bool) or not isinstance(radius, (int, np.integer)) or not 0 <= radius <= largest:
        raise UsageError(f"radius is 0..{largest} for codes of {largest} bits, not {radius!r}")
    inside = counts.by_gain[:, :, : radius + 1].sum(axis=2)
    return inside.sum(axis=1), inside[:, 1:].sum(axis=1)


def _answerable(counts: DistanceCounts) -> DistanceCounts:
    kept = counts.num_relevant > 0
    if not kept.any():
        raise UsageError("no query has a relevant item in the database, so there is no curve")
    return replace(counts, by_gain=counts.by_gain[kept])


def _is_micro(average: str) -> bool:
    if average not in ("macro", "micro"):
        raise UsageError(f"average is 'macro' or 'micro', not {average!r}")
    return average == "micro"


def _valid_ranks(ranks: ArrayLike, size: int) -> IntArray:
    chosen = np.asarray(ranks, dtype=np.int64)
    if chosen.ndim != 1 or not len(chosen) or chosen.min() < 1 or chosen.max() > size:
        raise UsageError(f"ranks are a list of whole numbers from 1 to {size}, the size of the database")
    return chosen


def _summed_hits(groups: RankedGroups, slope: FloatArray, size: int) -> FloatArray:
    """Sum over queries of the expected hits among the top 1..size, given the hits a place of each group."""
    ends, weights = groups.ends, slope.ravel()
    change = np.bincount((ends - groups.items).ravel(), weights=weights, minlength=size + 1)
    change -= np.bincount(ends.ravel(), weights=weights, minlength=size + 1)
    return np.asarray(np.cumsum(np.cumsum(change))[:size])
