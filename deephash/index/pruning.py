"""Exact search that skips most of the codes: pivots and the triangle inequality.

Each code x lies in the list of its nearest pivot p, sorted by d(p, x). Since d(q, x) >= |d(q, p) - d(p, x)|, a list can
hold an item within distance c of the query only at pivot distances d(q, p) - c .. d(q, p) + c: one contiguous slice.
Lists are visited nearest pivot first, so c falls early. On learned codes, which cluster, about a per cent of the
database is touched, a few codes here and a few there; so they are kept row by row (a slice lies in one place), where
the plain scan keeps planes of words. On random codes nearly all are touched. So whether lists pay is estimated before
they are built, and a query that has touched too many codes all the same goes back to the plain scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.index.kernels import CHUNK, NOTHING, ROW_BITS, compiled, distances_into, grown, popcount, top_k
from deephash.index.threads import in_parts

PAYS_BELOW = 0.05  # share of the codes a query may touch before it goes back to the plain scan
PIVOTS = 4.0  # times sqrt(N): enough that each of a few thousand clusters has one; measured: 2..6 within 1.8x
PIVOT_SAMPLE = 4  # sampled codes a pivot
SAMPLE_QUERIES, SAMPLE_ROWS = 16, 4096


@dataclass(frozen=True, slots=True, eq=False)
class PivotLists:
    """Codes sorted by (nearest pivot, distance to it).

    Attributes:
        pivots: uint64 [W, P].
        codes: uint64 [N, W], the codes in list order, row by row.
        rows: int64 [N], the row each of them has in the database.
        starts: int32 or int64 [P * (longest + 1) + 1]; cell (p, r) begins at ``starts[p * (longest + 1) + r]``.
        reach: int32 [P, 2], the smallest and the largest distance in each list; first > last where it is empty.
        longest: the largest possible distance.
    """

    pivots: NDArray[np.uint64]
    codes: NDArray[np.uint64]
    rows: NDArray[np.int64]
    starts: NDArray[Any]
    reach: NDArray[np.int32]
    longest: int

    @classmethod
    def build(cls, planes: NDArray[np.uint64], longest: int, threads: int) -> PivotLists:
        """Assign each code to the nearest of about 4 sqrt(N) pivots; 4 N sqrt(N) distances."""
        pivots = sample_pivots(planes)
        parts = in_parts(planes.shape[1], threads, lambda lo, hi: _assign(planes, pivots, lo, hi, longest))
        cells = np.concatenate(parts)
        starts, order = _sorted_cells(cells, pivots.shape[1] * (longest + 1))
        lists, radii = np.divmod(cells, longest + 1)
        reach = np.tile(np.array([[longest + 1, -1]], np.int32), (pivots.shape[1], 1))
        np.minimum.at(reach[:, 0], lists, radii.astype(np.int32))
        np.maximum.at(reach[:, 1], lists, radii.astype(np.int32))
        starts = starts.astype(np.int32) if len(order) < 1 << 31 else starts  # half the cache misses
        return cls(pivots, np.ascontiguousarray(planes.T[order]), order, starts, reach, longest)

    @property
    def give_up(self) -> int:
        """Codes a query may touch before the plain scan is the better choice."""
        return int(PAYS_BELOW * len(self.rows))

    def search(self, queries: NDArray[np.uint64], k: int, mask: NDArray[np.bool_], threads: int) -> Any:
        """Return (candidates uint64 [Q, k], codes touched [Q]); -1 touched = the query was not answered."""
        parts = in_parts(
            len(queries),
            threads,
            lambda lo, hi: _pruned_top_k(
                self.pivots,
                (self.starts, self.reach),
                self.codes,
                self.rows,
                queries[lo:hi],
                k,
                self.longest,
                self.give_up,
                mask,
            ),
        )
        return tuple(np.concatenate(both) for both in zip(*parts, strict=True))

    def search_radius(self, queries: NDArray[np.uint64], radius: int, mask: NDArray[np.bool_]) -> Any:
        """Return (candidates, limits, codes touched [Q]); -1 touched = the query was not answered."""
        return _pruned_radius(
            self.pivots,
            (self.starts, self.reach),
            self.codes,
            self.rows,
            queries,
            radius,
            self.longest,
            self.give_up,
            mask,
        )


def sample_pivots(planes: NDArray[np.uint64], seed: int = 0) -> NDArray[np.uint64]:
    """Return about PIVOTS * sqrt(N) codes of the database, far apart, as pivots [W, P].

    Farthest first over a sample: each cluster gets a pivot before any gets two, where a plain draw would leave many
    clusters with none, and their codes in lists too wide to skip.
    """
    size = planes.shape[1]
    number = min(size, max(1, int(PIVOTS * size**0.5)))
    chosen = np.random.default_rng(seed).choice(size, min(size, PIVOT_SAMPLE * number), replace=False)
    sample = np.ascontiguousarray(planes[:, np.sort(chosen)])
    return np.ascontiguousarray(sample[:, _farthest_first(sample, number)])


def touched_share(planes: NDArray[np.uint64], longest: int, k: int = 10, seed: int = 0) -> float:
    """Estimate, without building anything, the share of the codes that a pruned search for ``k`` items would touch.

    Sampled rows serve as queries with their true k-th distance; sampled rows stand for the database.
    """
    size = planes.shape[1]
    chosen = np.random.default_rng(seed)
    queries = np.ascontiguousarray(planes[:, chosen.choice(size, min(SAMPLE_QUERIES, size), replace=False)].T)
    sample = np.ascontiguousarray(planes[:, chosen.choice(size, min(SAMPLE_ROWS, size), replace=False)])
    pivots = sample_pivots(planes, seed)
    k = min(k + 1, size)  # a sampled query finds itself
    cuts = (top_k(planes, queries, 0, size, k, longest, np.empty(0, bool)) >> ROW_BITS).max(axis=1)
    cells = _assign(sample, pivots, 0, sample.shape[1], longest)
    lists, radii = np.divmod(cells, longest + 1)
    to_pivot = np.empty((len(queries), pivots.shape[1]), np.uint64)
    for query, row in zip(queries, to_pivot, strict=True):
        distances_into(pivots, query, 0, pivots.shape[1], row)
    gap = np.abs(to_pivot.astype(np.int64)[:, lists] - radii)
    return float((gap <= cuts.astype(np.int64)[:, None]).mean())


@compiled
def _assign(planes: Any, pivots: Any, first: int, last: int, longest: int) -> Any:
    """Return for rows first..last the cell (nearest pivot, distance to it): pivot * (longest + 1) + distance."""
    cells = np.empty(last - first, np.int64)
    scratch = np.empty(CHUNK, np.uint64)
    nearest = np.empty(CHUNK, np.uint64)
    for lo in range(first, last, CHUNK):
        hi = min(last, lo + CHUNK)
        nearest[:] = NOTHING
        for p in range(pivots.shape[1]):
            distances_into(planes, pivots[:, p], lo, hi, scratch)
            number = np.uint64(p)
            for j in range(CHUNK):
                packed = scratch[j] << np.uint64(32) | number
                nearest[j] = packed if packed < nearest[j] else nearest[j]
        for j in range(hi - lo):
            pivot = np.int64(nearest[j] & np.uint64(0xFFFFFFFF))
            cells[lo - first + j] = pivot * (longest + 1) + np.int64(nearest[j] >> np.uint64(32))
    return cells


@compiled
def _farthest_first(planes: Any, number: int) -> Any:
    """Return the columns of ``number`` codes, each the farthest from those chosen before (Gonzalez, 1985)."""
    size = planes.shape[1]
    chosen = np.zeros(number, np.int64)
    gap = np.full(size, NOTHING, np.uint64)
    scratch = np.empty(size, np.uint64)
    for step in range(1, number):
        distances_into(planes, planes[:, chosen[step - 1]], 0, size, scratch)
        farthest = np.uint64(0)
        for j in range(size):
            gap[j] = scratch[j] if scratch[j] < gap[j] else gap[j]
            farthest = gap[j] if gap[j] > farthest else farthest
        for j in range(size):
            if gap[j] == farthest:
                chosen[step] = j
                break
    return chosen


@compiled
def _sorted_cells(cells: Any, number: int) -> Any:
    """Counting sort: return (starts [number + 1], row numbers in cell order, ascending within a cell)."""
    starts = np.zeros(number + 1, np.int64)
    for cell in cells:
        starts[cell + 1] += 1
    for cell in range(number):
        starts[cell + 1] += starts[cell]
    nexts = starts.copy()
    order = np.empty(cells.size, np.int64)
    for row in range(cells.size):
        order[nexts[cells[row]]] = row
        nexts[cells[row]] += 1
    return starts, order


@compiled
def _nearest_first(distances: Any, longest: int) -> Any:
    """Counting sort of the pivots by their distance to the query."""
    ends = np.zeros(longest + 2, np.int64)
    for distance in distances:
        ends[np.int64(distance) + 1] += 1
    for r in range(longest + 1):
        ends[r + 1] += ends[r]
    order = np.empty(distances.size, np.int64)
    for p in range(distances.size):
        order[ends[np.int64(distances[p])]] = p
        ends[np.int64(distances[p])] += 1
    return order


@compiled
def _slice(lists: Any, pivot: int, distance: int, cut: int, longest: int) -> Any:
    """Return the bounds of the part of a list that can hold items within ``cut`` of the query.

    ``lists`` is (starts, reach); the small table of reaches settles most lists without touching the large one.
    """
    starts, reach = lists
    low: Any = max(distance - cut, np.int64(reach[pivot, 0]))
    high: Any = min(distance + cut, np.int64(reach[pivot, 1]))
    if low > high:
        return 0, 0
    base = pivot * (longest + 1)
    return starts[base + low], starts[base + high + 1]


@compiled
def _codes_within(lists: Any, distances: Any, cut: int, longest: int) -> int:
    total = 0
    for p in range(distances.size):
        lo, hi = _slice(lists, p, np.int64(distances[p]), cut, longest)
        total += hi - lo
    return total


@compiled
def _distances_by_row(codes: Any, query: Any, first: int, last: int, out: Any) -> None:
    """Write the distances of rows first..last of codes [N, W] into ``out``; 64, 128 and 256 bits without a loop."""
    width = codes.shape[1]
    a = query[0]
    if width == 1:
        for j in range(first, last):
            out[j - first] = popcount(codes[j, 0] ^ a)
    elif width == 2:
        b = query[1]
        for j in range(first, last):
            out[j - first] = popcount(codes[j, 0] ^ a) + popcount(codes[j, 1] ^ b)
    elif width == 4:
        b, c, d = query[1], query[2], query[3]
        for j in range(first, last):
            near = popcount(codes[j, 0] ^ a) + popcount(codes[j, 1] ^ b)
            out[j - first] = near + popcount(codes[j, 2] ^ c) + popcount(codes[j, 3] ^ d)
    else:
        for j in range(first, last):
            distance = popcount(codes[j, 0] ^ a)
            for w in range(1, width):
                distance += popcount(codes[j, w] ^ query[w])
            out[j - first] = distance


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
def _take_slice(
    codes: Any,
    rows: Any,
    query: Any,
    span: Any,
    k: int,
    mask: Any,
    kept: Any,
    histogram: Any,
    state: Any,
    scratch: Any,
) -> None:
    """Offer a slice of a list to the candidates."""
    for first in range(span[0], span[1], CHUNK):
        last = min(span[1], first + CHUNK)
        _distances_by_row(codes, query, first, last, scratch)
        for j in range(last - first):
            if scratch[j] > state[1]:
                continue
            row = rows[first + j]
            candidate = scratch[j] << ROW_BITS | np.uint64(row)
            if candidate < state[3] and (mask.size == 0 or mask[row]):
                offer(candidate, k, kept, histogram, state)


@compiled
def _pruned_top_k(
    pivots: Any, lists: Any, codes: Any, rows: Any, queries: Any, k: int, longest: int, give_up: int, mask: Any
) -> Any:
    best = np.full((queries.shape[0], k), NOTHING, np.uint64)
    touched = np.zeros(queries.shape[0], np.int64)
    distances = np.empty(pivots.shape[1], np.uint64)
    kept = np.empty(2 * k + CHUNK, np.uint64)
    scratch = np.empty(CHUNK, np.uint64)
    histogram = np.empty(longest + 1, np.int64)
    state = np.empty(4, np.uint64)  # candidates held, cut-off, candidates at or below it, bound (see offer)
    for i in range(queries.shape[0]):
        query = queries[i]
        distances_into(pivots, query, 0, pivots.shape[1], distances)
        order = _nearest_first(distances, longest)
        histogram[:] = 0
        state[0], state[1], state[2], state[3] = 0, longest, 0, NOTHING
        for t in range(order.size):
            cut = np.int64(state[1])
            lo, hi = _slice(lists, order[t], np.int64(distances[order[t]]), cut, longest)
            if lo == hi:  # most lists; a call of _take_slice would cost more than all its work
                continue
            touched[i] += hi - lo
            if touched[i] > give_up:  # counted as it goes: summing what is left would miss the cache for every list
                touched[i] = -1
                break
            _take_slice(codes, rows, query, (lo, hi), k, mask, kept, histogram, state, scratch)
        held = np.sort(kept[: np.int64(state[0])])[:k]
        best[i, : held.size] = held
    return best, touched


@compiled
def _pruned_radius(
    pivots: Any, lists: Any, codes: Any, rows: Any, queries: Any, radius: int, longest: int, give_up: int, mask: Any
) -> Any:
    touched = np.zeros(queries.shape[0], np.int64)
    limits = np.zeros(queries.shape[0] + 1, np.int64)
    distances = np.empty(pivots.shape[1], np.uint64)
    scratch = np.empty(CHUNK, np.uint64)
    found = np.empty(1024, np.uint64)
    n = 0
    for i in range(queries.shape[0]):
        query = queries[i]
        distances_into(pivots, query, 0, pivots.shape[1], distances)
        touched[i] = _codes_within(lists, distances, radius, longest)
        if touched[i] > give_up:
            touched[i] = -1
        for p in range(distances.size if touched[i] >= 0 else 0):
            first, last = _slice(lists, p, np.int64(distances[p]), radius, longest)
            for lo in range(first, last, CHUNK):
                hi = min(last, lo + CHUNK)
                _distances_by_row(codes, query, lo, hi, scratch)
                found = grown(found, n + CHUNK)
                for j in range(hi - lo):
                    if scratch[j] <= np.uint64(radius) and (mask.size == 0 or mask[rows[lo + j]]):
                        found[n] = scratch[j] << ROW_BITS | np.uint64(rows[lo + j])
                        n += 1
        found[limits[i] : n].sort()
        limits[i + 1] = n
    return found[:n], limits, touched
