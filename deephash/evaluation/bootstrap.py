"""How sure is a number? The range that ties leave open, and bootstrap intervals over queries.

Two different doubts, printed side by side: the optimistic-pessimistic range says how much the code length limits the
metric (no data would shrink it), the bootstrap interval how much the choice of queries matters (Efron 1979, percentile
method).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from deephash.errors import UsageError
from deephash.evaluation.averaging import mean_over_queries
from deephash.evaluation.counts import DistanceCounts
from deephash.evaluation.groups import FloatArray, IntArray

BLOCK_DRAWS = 4_000_000  # random rows drawn at once


class Interval(NamedTuple):
    """The two ends of an interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric with its doubts.

    Attributes:
        value: expected over ties.
        pessimistic: under the worst tie orders.
        optimistic: under the best tie orders.
        interval: bootstrap interval of ``value`` over queries.
        queries: queries in the mean.
        unanswerable: queries without any relevant item, left out.
    """

    value: float
    pessimistic: float
    optimistic: float
    interval: Interval
    queries: int
    unanswerable: int


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two systems on the same queries.

    Attributes:
        difference: mean(second) - mean(first).
        interval: bootstrap interval of the difference.
        p_value: two-sided, share of resamples on the other side of zero (doubled, never below 2 / (resamples + 1)).
        queries: queries that both could answer.
    """

    difference: float
    interval: Interval
    p_value: float
    queries: int


def estimate_from_counts(
    counts: DistanceCounts,
    formula: Callable[[DistanceCounts, str], FloatArray],
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Evaluate ``formula(counts, ties) -> [Q]`` with its tie range and bootstrap interval.

    For example ``estimate_from_counts(counts, lambda c, ties: average_precision_from_counts(c, ties=ties))``.
    """
    values = formula(counts, "expected")
    return Estimate(
        value=mean_over_queries(values),
        pessimistic=float(np.nanmean(formula(counts, "pessimistic"))),
        optimistic=float(np.nanmean(formula(counts, "optimistic"))),
        interval=bootstrap_interval(values, level=level, resamples=resamples, seed=seed),
        queries=int((~np.isnan(values)).sum()),
        unanswerable=counts.unanswerable,
    )


def bootstrap_interval(
    values: FloatArray,
    weights: FloatArray | None = None,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Percentile interval of sum(values) / sum(weights) over resampled queries.

    Args:
        values: [Q], NaN for queries that are left out.
        weights: [Q]; 1 for each query when left out (the plain mean).
        level: e.g. 0.95.
        resamples: number of resamples.
        seed: of the resampling.

    Raises:
        UsageError: no value, or options out of range.
    """
    _require_options(level, resamples, seed)
    answered = ~np.isnan(values)
    kept = values[answered]
    shares = np.ones_like(kept) if weights is None else np.asarray(weights, np.float64)[answered]
    means = [
        kept[rows].sum(axis=1) / np.maximum(shares[rows].sum(axis=1), np.finfo(float).tiny)
        for rows in _resampled_rows(len(kept), resamples, seed)
    ]
    return _percentiles(np.concatenate(means), level)


def paired_bootstrap(
    first: FloatArray, second: FloatArray, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> PairedComparison:
    """Compare two systems by their per-query scores [Q] on the same queries, in the same order.

    Queries that either could not answer (NaN) are left out on both sides.

    Raises:
        UsageError: lengths differ or nothing is left.
    """
    _require_options(level, resamples, seed)
    if np.shape(first) != np.shape(second):
        raise UsageError(
            f"{np.size(first)} and {np.size(second)} per-query scores cannot be paired; both need the same queries "
            "in the same order"
        )
    gaps = (second - first)[~np.isnan(first) & ~np.isnan(second)]
    means = np.concatenate([gaps[rows].mean(axis=1) for rows in _resampled_rows(len(gaps), resamples, seed)])
    below, above = int((means <= 0).sum()), int((means >= 0).sum())
    p_value = min(1.0, 2 * (min(below, above) + 1) / (resamples + 1))
    return PairedComparison(float(gaps.mean()), _percentiles(means, level), p_value, len(gaps))


def _resampled_rows(size: int, resamples: int, seed: int) -> Iterator[IntArray]:
    if not size:
        raise UsageError("there is no query with a score to resample")
    generator = np.random.default_rng(seed)
    step = max(1, BLOCK_DRAWS // size)
    for start in range(0, resamples, step):
        yield generator.integers(0, size, size=(min(step, resamples - start), size))


def _percentiles(means: FloatArray, level: float) -> Interval:
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _require_options(level: float, resamples: int, seed: int) -> None:
    if not 0 < level < 1 or resamples < 1:
        raise UsageError(f"level is between 0 and 1 and resamples at least 1, not {level} and {resamples}")
    if seed < 0:
        raise UsageError(f"a seed is 0 or more, not {seed}")
