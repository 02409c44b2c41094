"""``scan``: the exact scan in Numba, with pivot lists and band tables where they pay.

A query is answered by the cheapest of three exact ways: the plain scan; the pivot lists (``pruning.py``) for clustered
codes; the band tables (``multi_index.py``) for small radii. The two helpers are built once the queries answered so far
have cost as much as building them would (so one query never waits for them), or at once by :meth:`ScanEngine.warm`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.index.bands import as_planes
from deephash.index.base import Neighbors
from deephash.index.planner import filter_first, filter_last, look_up_budget, wants_pruning
from deephash.index.row_filter import ListedFilter, RowFilter
from deephash.index.threads import in_parts, usable_threads

if TYPE_CHECKING:
    from deephash.index.multi_index import BandTables
    from deephash.index.pruning import PivotLists

SMALL = 1 << 16  # rows a thread takes at least, and below which neither helper is worth building
PIECE = 1 << 18  # rows of a memory-mapped table brought into memory at a time
TABLE_QUERIES = 64  # radius queries whose scans cost about as much as building the band tables
NO_MASK = np.empty(0, bool)
Candidates = NDArray[np.uint64]


class ScanEngine:
    """Exact search over codes in memory.

    Args:
        codes: rows ascend with the ids.
        threads: None = every core this process may run on.
        prune: pivot lists: True builds them now, False never, None where an estimate says that they pay.
    """

    def __init__(self, codes: BinaryCodes, *, threads: int | None = None, prune: bool | None = None) -> None:
        self._codes = codes
        self._planes = as_planes(codes)
        self._longest = codes.layout.max_distance
        self._threads = usable_threads(threads)
        self._prune = prune
        self._pivots: PivotLists | None = None
        self._tables: BandTables | None = None
        self._asked = self._asked_radius = 0
        self._last = "not searched yet"
        self._about_pruning = "pruning: not needed so far"
        if prune:
            self._build_pivots()

    # Helpers that are built when they have been earned ----------------------------------------------

    def warm(self) -> None:
        """Build now what many queries would earn: pivot lists where they pay, and band tables."""
        if len(self._codes) >= SMALL:
            self._consider_pivots()
            self._build_tables()

    def _consider_pivots(self) -> None:
        if self._pivots is not None or self._prune is False:
            return
        from deephash.index.pruning import touched_share

        share = touched_share(self._planes, self._longest)
        if wants_pruning(share):
            self._build_pivots()
        else:
            self._prune = False
        verdict = "used" if self._pivots else "left out"
        self._about_pruning = f"pruning: {verdict}, a query would touch about {100 * share:.1f} % of the codes"

    def _build_pivots(self) -> None:
        from deephash.index.pruning import PivotLists

        self._pivots = PivotLists.build(self._planes, self._longest, self._threads)
        self._about_pruning = f"pruning: used, {len(self._pivots):,} pivots"

    def _build_tables(self) -> None:
        if self._tables is None:
            from deephash.index.multi_index import BandTables

            self._tables = BandTables.build(self._planes, self._codes.packed.shape[1])

    # k nearest -------------------------------------------------------------------------------------

    def search(self, queries: BinaryCodes, k: int, within: RowFilter | None) -> Neighbors:
        """Return rows [Q, min(k, rows that pass)] in order of (distance, row)."""
        if isinstance(within, ListedFilter) and not within.resolved:
            found = self._filtered_last(queries, k, within)
            if found is not None:
                return found
        k = min(k, len(self._codes) if within is None else within.count)
        if within is not None and filter_first(len(self._codes), within.count, len(queries), reused=within.reused):
            return self._filtered_first(queries, k, within)
        mask = NO_MASK if within is None else within.mask
        self._asked += len(queries)
        if len(self._codes) >= SMALL and self._asked**2 >= len(self._codes) and self._pivots is None:
            self._consider_pivots()
        words = _words(queries)
        best = self._pruned(words, k, mask) if self._pivots else self._scanned(words, k, mask)
        return _unpacked(np.sort(best, axis=1))

    def _filtered_first(self, queries: BinaryCodes, k: int, within: RowFilter) -> Neighbors:
        """Scan only the codes that pass: a copy of them where more searches will follow, else gathered as it goes."""
        from deephash.index.kernels import listed_top_k

        self._last = f"filtered first: {within.count:,} codes gathered, then scanned"
        if within.reused:
            part = within.once(lambda: ScanEngine(self._codes[within.rows], threads=self._threads, prune=False))
            found = part.search(queries, k, None)
            return Neighbors(within.rows[found.ids], found.distances)
        best = self._in_threads(
            lambda some, first, last: listed_top_k(self._planes, within.rows, some, first, last, k, self._longest),
            _words(queries),
            k,
            within.count,
        )
        found = _unpacked(np.sort(best, axis=1))
        return Neighbors(within.rows[found.ids], found.distances)

    def _filtered_last(self, queries: BinaryCodes, k: int, within: ListedFilter) -> Neighbors | None:
        """Search without the filter for so many items that k of them should pass; None where they did not.

        Exact: items come in order, so the first k that pass are the k nearest that pass.
        """
        fetched = filter_last(len(self._codes), len(within.wanted), len(queries), k)
        if not fetched:
            return None
        found = self.search(queries, fetched, None)
        self._last += f"; filtered last: {k} of the nearest {fetched}"
        likely = 10 * len(within.wanted) > 9 * len(self._codes)
        if (likely or not within.ordered) and fetched >= k and within.passes(found.ids[:, :k]).all():
            return Neighbors(found.ids[:, :k], found.distances[:, :k])
        places = [np.flatnonzero(passed)[:k] for passed in within.passes(found.ids)]
        if min(map(len, places)) < k:
            return None
        rows = np.arange(len(queries))[:, None]
        return Neighbors(found.ids[rows, places], found.distances[rows, places])

    def _scanned(self, words: NDArray[np.uint64], k: int, mask: NDArray[np.bool_]) -> Candidates:
        from deephash.index.kernels import top_k

        self._last = "plain scan" + ("" if mask is NO_MASK else ", filter applied to rows under the cut-off")
        return self._in_threads(
            lambda some, first, last: top_k(self._planes, some, first, last, k, self._longest, mask),
            words,
            k,
            len(self._codes),
        )

    def _in_threads(
        self, scan: Callable[[NDArray[np.uint64], int, int], Candidates], words: NDArray[np.uint64], k: int, size: int
    ) -> Candidates:
        """Run ``scan(queries, first row, last row)``: threads share the queries, or the rows when queries are few."""
        if len(words) >= 2 * self._threads:
            return np.concatenate(in_parts(len(words), self._threads, lambda lo, hi: scan(words[lo:hi], 0, size)))
        parts = in_parts(size, self._threads, lambda lo, hi: scan(words, lo, hi), at_least=SMALL)
        return parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts, axis=1), axis=1)[:, :k]

    def _pruned(self, words: NDArray[np.uint64], k: int, mask: NDArray[np.bool_]) -> Candidates:
        assert self._pivots is not None  # narrows the type; _pruned is called only then
        best, touched = self._pivots.search(words, k, mask, self._threads)
        refused = np.flatnonzero(touched < 0)
        if len(refused):
            best[refused] = np.sort(self._scanned(words[refused], k, mask), axis=1)
        share = touched[touched >= 0].mean() / len(self._codes) if len(refused) < len(words) else 1.0
        self._last = (
            f"pruned scan: {100 * share:.2f} % of the codes touched, "
            f"{len(refused)} of {len(words)} queries scanned plainly"
        )
        result: Candidates = best
        return result

    # Radius ----------------------------------------------------------------------------------------

    def search_radius(self, queries: BinaryCodes, radius: int, within: RowFilter | None) -> list[Neighbors]:
        """Return for each query all rows with distance <= radius, in order of (distance, row)."""
        mask = NO_MASK if within is None else within.mask
        self._asked_radius += len(queries)
        if len(self._codes) >= SMALL and self._asked_radius >= TABLE_QUERIES:
            self._build_tables()
        if len(queries) < 2 * self._threads:
            return self._radius_part(queries, radius, mask)
        parts = in_parts(len(queries), self._threads, lambda lo, hi: self._radius_part(queries[lo:hi], radius, mask))
        return [answer for part in parts for answer in part]

    def _radius_part(self, queries: BinaryCodes, radius: int, mask: NDArray[np.bool_]) -> list[Neighbors]:
        """Answer some queries, in this thread: pivot lists, then band tables, then the plain scan for what is left."""
        from deephash.index.kernels import within_radius

        words = _words(queries)
        answers: list[Neighbors | None] = [None] * len(queries)
        left = np.arange(len(queries))
        ways = []
        if self._tables is not None:
            budget = look_up_budget(len(self._codes), len(self._pivots) if self._pivots else 0)
            found, limits, cost = self._tables.search_radius(self._planes, words, radius, mask, budget)
            left = _fill(answers, left, found, limits, cost)
            ways.append(f"{len(queries) - len(left)} by band tables")
        if self._pivots is not None and len(left):
            found, limits, cost = self._pivots.search_radius(words[left], radius, mask)
            before, left = len(left), _fill(answers, left, found, limits, cost)
            ways.append(f"{before - len(left)} by pivot lists")
        if len(left):
            found, limits = within_radius(self._planes, words[left], 0, len(self._codes), radius, mask)
            ways.append(f"{len(left)} by the plain scan")
            _fill(answers, left, found, limits, np.zeros(len(left), np.int64))
        self._last = f"radius {radius}: " + ", ".join(ways)
        return [answer for answer in answers if answer is not None]

    def explain(self) -> str:
        """Describe the engine and its last search."""
        return (
            f"scan: exact, {self._codes.describe()}, {self._threads} threads; {self._about_pruning}; last: {self._last}"
        )


def _fill(
    answers: list[Neighbors | None],
    left: NDArray[np.int64],
    found: Candidates,
    limits: NDArray[np.int64],
    cost: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Put the answers of the queries ``left`` in their places; return those that were not answered (cost -1)."""
    every, bounds = _unpacked(found), limits.tolist()
    rows, distances = every.ids, every.distances
    for place, paid, first, last in zip(left.tolist(), cost.tolist(), bounds, bounds[1:]):
        if paid >= 0:
            answers[place] = Neighbors(rows[first:last], distances[first:last])
    return left[cost < 0]


def _words(queries: BinaryCodes) -> NDArray[np.uint64]:
    return np.ascontiguousarray(as_planes(queries).T)


def _unpacked(candidates: Candidates) -> Neighbors:
    from deephash.index.kernels import ROW_BITS, ROW_MASK

    return Neighbors((candidates & ROW_MASK).astype(np.int64), (candidates >> ROW_BITS).astype(np.int32))
