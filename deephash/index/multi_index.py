"""Multi-index hashing: every code within a small radius, from a few table look-ups. Exact.

The code is cut into B bands of at most 16 bits, each with a table from key to rows. With r = q B + a, an item within r
of the query is within q of it in one of the bands 0..a, or within q - 1 in another; so keys with that many flipped bits
are looked up, and what is found is verified. The look-ups are counted before they are made: where buckets are full
(learned codes share whole bands) the query goes back to the scan.

Norouzi, Punjani and Fleet, "Fast exact search in Hamming space with multi-index hashing", TPAMI 2014, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.index.bands import as_planes, band_bounds, band_keys, band_masks
from deephash.index.kernels import ROW_BITS, compiled, grown, popcount

BAND_BITS = 16  # 65,536 buckets a table: about N / 65,536 rows in each
COST_OF_LOOK_UP = 24  # one look-up or candidate costs about as much as scanning this many codes (measured: 15..30)


@dataclass(frozen=True, slots=True, eq=False)
class BandTables:
    """One table a band.

    Attributes:
        bounds: bit ranges of the bands.
        masks: uint64 [B, W], the bits of each band.
        starts: int64 [B, 2**widest + 1]; the rows with key x are rows[band, starts[band, x] : starts[band, x + 1]].
        rows: int32 or int64 [B, N].
    """

    bounds: list[tuple[int, int]]
    masks: NDArray[np.uint64]
    starts: NDArray[np.int64]
    rows: NDArray[Any]

    @classmethod
    def build(cls, codes: BinaryCodes) -> BandTables:
        """Sort the codes by the key of each band."""
        total = codes.num_bits * codes.num_levels
        bounds = band_bounds(total, -(-total // BAND_BITS))
        widest = max(high - low for low, high in bounds)
        starts = np.zeros((len(bounds), (1 << widest) + 1), np.int64)
        kind = np.int32 if len(codes) < 1 << 31 else np.int64
        rows = np.empty((len(bounds), len(codes)), kind)
        for band, keys in enumerate(band_keys(codes, bounds)):
            starts[band, 1:] = np.cumsum(np.bincount(keys.astype(np.int64), minlength=1 << widest))
            rows[band] = np.argsort(keys.astype(np.uint16), kind="stable")  # a radix sort for 16 bits
        return cls(bounds, band_masks(codes, bounds), starts, rows)

    def flips(self, radius: int) -> NDArray[np.int64]:
        """Return for each band how many bits of the key must be flipped; -1 = the band need not be looked at."""
        most, rest = divmod(radius, len(self.bounds))
        return np.where(np.arange(len(self.bounds)) <= rest, most, most - 1)

    def search_radius(
        self, planes: NDArray[np.uint64], queries: BinaryCodes, radius: int, mask: NDArray[np.bool_]
    ) -> Any:
        """Return (candidates, limits, look-ups [Q]); -1 look-ups = the query was not answered."""
        flips = self.flips(radius)
        budget = planes.shape[1] // COST_OF_LOOK_UP
        widths = np.array([high - low for low, high in self.bounds])
        keys = np.ascontiguousarray(band_keys(queries, self.bounds).T)
        probes = sum(comb(int(width), j) for width, most in zip(widths, flips) for j in range(int(most) + 1))
        if probes > budget:  # more keys to try than a scan would cost
            return np.empty(0, np.uint64), np.zeros(len(queries) + 1, np.int64), np.full(len(queries), -1)
        patterns, ends = _patterns(int(widths.max()), max(0, int(flips.max())))
        words = np.ascontiguousarray(as_planes(queries).T)
        return _look_up(
            planes, words, keys, self.masks, self.starts, self.rows, flips, widths, patterns, ends, radius, budget, mask
        )


def _patterns(width: int, most: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return all numbers of ``width`` bits with at most ``most`` ones, fewest first, and where each count ends."""
    patterns: list[int] = []
    ends: list[int] = []
    for ones in range(most + 1):
        patterns += [sum(1 << bit for bit in bits) for bits in combinations(range(width), ones)]
        ends.append(len(patterns))
    return np.array(patterns, np.uint64), np.array(ends, np.int64)


@compiled
def _count(keys: Any, starts: Any, flips: Any, widths: Any, patterns: Any, ends: Any, budget: int) -> int:
    """Return how many look-ups and candidates a query costs, or -1 as soon as that exceeds the budget."""
    cost = 0
    for band in range(flips.size):
        if flips[band] < 0:
            continue
        for t in range(ends[flips[band]]):
            if patterns[t] >> np.uint64(widths[band]):
                continue
            key = np.int64(keys[band] ^ patterns[t])
            cost += 1 + starts[band, key + 1] - starts[band, key]
        if cost > budget:
            return -1
    return cost


@compiled
def _new_within(planes: Any, query: Any, row: int, band: int, masks: Any, flips: Any, radius: int) -> Any:
    """Return the distance of a candidate, or -1 where it is too far or an earlier band has found it already."""
    distance: Any = 0
    for w in range(query.size):
        distance += np.int64(popcount(planes[w, row] ^ query[w]))
    if distance > radius:
        return -1
    for earlier in range(band):
        apart: Any = 0
        for w in range(query.size):
            apart += np.int64(popcount((planes[w, row] ^ query[w]) & masks[earlier, w]))
        if apart <= flips[earlier]:
            return -1
    return distance


@compiled
def _look_up(
    planes: Any,
    queries: Any,
    keys: Any,
    masks: Any,
    starts: Any,
    rows: Any,
    flips: Any,
    widths: Any,
    patterns: Any,
    ends: Any,
    radius: int,
    budget: int,
    mask: Any,
) -> Any:
    found = np.empty(1024, np.uint64)
    limits = np.zeros(queries.shape[0] + 1, np.int64)
    costs = np.zeros(queries.shape[0], np.int64)
    n = 0
    for i in range(queries.shape[0]):
        costs[i] = _count(keys[i], starts, flips, widths, patterns, ends, budget)
        for band in range(flips.size if costs[i] >= 0 else 0):
            for t in range(ends[flips[band]] if flips[band] >= 0 else 0):
                if patterns[t] >> np.uint64(widths[band]):
                    continue
                key = np.int64(keys[i, band] ^ patterns[t])
                found = grown(found, n + starts[band, key + 1] - starts[band, key])
                for place in range(starts[band, key], starts[band, key + 1]):
                    row = np.int64(rows[band, place])
                    if mask.size > 0 and not mask[row]:
                        continue
                    distance = _new_within(planes, queries[i], row, band, masks, flips, radius)
                    if distance >= 0:
                        found[n] = np.uint64(distance) << ROW_BITS | np.uint64(row)
                        n += 1
        limits[i + 1] = n
    return found[:n], limits, costs
