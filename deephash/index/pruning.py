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

from deephash.index.kernels import CHUNK, NOTHING, ROW_BITS, compiled, distances_into, top_k
from deephash.index.pivot_kernels import Lists, pruned_radius, pruned_top_k
from deephash.index.threads import in_parts
from deephash.index.words import form_of

PAYS_BELOW = 0.05  # share of the codes a query may touch before it goes back to the plain scan
PIVOTS = 4.0  # times sqrt(N): enough that each of a few thousand clusters has one; measured: 2..6 within 1.8x
PIVOT_SAMPLE = 4  # sampled codes a pivot
SAMPLE_QUERIES, SAMPLE_ROWS = 16, 4096


@dataclass(frozen=True, slots=True)
class PivotLists:
    """Codes sorted by (nearest pivot, distance to it).

    Attributes:
        lists: ``pivots`` uint64 [P, W]; ``codes`` uint64 [N, W] in list order, row by row; ``rows`` [N], the rows
            they have in the database; ``starts`` [P * (longest + 1) + 1], cell (p, r) begins at
            ``starts[p * (longest + 1) + r]``; ``reach`` int32 [P, 2], the smallest and the largest distance in each
            list, first > last where it is empty; ``longest``, the largest possible distance.
    """

    lists: Lists

    @classmethod
    def build(cls, planes: NDArray[np.uint64], longest: int, threads: int) -> PivotLists:
        """Assign each code to the nearest of about 4 sqrt(N) pivots; 4 N sqrt(N) distances."""
        pivots = sample_pivots(planes)
        number, size = pivots.shape[1], planes.shape[1]
        cells = np.empty(size, np.int64)
        in_parts(size, threads, lambda lo, hi: _assign(planes, pivots, lo, longest, cells[lo:hi]))
        kind = np.int32 if size < 1 << 31 else np.int64  # half the memory, and half the cache misses
        starts, rows = np.zeros(number * (longest + 1) + 1, kind), np.empty(size, kind)
        sort_cells(cells, starts, rows)
        codes = np.empty((size, len(planes)), np.uint64)
        for word, plane in enumerate(planes):
            codes[:, word] = plane[rows]
        return cls(Lists(np.ascontiguousarray(pivots.T), starts, _reach(starts, longest), codes, rows, longest))

    def __len__(self) -> int:
        return len(self.lists.pivots)

    @property
    def give_up(self) -> int:
        """Codes a query may touch before the plain scan is the better choice."""
        return int(PAYS_BELOW * len(self.lists.rows))

    def search(self, queries: NDArray[np.uint64], k: int, mask: NDArray[np.bool_], threads: int) -> Any:
        """Return (candidates uint64 [Q, k], codes touched [Q]); -1 touched = the query was not answered."""
        form = form_of(queries.shape[1])
        parts = in_parts(
            len(queries),
            threads,
            lambda lo, hi: pruned_top_k(self.lists, queries[lo:hi], form, k, self.give_up, mask),
        )
        return tuple(np.concatenate(both) for both in zip(*parts, strict=True))

    def search_radius(self, queries: NDArray[np.uint64], radius: int, mask: NDArray[np.bool_]) -> Any:
        """Return (candidates, limits, codes touched [Q]); -1 touched = the query was not answered."""
        return pruned_radius(self.lists, queries, form_of(queries.shape[1]), radius, self.give_up, mask)


def _reach(starts: NDArray[Any], longest: int) -> NDArray[np.int32]:
    """Return the smallest and the largest distance in each list, int32 [P, 2]; (longest + 1, -1) where it is empty."""
    held = np.diff(starts).reshape(-1, longest + 1) > 0
    reach = np.stack([held.argmax(axis=1), longest - held[:, ::-1].argmax(axis=1)], axis=1)
    reach[~held.any(axis=1)] = longest + 1, -1
    return reach.astype(np.int32)


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
    cells = np.empty(sample.shape[1], np.int64)
    _assign(sample, pivots, 0, longest, cells)
    lists, radii = np.divmod(cells, longest + 1)
    to_pivot = np.empty((len(queries), pivots.shape[1]), np.uint64)
    for query, row in zip(queries, to_pivot, strict=True):
        distances_into(pivots, query, 0, pivots.shape[1], row)
    gap = np.abs(to_pivot.astype(np.int64)[:, lists] - radii)
    return float((gap <= cuts.astype(np.int64)[:, None]).mean())


@compiled
def _assign(planes: Any, pivots: Any, first: int, longest: int, cells: Any) -> None:
    """Write the cells of the rows from ``first`` on: nearest pivot * (longest + 1) + distance to it."""
    scratch = np.empty(CHUNK, np.uint64)
    nearest = np.empty(CHUNK, np.uint64)
    for lo in range(0, cells.size, CHUNK):
        hi = min(cells.size, lo + CHUNK)
        nearest[:] = NOTHING
        for p in range(pivots.shape[1]):
            distances_into(planes, pivots[:, p], first + lo, first + hi, scratch)
            number = np.uint64(p)
            for j in range(CHUNK):
                packed = scratch[j] << np.uint64(32) | number
                nearest[j] = packed if packed < nearest[j] else nearest[j]
        for j in range(hi - lo):
            pivot = np.int64(nearest[j] & np.uint64(0xFFFFFFFF))
            cells[lo + j] = pivot * (longest + 1) + np.int64(nearest[j] >> np.uint64(32))


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
def sort_cells(cells: Any, starts: Any, rows: Any) -> None:
    """Counting sort: write where each cell starts ([cells + 1], zero before) and the row numbers in cell order."""
    for cell in cells:
        starts[cell + 1] += 1
    for cell in range(starts.size - 1):
        starts[cell + 1] += starts[cell]
    nexts = starts.copy()
    for row in range(cells.size):
        rows[nexts[cells[row]]] = row
        nexts[cells[row]] += 1
