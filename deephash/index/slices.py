"""The compiled scan of a slice of codes that are not in the order of their ids; behind ``window.py``."""

from __future__ import annotations

from typing import Any

import numpy as np

from deephash.index.kernels import CHUNK, NOTHING, ROW_BITS, compiled, distances_into, least_distance
from deephash.index.pivot_kernels import offer


@compiled
def slice_top_k(planes: Any, rows: Any, queries: Any, first: int, last: int, k: int, longest: int) -> Any:
    """Return the k best candidates among the columns first..last, uint64 [Q, k] ascending; ``rows`` names the columns.

    For tables that are not in the order of their names (``window.py``); ties are broken by name all the same.
    """
    best = np.full((queries.shape[0], k), NOTHING, np.uint64)
    kept = np.empty(2 * k + CHUNK, np.uint64)
    scratch = np.empty(CHUNK, np.uint64)
    histogram = np.empty(longest + 1, np.int64)
    state = np.empty(4, np.uint64)
    for i in range(queries.shape[0]):
        histogram[:] = 0
        state[0], state[1], state[2], state[3] = 0, longest, 0, NOTHING
        for lo in range(first, last, CHUNK):
            hi = min(last, lo + CHUNK)
            if least_distance(planes, queries[i], lo, hi, scratch) > state[1]:
                continue
            distances_into(planes, queries[i], lo, hi, scratch)
            for j in range(hi - lo):
                candidate = scratch[j] << ROW_BITS | np.uint64(rows[lo + j])
                if scratch[j] <= state[1] and candidate < state[3]:
                    offer(candidate, k, kept, histogram, state)
        held = np.sort(kept[: np.int64(state[0])])[:k]
        best[i, : held.size] = held
    return best
