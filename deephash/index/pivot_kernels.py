"""The compiled search of pivot lists; see ``pruning.py`` for the idea and for how lists are built.

A query goes in two steps. The lists of the few nearest pivots are searched one by one, which brings the cut-off down;
then all other lists are held against it at once, and what is left of them is searched. Those slices are short and lie
anywhere in memory, so the bounds of many are read before the first code is (reads that do not wait for each other), and
codes are fetched a few slices ahead.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from deephash.index.kernels import CHUNK, NOTHING, ROW_BITS, compiled, grown, prefetch
from deephash.index.words import distance_to, words_of

NEAREST = 16  # lists that are searched one after another, nearest first, before all others are looked at
TOGETHER = 64  # of those others, lists whose bounds are read together
AHEAD = 6  # slices fetched ahead
LINE = 8  # words of a cache line
FETCHED = 64  # codes of a slice fetched ahead at most; the processor follows by itself in longer ones


class Lists(NamedTuple):
    """The arrays of :class:`~deephash.index.pruning.PivotLists`, as compiled code takes them."""

    pivots: Any  # uint64 [P, W]
    starts: Any  # int32 or int64 [P * (longest + 1) + 1]
    reach: Any  # int32 [P, 2]
    codes: Any  # uint64 [N, W]
    rows: Any  # int32 or int64 [N]
    longest: int


@compiled
def offer(candidate: Any, k: int, kept: Any, histogram: Any, state: Any) -> None:
    """Take a candidate at or below the cut-off. Rows come in any order: a full buffer is sorted, and its k-th entry is
    the bound that later candidates must get under. ``state``: candidates held, cut-off, how many at or below it, bound.
    """
    count: Any = np.int64(state[0])
    if count == kept.size:
        kept.sort()
        count = k
        state[3] = kept[k - 1]
    kept[count] = candidate
    state[0] = count + 1
    cut: Any = np.int64(state[1])
    inside: Any = np.int64(state[2]) + 1
    histogram[np.int64(candidate >> ROW_BITS)] += 1
    while inside - histogram[cut] >= k:
        inside -= histogram[cut]
        cut -= 1
    state[1], state[2] = cut, inside


@compiled
def _measure(lists: Any, words: Any, distances: Any, histogram: Any) -> int:
    """Write the distance to each pivot; return the least distance that NEAREST pivots lie within."""
    histogram[:] = 0
    for p in range(distances.size):
        distances[p] = distance_to(lists.pivots, p, words)
    for p in range(distances.size):
        histogram[distances[p]] += 1
    ring, inside = 0, histogram[0]
    while inside < min(NEAREST, distances.size):
        ring += 1
        inside += histogram[ring]
    return ring


@compiled
def _nearest(distances: Any, ring: int, chosen: Any) -> int:
    """Write the pivots within ``ring`` into ``chosen``, nearest first; return how many."""
    n = 0
    for p in range(distances.size):
        chosen[n] = distances[p] << 32 | p
        n += distances[p] <= ring
    near = chosen[:n]
    near.sort()
    near &= (1 << 32) - 1
    return n


@compiled
def _others(lists: Any, distances: Any, ring: int, cut: int, chosen: Any) -> int:
    """Write the pivots beyond ``ring`` whose lists can hold a code within ``cut`` into ``chosen``; return how many."""
    n = 0
    for p in range(distances.size):
        far = distances[p]
        chosen[n] = p
        n += (far > ring) & (far - cut <= lists.reach[p, 1]) & (far + cut >= lists.reach[p, 0])
    return n


@compiled
def _slices(lists: Any, distances: Any, chosen: Any, cut: int, spans: Any) -> Any:
    """Write the bounds of what each chosen list can hold within ``cut`` into ``spans``; return the codes in all."""
    total: Any = 0
    for t in range(chosen.size):
        p = chosen[t]
        first = p * (lists.longest + 1)
        low: Any = max(distances[p] - cut, np.int64(lists.reach[p, 0]))
        high: Any = min(distances[p] + cut, np.int64(lists.reach[p, 1]))
        spans[t, 0] = spans[t, 1] = 0
        if low <= high:
            spans[t, 0], spans[t, 1] = lists.starts[first + low], lists.starts[first + high + 1]
        total += spans[t, 1] - spans[t, 0]
    return total


@compiled
def _fetch(lists: Any, first: int, last: int, words: Any) -> None:
    """Ask for the codes first..last before they are needed."""
    for place in range(first * len(words), min(last, first + FETCHED) * len(words), LINE):
        prefetch(lists.codes, place)


@compiled
def _distances(lists: Any, first: int, last: int, words: Any, scratch: Any) -> Any:
    """Write the distances of first..last into ``scratch``; return the least."""
    least = NOTHING
    for j in range(first, last):
        distance = distance_to(lists.codes, j, words)
        scratch[j - first] = distance
        least = distance if distance < least else least
    return least


@compiled
def _take_slices(
    lists: Any, words: Any, spans: Any, number: int, k: int, mask: Any, kept: Any, histogram: Any, state: Any
) -> None:
    """Offer all codes of the first ``number`` spans to the candidates."""
    scratch = np.empty(CHUNK, np.uint64)
    for t in range(number):
        if t + AHEAD < number:
            _fetch(lists, spans[t + AHEAD, 0], spans[t + AHEAD, 1], words)
        for first in range(spans[t, 0], spans[t, 1], CHUNK):
            last = min(spans[t, 1], first + CHUNK)
            if _distances(lists, first, last, words, scratch) > state[1]:
                continue
            for j in range(last - first):
                if scratch[j] > state[1]:
                    continue
                row = lists.rows[first + j]
                candidate = scratch[j] << ROW_BITS | np.uint64(row)
                if candidate < state[3] and (mask.size == 0 or mask[row]):
                    offer(candidate, k, kept, histogram, state)


@compiled
def _search_lists(
    lists: Any,
    words: Any,
    distances: Any,
    chosen: Any,
    together: int,
    limits: Any,
    mask: Any,
    kept: Any,
    histogram: Any,
    state: Any,
) -> Any:
    """Search the chosen lists, ``together`` at a time; return the codes touched. ``limits``: k, codes to touch."""
    touched: Any = 0
    spans = np.empty((together, 2), np.int64)
    for t in range(0, chosen.size, together):
        some = chosen[t : t + together]
        touched += _slices(lists, distances, some, np.int64(state[1]), spans)
        if touched > limits[1]:
            break
        _take_slices(lists, words, spans, some.size, limits[0], mask, kept, histogram, state)
    return touched


@compiled
def pruned_top_k(lists: Any, queries: Any, form: Any, k: int, give_up: int, mask: Any) -> Any:
    """Return (candidates uint64 [Q, k] ascending, codes touched [Q]); -1 = more than ``give_up``, not answered.

    ``form`` says how the words of a query are held (see ``words.py``); ``mask`` is bool [N], or empty for all.
    """
    best = np.full((queries.shape[0], k), NOTHING, np.uint64)
    touched = np.zeros(queries.shape[0], np.int64)
    distances = np.empty(len(lists.pivots), np.int64)
    chosen = np.empty(len(lists.pivots) + 1, np.int64)
    kept = np.empty(2 * k + CHUNK, np.uint64)
    histogram = np.empty(lists.longest + 1, np.int64)
    state = np.empty(4, np.uint64)  # candidates held, cut-off, candidates at or below it, bound (see offer)
    for i in range(queries.shape[0]):
        words = words_of(queries, i, form)
        ring = _measure(lists, words, distances, histogram)
        histogram[:] = 0
        state[0], state[1], state[2], state[3] = 0, lists.longest, 0, NOTHING
        near = chosen[: _nearest(distances, ring, chosen)]
        cost = _search_lists(lists, words, distances, near, 1, (k, give_up), mask, kept, histogram, state)
        others = chosen[: _others(lists, distances, ring, np.int64(state[1]), chosen)]
        left = (k, give_up - cost)
        cost += _search_lists(lists, words, distances, others, TOGETHER, left, mask, kept, histogram, state)
        touched[i] = cost if cost <= give_up else -1
        held = np.sort(kept[: np.int64(state[0])])[:k]
        best[i, : held.size] = held
    return best, touched


@compiled
def pruned_radius(lists: Any, queries: Any, form: Any, radius: int, give_up: int, mask: Any) -> Any:
    """Return (candidates, limits, codes touched [Q]): all rows within ``radius``; -1 touched = not answered."""
    touched = np.zeros(queries.shape[0], np.int64)
    limits = np.zeros(queries.shape[0] + 1, np.int64)
    distances = np.empty(len(lists.pivots), np.int64)
    chosen = np.empty(len(lists.pivots) + 1, np.int64)
    spans = np.empty((len(lists.pivots), 2), np.int64)
    found = np.empty(1024, np.uint64)
    n = 0
    for i in range(queries.shape[0]):
        words = words_of(queries, i, form)
        for p in range(distances.size):
            distances[p] = distance_to(lists.pivots, p, words)
        number = _others(lists, distances, -1, radius, chosen)
        touched[i] = _slices(lists, distances, chosen[:number], radius, spans)
        if touched[i] > give_up:
            touched[i], number = -1, 0
        found, n = _collect(lists, words, spans[:number], radius, mask, found, n)
        found[limits[i] : n].sort()
        limits[i + 1] = n
    return found[:n], limits, touched


@compiled
def _collect(lists: Any, words: Any, spans: Any, radius: int, mask: Any, found: Any, n: int) -> Any:
    """Append the rows within ``radius`` of the codes in ``spans`` to ``found``; return it, and how many it holds."""
    scratch = np.empty(CHUNK, np.uint64)
    for t in range(len(spans)):
        if t + AHEAD < len(spans):
            _fetch(lists, spans[t + AHEAD, 0], spans[t + AHEAD, 1], words)
        for first in range(spans[t, 0], spans[t, 1], CHUNK):
            last = min(spans[t, 1], first + CHUNK)
            if _distances(lists, first, last, words, scratch) > np.uint64(radius):
                continue
            found = grown(found, n + CHUNK)
            for j in range(last - first):
                if scratch[j] <= np.uint64(radius) and (mask.size == 0 or mask[lists.rows[first + j]]):
                    found[n] = scratch[j] << ROW_BITS | np.uint64(lists.rows[first + j])
                    n += 1
    return found, n
