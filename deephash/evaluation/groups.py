"""A ranking as an ordered row of tied groups, and the tie policies that make one from counts.

Items at one Hamming distance are tied: nothing in the codes says which comes first. A *tie policy* is only a way to cut
the ranking into groups, after which every metric is one formula, the expectation over all orders inside each group:

- ``expected``: one group a distance, so the metric is the mean over all tie orders;
- ``optimistic`` / ``pessimistic``: each distance is split by gain, highest (lowest) first, so no freedom is left;
- an explicit order (``stable``, ``random:seed``, a repository's own sort): groups of a single item, see `rankings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deephash.errors import UsageError
from deephash.evaluation.counts import DistanceCounts

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
GainScale = Literal["linear", "exponential"]


@dataclass(frozen=True, slots=True, eq=False)
class RankedGroups:
    """Q rankings of J tied groups each, nearest group first; empty groups are allowed anywhere.

    Attributes:
        items: int64 [Q, J], n: items of each group.
        relevant: int64 [Q, J], m: relevant ones among them.
        gain: float64 [Q, J], sum of the gains of each group on the chosen scale.
        totals: int64 [Q, G + 1], items of each gain in the whole database (which may be larger than the ranking).
        gain_values: float64 [G + 1], the value of each gain on the chosen scale.
        longest: N, the size of the database; a query that ignores items has a shorter ranking.
    """

    items: IntArray
    relevant: IntArray
    gain: FloatArray
    totals: IntArray
    gain_values: FloatArray
    longest: int

    @property
    def num_relevant(self) -> IntArray:
        """N_q, [Q]."""
        return np.asarray(self.totals[:, 1:].sum(axis=1))

    @property
    def num_items(self) -> IntArray:
        """Items in the whole ranking of each query, [Q]."""
        return np.asarray(self.totals.sum(axis=1))

    @property
    def ends(self) -> IntArray:
        """The rank of the last item of each group, [Q, J]."""
        return np.cumsum(self.items, axis=1)


def gain_values(max_gain: int, scale: GainScale) -> FloatArray:
    """Return the value of gains 0..G: g itself, or 2^g - 1 (Jarvelin and Kekalainen 2002; Burges et al. 2005)."""
    gains = np.arange(max_gain + 1, dtype=np.float64)
    if scale == "linear":
        return gains
    if scale == "exponential":
        return np.exp2(gains) - 1
    raise UsageError(f"gain is 'linear' (g) or 'exponential' (2^g - 1), not {scale!r}")


def groups_from_counts(counts: DistanceCounts, ties: str = "expected", scale: GainScale = "linear") -> RankedGroups:
    """Turn counts into tied groups under a policy that counts alone can decide.

    Raises:
        UsageError: ``ties`` is another word, or one that needs the order of the database.
    """
    values = gain_values(counts.by_gain.shape[1] - 1, scale)
    if ties == "expected":
        gain = np.einsum("qgd,g->qd", counts.by_gain, values)
        return RankedGroups(counts.items, counts.relevant, gain, counts.totals, values, counts.longest)
    if ties in ("optimistic", "pessimistic"):
        return _split_by_gain(counts, values, highest_first=ties == "optimistic")
    raise UsageError(
        f"ties={ties!r} cannot be decided from counts; they know 'expected', 'optimistic' and 'pessimistic'. "
        "'stable', 'random:SEED' and legacy orders need codes: call the function of deephash.evaluation.metrics"
    )


def _split_by_gain(counts: DistanceCounts, values: FloatArray, *, highest_first: bool) -> RankedGroups:
    order = np.arange(len(values))[:: -1 if highest_first else 1]
    items = np.ascontiguousarray(counts.by_gain[:, order].transpose(0, 2, 1))  # [Q, D + 1, G + 1]
    shape = (len(counts), -1)
    relevant, gain = items * (order > 0), items * values[order]
    columns = (items.reshape(shape), relevant.reshape(shape), gain.reshape(shape))
    return RankedGroups(*columns, counts.totals, values, counts.longest)


def exclusive_cumsum(values: NDArray[Any]) -> NDArray[Any]:
    """Return, for each group, the sum over the groups before it (axis 1)."""
    return np.asarray(np.cumsum(values, axis=1) - values)


def validate_top_k(top_k: int | None, groups: RankedGroups) -> int:
    """Return R, the size of the database where ``top_k`` is None.

    Raises:
        UsageError: not a whole number of 1..N. (A slice ``[:-1]`` would silently drop an item, so -1 is not "all".)
    """
    return groups.longest if top_k is None else require_depth(top_k, groups.longest)


def require_depth(top_k: int, longest: int) -> int:
    """Return ``top_k`` if it is a whole number of 1..longest.

    Raises:
        UsageError: it is not.
    """
    if isinstance(top_k, bool) or not isinstance(top_k, (int, np.integer)) or not 1 <= top_k <= longest:
        raise UsageError(f"top_k is 1..{longest} (the size of the database) or None for all, not {top_k!r}")
    return int(top_k)


class HarmonicNumbers:
    """H(n) = 1 + 1/2 + ... + 1/n for n up to a limit, kept in two parts so that differences are exact to rounding."""

    @classmethod
    @lru_cache(maxsize=1)  # every metric and block of one job asks for the same; making them takes 20 ms a million
    def up_to(cls, limit: int) -> HarmonicNumbers:
        """Return those of the last call where it had the same limit."""
        return cls(limit)

    def __init__(self, limit: int) -> None:
        exact = np.cumsum(np.concatenate([[0.0], 1 / np.arange(1, limit + 1, dtype=np.longdouble)]))
        self._high = exact.astype(np.float64)
        self._low = (exact - self._high).astype(np.float64)

    def between(self, start: NDArray[Any], stop: NDArray[Any]) -> FloatArray:
        """Return 1/(start + 1) + ... + 1/stop."""
        return np.asarray((self._high[stop] - self._high[start]) + (self._low[stop] - self._low[start]))
