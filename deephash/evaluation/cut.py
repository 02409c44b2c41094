"""Expected sums over a tied group, whole or cut by rank R (or by the k-th relevant item)."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from deephash.evaluation.groups import FloatArray, HarmonicNumbers, IntArray, RankedGroups, exclusive_cumsum

TAIL = 20.0  # exp(-2 * TAIL) = 4e-18: chances beyond the Hoeffding window cannot change a float64 sum


@dataclass(frozen=True, slots=True, eq=False)
class CutGroup:
    """For each query the group in which rank R falls strictly inside; ``places`` = 0 where R ends a group.

    Attributes:
        items: n, [Q].
        relevant: m, [Q].
        weight: sum of the weights of the group, [Q].
        before: N, items before it, [Q].
        relevant_before: M, relevant items in all whole groups, [Q].
        weight_before: [Q].
        places: k = R - N, how many of the n items still belong to the top R, [Q].
    """

    items: IntArray
    relevant: IntArray
    weight: FloatArray
    before: IntArray
    relevant_before: IntArray
    weight_before: FloatArray
    places: IntArray

    @classmethod
    def at(cls, groups: RankedGroups, depth: int, weight: FloatArray | None = None) -> CutGroup:
        """Find the group cut by rank ``depth``."""
        weight = groups.relevant.astype(np.float64) if weight is None else weight
        ends = groups.ends
        whole = ends <= depth
        column = np.minimum(whole.sum(axis=1), ends.shape[1] - 1)[:, None]
        # Where every group fits, nothing is cut: the group taken is made empty.
        inside = ~np.take_along_axis(whole, column, axis=1)[:, 0]

        def pick(values: IntArray | FloatArray) -> IntArray | FloatArray:
            return np.where(inside, np.take_along_axis(values, column, axis=1)[:, 0], 0)

        def passed(values: IntArray | FloatArray) -> IntArray | FloatArray:
            return np.asarray(np.where(whole, values, 0).sum(axis=1))

        before = passed(groups.items).astype(np.int64)
        return cls(
            pick(groups.items).astype(np.int64),
            pick(groups.relevant).astype(np.int64),
            pick(weight).astype(np.float64),
            before,
            passed(groups.relevant).astype(np.int64),
            passed(weight).astype(np.float64),
            np.where(inside, depth - before, 0),
        )

    def column_vectors(self) -> CutGroup:
        """The same with shape [Q, 1], ready to meet a row of possible hits."""
        return CutGroup(*(getattr(self, field.name)[:, None] for field in fields(self)))


def precision_sum(
    items: IntArray,
    relevant: IntArray,
    weight: FloatArray,
    before: IntArray,
    weight_before: FloatArray,
    places: IntArray,
    harmonic: HarmonicNumbers,
) -> FloatArray:
    """E[ sum over the first k places of a group of r_j (w_1 + ... + w_j) / j ], elementwise.

    With n items, m relevant, weight sum w, after N items of weight W, the item at place i of the group has
    E[r w_own] = w/n, E[r W] = W m/n and, for each earlier place of the group, E[r w_other] = w (m - 1) / (n (n - 1)).
    Summed with 1/(N + i) this needs A = H(N + k) - H(N) and sum_i (i - 1)/(N + i) = k - (N + 1) A only.
    """
    size = np.maximum(items, 1)
    share = harmonic.between(before, before + places)
    first = (relevant * weight_before + weight) / size
    slope = weight * np.maximum(relevant - 1, 0) / (size * np.maximum(items - 1, 1))
    return np.asarray(first * share + slope * (places - (before + 1) * share))


def draws_without_replacement(items: IntArray, relevant: IntArray, drawn: IntArray) -> tuple[IntArray, FloatArray]:
    """Return the possible numbers of hits and their hypergeometric chances, both [Q, W].

        P(h) = C(m, h) C(n - m, k - h) / C(n, k)

    Only numbers within sqrt(TAIL k) + 1 of the mean are listed: by Hoeffding's inequality (1963, section 6: it holds
    for draws without replacement) the rest weighs less than one rounding error. Chances come from ratios of neighbours,
    not from log-gamma, so they are exact to rounding for any group size; surplus columns have chance 0.
    """
    mean = drawn * relevant / np.maximum(items, 1)
    reach = np.sqrt(TAIL * drawn) + 1
    low = np.maximum.reduce([np.zeros_like(drawn), drawn - (items - relevant), np.floor(mean - reach).astype(np.int64)])
    high = np.minimum.reduce([relevant, drawn, np.ceil(mean + reach).astype(np.int64)])
    hits = low[:, None] + np.arange(int((high - low).max(initial=0)) + 1)
    possible = hits <= high[:, None]
    hits = np.where(possible, hits, high[:, None])
    n, m, k, h = items[:, None], relevant[:, None], drawn[:, None], hits[:, :-1]
    upward = np.maximum((m - h) * (k - h), 1) / np.maximum((h + 1) * (n - m - k + h + 1), 1)
    logs = np.concatenate([np.zeros((len(hits), 1)), np.cumsum(np.log(upward), axis=1)], axis=1)
    logs = np.where(possible, logs, -np.inf)
    chances = np.exp(logs - logs.max(axis=1, keepdims=True))
    return hits, chances / chances.sum(axis=1, keepdims=True)


def extreme_hits(cut: CutGroup, total: FloatArray, harmonic: HarmonicNumbers, *, best: bool) -> FloatArray:
    """Best (worst) value of (total + precision sum of h hits) / (M + h) over all possible h, [Q].

    The h hits stand first (last) among the k places of the cut group.
    """
    low = np.maximum(0, cut.places - (cut.items - cut.relevant))
    high = np.minimum(cut.relevant, cut.places)
    found = np.empty(len(total))
    for row in range(len(total)):  # a row may have as many possibilities as places; a matrix of them would be too large
        hits = np.arange(low[row], high[row] + 1)
        rank = cut.before[row] + (0 if best else cut.places[row] - hits)
        inside = hits + (cut.relevant_before[row] - rank) * harmonic.between(rank, rank + hits)
        scores = (total[row] + inside) / np.maximum(cut.relevant_before[row] + hits, 1)
        found[row] = scores.max() if best else scores.min()
    return found


def first_hits(groups: RankedGroups, weight: FloatArray, wanted: IntArray, harmonic: HarmonicNumbers) -> FloatArray:
    """E[ sum of r_j (w_1 + ... + w_j) / j over the first ``wanted`` relevant items ], [Q].

    Groups whose relevant items are all wanted are summed whole. In the group that holds the last wanted one, c places
    for relevant items being left, place i counts only if fewer than c relevant items stand before it:
        (m/n) [ W P(X <= c-1) + (w/m) (P(X <= c-1) + E[X; X <= c-1]) ] / (N + i),   X ~ hits among i-1 of the other n-1.
    """
    found = exclusive_cumsum(groups.relevant)
    before, weight_before = exclusive_cumsum(groups.items), exclusive_cumsum(weight)
    whole = found + groups.relevant <= wanted[:, None]
    sums = precision_sum(groups.items, groups.relevant, weight, before, weight_before, groups.items, harmonic)
    total = np.asarray(np.where(whole, sums, 0.0).sum(axis=1))
    for query, group in zip(*np.nonzero(~whole & (found < wanted[:, None])), strict=True):
        n, m = int(groups.items[query, group]), int(groups.relevant[query, group])
        left = int(wanted[query] - found[query, group])
        early, early_mean = _fewer_hits_before(n - 1, m - 1, left)
        own = weight[query, group] / m
        value = weight_before[query, group] * early + own * (early + early_mean)
        total[query] += (m / n) * float((value / (before[query, group] + np.arange(1, n + 1))).sum())
    return total


def _fewer_hits_before(items: int, relevant: int, wanted: int) -> tuple[FloatArray, FloatArray]:
    """P(X < c) and E[X; X < c] for the hits X among the first 0, 1, ..., n draws of n items with m relevant, [n + 1].

    E[X; X < c] = i m/n P(X' < c - 1), X' among i - 1 draws of the n - 1 other items with m - 1 relevant.
    """
    chance = _below(items, relevant, wanted)
    mean = np.zeros(items + 1)
    if relevant >= 1 and wanted >= 2:
        draws = np.arange(1, items + 1)
        mean[1:] = draws * relevant / items * _below(items - 1, relevant - 1, wanted - 1)
    return chance, mean


def _below(items: int, relevant: int, wanted: int) -> FloatArray:
    """P(X_i < c) for i = 0..n draws: 1 minus the chance that the c-th hit has come, c = ``wanted`` >= 1.

    The c-th hit comes at draw t with chance proportional to C(t - 1, c - 1) C(n - t, m - c), t = c..n - m + c.
    """
    if relevant < wanted:
        return np.ones(items + 1)
    turns = np.arange(wanted, items - relevant + wanted)
    upward = np.log(turns / (turns - wanted + 1)) + np.log((items - relevant + wanted - turns) / (items - turns))
    logs = np.concatenate([[0.0], np.cumsum(upward)])
    chance = np.exp(logs - logs.max())
    arrived = np.zeros(items + 1)
    arrived[wanted : items - relevant + wanted + 1] = chance / chance.sum()
    return np.asarray(1.0 - np.cumsum(arrived))
