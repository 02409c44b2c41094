"""The compiled loop behind ``dedup``: verified pairs among codes that share a band. Imported only with Numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from deephash.index.kernels import ROW_BITS, compiled, grown, popcount


@compiled
def pairs_in_band(planes: Any, order: Any, keys: Any, earlier: Any, radius: int) -> Any:
    """Return (first rows, candidates of second rows with distances) of the pairs a < b found in this band.

    Args:
        planes: uint64 [W, N].
        order: int64 [N], rows by ascending key, ascending within equal keys.
        keys: uint64 [N], the keys in that order.
        earlier: uint64 [bands before this one, W]: a pair equal in one of them was found there already.
        radius: largest distance kept.
    """
    ones = np.empty(1024, np.int64)
    others = np.empty(1024, np.uint64)
    n = 0
    start = 0
    while start < keys.size:
        stop = start + 1
        while stop < keys.size and keys[stop] == keys[start]:
            stop += 1
        for a in range(start, stop):
            for b in range(a + 1, stop):
                distance = _verified(planes, order[a], order[b], earlier, radius)
                if distance >= 0:
                    ones, others = grown(ones, n + 1), grown(others, n + 1)
                    ones[n] = order[a]
                    others[n] = np.uint64(distance) << ROW_BITS | np.uint64(order[b])
                    n += 1
        start = stop
    return ones[:n], others[:n]


@compiled
def _verified(planes: Any, a: int, b: int, earlier: Any, radius: int) -> Any:
    distance: Any = 0
    for w in range(planes.shape[0]):
        distance += np.int64(popcount(planes[w, a] ^ planes[w, b]))
    if distance > radius:
        return -1
    for band in range(earlier.shape[0]):
        apart: Any = 0
        for w in range(planes.shape[0]):
            apart |= np.int64((planes[w, a] ^ planes[w, b]) & earlier[band, w])
        if apart == 0:
            return -1
    return distance
