"""Window filters on one number an item (time, price): a window is a contiguous slice of codes, scanned exactly.

Items are sorted once by the attribute; a query's window becomes two binary searches and a scan of what lies between. At
any width this costs in proportion to the items that pass, with no filter to evaluate. Trees of approximate indexes over
such windows (Engels et al., "Approximate Nearest Neighbor Search with Window Filters", ICML 2024) are worth their
memory only beyond tens of millions of items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes, hamming_distance
from deephash.errors import UsageError
from deephash.index.available import has_numba
from deephash.index.bands import as_planes
from deephash.index.base import Allowed, Neighbors
from deephash.index.histogram import distance_histogram
from deephash.index.ids import ascends
from deephash.index.threads import in_parts, usable_threads
from deephash.numbers import whole

Ids = NDArray[np.int64]


class WindowIndex:
    """Exact search among the items whose attribute lies in a window.

    Args:
        ids: int64 [N], distinct.
        codes: N codes.
        values: number of each item, [N]; NaN = has none, and lies in no window.
        threads: None = every core this process may run on.

    Attributes:
        ids: int64 [N], ascending.
        codes: in the order of the attribute; ``planes``: the same as words; ``rank``: where each row is in ``ids``.
    """

    def __init__(self, ids: Ids, codes: BinaryCodes, values: ArrayLike, *, threads: int | None = None) -> None:
        numbers = np.asarray(values)
        if not len(ids) == len(codes) == len(numbers) or numbers.ndim != 1:
            raise UsageError(f"{len(ids):,} ids, {codes.describe()} and {numbers.shape} values do not fit together")
        order = np.lexsort((ids, numbers))  # NaN sorts last
        self._values = numbers[order]
        self._valid = len(numbers) - int(np.count_nonzero(numbers != numbers))
        self.ids = ids if ascends(ids) else np.sort(ids)
        self.rank = np.searchsorted(self.ids, ids[order])  # row order in terms of ids: ties are broken by it
        self.codes = codes[order]
        self.planes = as_planes(self.codes)
        self.threads = usable_threads(threads)

    def __len__(self) -> int:
        return len(self.ids)

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

    def slice(
        self,
        *,
        gte: float | None = None,
        gt: float | None = None,
        lt: float | None = None,
        lte: float | None = None,
    ) -> WindowSlice:
        """Return the items inside the bounds, to be searched."""
        return WindowSlice(self, *self.rows(gte=gte, gt=gt, lt=lt, lte=lte))

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
        return self.slice(gte=gte, gt=gt, lt=lt, lte=lte).search(queries, k)

    def explain(self, **bounds: float) -> str:
        """Say which rows of the sorted table a search in these bounds scans."""
        return self.slice(**bounds).explain()


@dataclass(frozen=True, slots=True, eq=False)
class WindowSlice:
    """The items of one window: rows ``first..last`` of a table sorted by the attribute."""

    window: WindowIndex
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first

    def __contains__(self, item: int) -> bool:
        return bool((self.window.ids[self.window.rank[self.first : self.last]] == item).any())

    @property
    def num_bits(self) -> int:
        """K, the length of the codes."""
        return self.window.codes.num_bits

    @property
    def codes(self) -> BinaryCodes:
        """The codes of these items, by the attribute; a view."""
        return self.window.codes[self.first : self.last]

    def search(self, queries: BinaryCodes, k: int, *, allowed: Allowed | None = None) -> Neighbors:
        """Return the ``k`` nearest of these items, ordered by (distance, id).

        Raises:
            UsageError: a further filter; ``open_index`` applies those.
        """
        if allowed is not None:
            raise UsageError("a window is a filter by itself; give ids to the index of open_index instead")
        width = min(whole(k, "k, the number of neighbours wanted,", least=1), len(self))
        if not width:
            return Neighbors(np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.int32))
        if not has_numba():
            return self._plainly(queries, width)
        from deephash.index.kernels import ROW_BITS, ROW_MASK
        from deephash.index.slices import slice_top_k

        table, longest = self.window, queries.layout.max_distance
        words = np.ascontiguousarray(as_planes(queries).T)
        parts = in_parts(
            len(words),
            table.threads,
            lambda lo, hi: slice_top_k(table.planes, table.rank, words[lo:hi], self.first, self.last, width, longest),
        )
        best = np.concatenate(parts)
        return Neighbors(table.ids[(best & ROW_MASK).astype(np.int64)], (best >> ROW_BITS).astype(np.int32))

    def counts(self, query: BinaryCodes, *, allowed: Allowed | None = None) -> NDArray[np.int64]:
        """Return how many of these items lie at each distance from one query, int64 [K L + 1]."""
        if allowed is not None:
            raise UsageError("a window is a filter by itself; give ids to the index of open_index instead")
        return distance_histogram(self.codes, query)

    def _plainly(self, queries: BinaryCodes, k: int) -> Neighbors:
        distances = hamming_distance(queries, self.codes)
        ranks = np.broadcast_to(self.window.rank[self.first : self.last], distances.shape)
        order = np.lexsort((ranks, distances), axis=-1)[:, :k]
        return Neighbors(self.window.ids[np.take_along_axis(ranks, order, 1)], np.take_along_axis(distances, order, 1))

    def explain(self) -> str:
        """Say which rows of the sorted table are scanned."""
        return f"rows {self.first:,}..{self.last:,} of {len(self.window):,} sorted by the attribute, scanned exactly"
