"""Multi-index hashing: every code within a small radius, from a few table look-ups. Exact.

The code is cut into B bands of 16 bits (the last may be shorter), each with a table from key to rows. With r = q B + a,
an item within r of the query is within q of it in one of the bands 0..a, or within q - 1 in another; so keys with that
many flipped bits are looked up, and what is found is verified. The look-ups are counted before they are made: where
buckets are full (learned codes share whole bands) the query goes back to the scan.

Norouzi, Punjani and Fleet, "Fast exact search in Hamming space with multi-index hashing", TPAMI 2014, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.index.kernels import ROW_BITS, ROW_MASK, compiled, grown, popcount, prefetch
from deephash.index.pruning import sort_cells

BAND_BITS = 16  # 65,536 buckets a table: about N / 65,536 rows in each


@dataclass(frozen=True, slots=True, eq=False)
class BandTables:
    """One table for every 16 bits of the code.

    Attributes:
        starts: int32 or int64 [B, 2**16 + 1]; the rows with key x in a band are rows[starts[x] : starts[x + 1]].
        rows: int32 or int64 [B, N].
    """

    starts: NDArray[Any]
    rows: NDArray[Any]

    @classmethod
    def build(cls, planes: NDArray[np.uint64], num_bytes: int) -> BandTables:
        """Sort the codes (uint64 [W, N], of ``num_bytes`` bytes each) by the key of each band."""
        bands, size = -(-num_bytes // 2), planes.shape[1]
        kind = np.int32 if size < 1 << 31 else np.int64
        starts = np.zeros((bands, (1 << BAND_BITS) + 1), kind)
        rows = np.empty((bands, size), kind)
        for band in range(bands):
            keys = (planes[band // 4] >> np.uint64(BAND_BITS * (band % 4))).astype(np.uint16)
            sort_cells(keys, starts[band], rows[band])
        return cls(starts, rows)

    def flips(self, radius: int) -> NDArray[np.int64]:
        """Return for each band how many bits of the key must be flipped; -1 = the band need not be looked at."""
        most, rest = divmod(radius, len(self.rows))
        return np.where(np.arange(len(self.rows)) <= rest, most, most - 1)

    def search_radius(
        self,
        planes: NDArray[np.uint64],
        queries: NDArray[np.uint64],
        radius: int,
        mask: NDArray[np.bool_],
        budget: int,
    ) -> Any:
        """Return (candidates, limits, look-ups [Q]) for queries [Q, W]; -1 = more than ``budget``, not answered."""
        flips = self.flips(radius)
        probes = sum(comb(BAND_BITS, j) for most in flips.tolist() for j in range(most + 1))
        if probes > budget:
            return np.empty(0, np.uint64), np.zeros(len(queries) + 1, np.int64), np.full(len(queries), -1)
        patterns, ends = _patterns(max(0, int(flips.max())))
        return _look_up(planes, queries, self.starts, self.rows, flips, patterns, ends, radius, budget, mask)


@cache
def _patterns(most: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return all 16-bit numbers with at most ``most`` ones, fewest first, and where each count ends."""
    patterns: list[int] = []
    ends: list[int] = []
    for ones in range(most + 1):
        patterns += [sum(1 << bit for bit in bits) for bits in combinations(range(BAND_BITS), ones)]
        ends.append(len(patterns))
    return np.array(patterns, np.uint64), np.array(ends, np.int64)


@compiled
def _key(words: Any, band: int) -> Any:
    return words[band // 4] >> np.uint64(BAND_BITS * (band % 4)) & np.uint64(0xFFFF)


@compiled
def _count(query: Any, starts: Any, rows: Any, flips: Any, patterns: Any, ends: Any, budget: int) -> int:
    """Return how many look-ups and candidates a query costs, or -1 as soon as that exceeds the budget; ask for the
    buckets on the way, which are read only after all queries were counted.
    """
    cost = 0
    for band in range(flips.size):
        if flips[band] < 0:
            continue
        own = _key(query, band)
        for t in range(ends[flips[band]]):
            key = np.int64(own ^ patterns[t])
            cost += 1 + starts[band, key + 1] - starts[band, key]
            prefetch(rows, band * rows.shape[1] + starts[band, key])
        if cost > budget:
            return -1
    return cost


@compiled
def _new_within(planes: Any, query: Any, row: int, band: int, flips: Any, radius: int) -> Any:
    """Return the distance of a candidate, or -1 where it is too far or an earlier band has found it already."""
    distance: Any = 0
    for w in range(query.size):
        distance += np.int64(popcount(planes[w, row] ^ query[w]))
    if distance > radius:
        return -1
    for earlier in range(band):
        apart = planes[earlier // 4, row] ^ query[earlier // 4]
        apart = apart >> np.uint64(BAND_BITS * (earlier % 4)) & np.uint64(0xFFFF)
        if np.int64(popcount(apart)) <= flips[earlier]:
            return -1
    return distance


@compiled
def _candidates(query: Any, planes: Any, starts: Any, rows: Any, flips: Any, patterns: Any, ends: Any, met: Any) -> int:
    """Write band << ROW_BITS | row of what lies in the buckets of a query; return how many, and ask for their codes."""
    n = 0
    for band in range(flips.size):
        own = _key(query, band)
        for t in range(ends[flips[band]] if flips[band] >= 0 else 0):
            key = np.int64(own ^ patterns[t])
            for place in range(starts[band, key], starts[band, key + 1]):
                row = np.uint64(rows[band, place])
                prefetch(planes, row)
                met[n] = np.uint64(band) << ROW_BITS | row
                n += 1
    return n


@compiled
def _look_up(
    planes: Any,
    queries: Any,
    starts: Any,
    rows: Any,
    flips: Any,
    patterns: Any,
    ends: Any,
    radius: int,
    budget: int,
    mask: Any,
) -> Any:
    found, met = np.empty(1024, np.uint64), np.empty(1024, np.uint64)
    limits = np.zeros(queries.shape[0] + 1, np.int64)
    costs = np.zeros(queries.shape[0], np.int64)
    for i in range(queries.shape[0]):
        costs[i] = _count(queries[i], starts, rows, flips, patterns, ends, budget)
    n = 0
    for i in range(queries.shape[0]):
        if costs[i] >= 0:
            met, found = grown(met, costs[i]), grown(found, n + costs[i])
            for t in range(_candidates(queries[i], planes, starts, rows, flips, patterns, ends, met)):
                row = np.int64(met[t] & ROW_MASK)
                distance = _new_within(planes, queries[i], row, np.int64(met[t] >> ROW_BITS), flips, radius)
                if distance >= 0 and (mask.size == 0 or mask[row]):
                    found[n] = np.uint64(distance) << ROW_BITS | np.uint64(row)
                    n += 1
        found[limits[i] : n].sort()
        limits[i + 1] = n
    return found[:n], limits, costs
