"""Window filters on one number an item (time, price): a window is a contiguous slice of codes, scanned exactly.

Items are sorted once by the attribute; a query's window becomes two binary searches and a scan of what lies between. At
any width this costs in proportion to the items that pass, with no filter to evaluate. Trees of approximate indexes over
such windows (Engels et al., "Approximate Nearest Neighbor Search with Window Filters", ICML 2024) are worth their
memory only beyond tens of millions of items.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes, hamming_distance
from deephash.errors import UsageError
from deephash.index.bands import as_planes
from deephash.index.base import Neighbors
from deephash.index.engines import has_numba
from deephash.index.threads import in_parts, usable_threads

Ids = NDArray[np.int64]


class WindowIndex:
    """Exact search among the items whose attribute lies in a window.

    Args:
        ids: int64 [N], distinct.
        codes: N codes.
        values: number of each item, [N]; NaN = has none, and lies in no window.
        threads: None = every core this process may run on.
    """

    def __init__(self, ids: Ids, codes: BinaryCodes, values: ArrayLike, *, threads: int | None = None) -> None:
        numbers = np.asarray(values)
        if not len(ids) == len(codes) == len(numbers) or numbers.ndim != 1:
            raise UsageError(f"{len(ids):,} ids, {codes.describe()} and {numbers.shape} values do not fit together")
        order = np.lexsort((ids, numbers))  # NaN sorts last
        self._values = numbers[order]
        self._valid = len(numbers) - int(np.count_nonzero(numbers != numbers))
        self._ids = np.sort(ids)
        self._rank = np.searchsorted(self._ids, ids[order])  # row order in terms of ids: ties are broken by it
        self._codes = codes[order]
        self._planes = as_planes(self._codes)
        self._longest = codes.num_bits * codes.num_levels
        self._threads = usable_threads(threads)

    def __len__(self) -> int:
        return len(self._ids)

    def rows(
        self,
        *,
        gte: float | None = None,
        gt: float | None = None,
        lt: float | None = None,
        lte: float | None = None,
    ) -> tuple[int, int]:
        """Return the slice of sorted rows inside the bounds (``gte``/``lte`` include them); empty where they cross."""
        values = self._values[: self._valid]
        first, last = 0, self._valid
        for bound, side in ((gte, "left"), (gt, "right")):
            if bound is not None:
                first = max(first, int(np.searchsorted(values, bound, side=side)))  # type: ignore[call-overload]
        for bound, side in ((lt, "left"), (lte, "right")):
            if bound is not None:
                last = min(last, int(np.searchsorted(values, bound, side=side)))  # type: ignore[call-overload]
        return first, max(first, last)

    def search(
        self,
        queries: BinaryCodes,
        k: int,
        *,
        gte: float | None = None,
        gt: float | None = None,
        lt: float | None = None,
        lte: float | None = None,
    ) -> Neighbors:
        """Return the ``k`` nearest items inside the window, ordered by (distance, id)."""
        first, last = self.rows(gte=gte, gt=gt, lt=lt, lte=lte)
        width = min(k, last - first)
        if not width:
            return Neighbors(np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.int32))
        if not has_numba():
            return self._plainly(queries, width, first, last)
        from deephash.index.kernels import ROW_BITS, ROW_MASK

        words = np.ascontiguousarray(as_planes(queries).T)
        parts = in_parts(
            len(words),
            self._threads,
            lambda lo, hi: _top_k_of()(self._planes, self._rank, words[lo:hi], first, last, width, self._longest),
        )
        best = np.concatenate(parts)
        return Neighbors(self._ids[(best & ROW_MASK).astype(np.int64)], (best >> ROW_BITS).astype(np.int32))

    def _plainly(self, queries: BinaryCodes, k: int, first: int, last: int) -> Neighbors:
        distances = hamming_distance(queries, self._codes[first:last])
        ranks = np.broadcast_to(self._rank[first:last], distances.shape)
        order = np.lexsort((ranks, distances), axis=-1)[:, :k]
        return Neighbors(self._ids[np.take_along_axis(ranks, order, 1)], np.take_along_axis(distances, order, 1))

    def explain(self, **bounds: float) -> str:
        """Say how large the slice of a window is."""
        first, last = self.rows(**bounds)
        return f"window: rows {first:,}..{last:,} of {len(self):,} sorted by the attribute, scanned exactly"


def _top_k_of() -> Any:
    from deephash.index.slices import slice_top_k

    return slice_top_k
