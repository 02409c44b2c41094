"""Faiss IVF and HNSW: approximate, but never wrong about ids, order, filters or the number of answers.

Both search unfiltered tables only (Faiss refuses or forgets filters here, see ``faiss_index``); a filter over-fetches,
and what then is still missing is searched exactly. Radius searches are always exact: a radius asks for everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.index.available import faiss_module
from deephash.index.base import Engine, Neighbors
from deephash.index.exact import plain_exact
from deephash.index.faiss_flat import faiss_threads, search_filtered
from deephash.index.groups import GroupedEngine, UniqueGroups
from deephash.index.measures import recall_by_distance
from deephash.index.row_filter import RowFilter

EXTRA = 32  # neighbours fetched beyond k, so that a tie at the k-th place is usually seen whole
TRAINING_ROWS_A_LIST = 39  # below it Faiss warns that k-means has too little to go by
CHECK_QUERIES, CHECK_K, LEAST_RECALL = 64, 10, 0.9


@dataclass(frozen=True, slots=True)
class IvfOptions:
    """Options of the inverted lists.

    Attributes:
        threads: threads a search may use; None = every core this process may run on.
        num_lists: number of inverted lists.
        nprobe: lists visited a query; ``num_lists`` makes it exact.
    """

    threads: int | None = None
    num_lists: int | None = None
    nprobe: int | None = None


@dataclass(frozen=True, slots=True)
class HnswOptions:
    """Options of the graph.

    Attributes:
        threads: threads a search may use; None = every core this process may run on.
        ef_search: length of the candidate list.
        neighbours: links of a node.
        force: build it even where it was measured to miss neighbours.
    """

    threads: int | None = None
    ef_search: int | None = None
    neighbours: int | None = None
    force: bool | None = None


class IvfEngine:
    """``faiss.IndexBinaryIVF``: only the ``nprobe`` lists nearest to the query are scanned.

    Within the lists visited the answer is exact and in the order (distance, row). Where they hold fewer than k items,
    four times as many are visited, and so on. Range search of all lists and filters go to an exact engine.
    """

    def __init__(self, codes: BinaryCodes, options: IvfOptions) -> None:
        faiss = faiss_module()
        most = max(1, len(codes) // TRAINING_ROWS_A_LIST)  # what so few codes can train; also after removals
        lists = min(options.num_lists or min(4096, int(4 * len(codes) ** 0.5)), most)
        self._threads = options.threads
        self._size = len(codes)
        self._lists = lists
        self._nprobe = min(options.nprobe or 16, lists)
        self._exact = plain_exact(codes, options.threads)
        width = 8 * codes.packed.shape[1]
        self._quantizer = faiss.IndexBinaryFlat(width)
        self._index = faiss.IndexBinaryIVF(self._quantizer, width, lists)
        self._index.cp.min_points_per_centroid = 1  # or Faiss warns about tables of fewer than 39 codes
        with faiss_threads(self._threads):
            self._index.train(codes.packed)
            self._index.add(codes.packed)

    def warm(self) -> None:
        """Nothing is built later."""

    def search(self, queries: BinaryCodes, k: int, within: RowFilter | None) -> Neighbors:
        """Return rows [Q, min(k, rows that pass)] in order of (distance, row)."""
        if within is not None:
            return search_filtered(self._search, self._exact, queries, k, within)
        return self._search(queries, min(k, self._size))

    def _search(self, queries: BinaryCodes, k: int) -> Neighbors:
        probes = self._nprobe
        rows = np.empty((len(queries), k), np.int64)
        distances = np.empty((len(queries), k), np.int32)
        left = np.arange(len(queries))
        while len(left):
            part, complete = self._probe(queries[left], k, probes)
            rows[left[complete]], distances[left[complete]] = part.ids[complete], part.distances[complete]
            left = left[~complete]
            probes = min(4 * probes, self._lists)
        return Neighbors(rows, distances)

    def _probe(self, queries: BinaryCodes, k: int, probes: int) -> tuple[Neighbors, NDArray[np.bool_]]:
        """Return the k nearest within ``probes`` lists, ties in row order, and which queries found k."""
        faiss = faiss_module()
        params = faiss.SearchParametersIVF(nprobe=probes)  # type: ignore[call-arg]
        fetch = min(k + EXTRA, self._size)
        while True:
            with faiss_threads(self._threads):
                distances, rows = self._index.search(queries.packed, fetch, params=params)
            missing = rows < 0
            cut_off = (distances[:, -1] == distances[:, k - 1]) & ~missing[:, -1]  # more ties may lie beyond
            if fetch == self._size or not cut_off.any():
                break
            fetch = min(4 * fetch, self._size)
        rows = np.where(missing, np.iinfo(np.int64).max, rows)
        order = np.lexsort((rows, distances), axis=-1)[:, :k]
        rows, distances = np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)
        complete: NDArray[np.bool_] = rows[:, -1] != np.iinfo(np.int64).max
        return Neighbors(rows, distances), complete

    def search_radius(self, queries: BinaryCodes, radius: int, within: RowFilter | None) -> list[Neighbors]:
        """Return for each query all rows with distance <= radius (exact), in order of (distance, row)."""
        return self._exact.search_radius(queries, radius, within)

    def explain(self) -> str:
        """Describe the engine and its last search."""
        return f"faiss:ivf: approximate, {self._size:,} codes in {self._lists:,} lists, {self._nprobe} visited a query"


class HnswEngine:
    """``faiss.IndexBinaryHNSW`` over distinct codes; use :func:`grouped_hnsw` to make one.

    Among equal codes the graph's links all lead to each other, and whole regions become unreachable; so it never sees
    duplicates.
    """

    def __init__(self, codes: BinaryCodes, options: HnswOptions) -> None:
        faiss = faiss_module()
        self._size = len(codes)
        self._threads = options.threads
        self._exact = plain_exact(codes, options.threads)
        self._ef = options.ef_search or 128
        self._index = faiss.IndexBinaryHNSW(8 * codes.packed.shape[1], options.neighbours or 16)
        with faiss_threads(self._threads):
            self._index.add(codes.packed)

    def warm(self) -> None:
        """Nothing is built later."""

    def search(self, queries: BinaryCodes, k: int, within: RowFilter | None) -> Neighbors:
        """Return rows [Q, min(k, rows that pass)] in order of (distance, row)."""
        if within is not None:
            return search_filtered(self._search, self._exact, queries, k, within)
        return self._search(queries, min(k, self._size))

    def _search(self, queries: BinaryCodes, k: int) -> Neighbors:
        fetch = min(k + EXTRA, self._size)
        while True:
            distances, rows = self._fetch(queries, fetch)
            short = (rows < 0).any(axis=1)  # the graph could not reach enough codes
            cut_off = ~short & (distances[:, -1] == distances[:, k - 1])
            if fetch == self._size or not cut_off.any():
                break
            fetch = min(4 * fetch, self._size)
        order = np.lexsort((rows, distances), axis=-1)[:, :k]
        rows, distances = np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)
        if short.any():
            exact = self._exact.search(queries[np.flatnonzero(short)], k, None)
            rows[short], distances[short] = exact.ids, exact.distances
        return Neighbors(rows, distances)

    def _fetch(self, queries: BinaryCodes, fetch: int) -> tuple[NDArray[Any], NDArray[Any]]:
        faiss = faiss_module()
        params = faiss.SearchParametersHNSW(efSearch=max(self._ef, fetch))  # type: ignore[attr-defined]
        with faiss_threads(self._threads):
            distances, rows = self._index.search(queries.packed, fetch, params=params)
        return distances, rows

    def search_radius(self, queries: BinaryCodes, radius: int, within: RowFilter | None) -> list[Neighbors]:
        """Return for each query all rows with distance <= radius (exact), in order of (distance, row)."""
        return self._exact.search_radius(queries, radius, within)

    def recall(self, codes: BinaryCodes) -> float:
        """Measure recall@10, by distance, of the graph, for sampled codes with a tenth of their bits flipped."""
        chosen = np.random.default_rng(0)
        bits = codes[chosen.integers(0, len(codes), CHECK_QUERIES)].bits()
        queries = BinaryCodes.from_bits(bits ^ (chosen.random(bits.shape) < 0.1))
        k = min(CHECK_K, len(codes))
        return recall_by_distance(self._search(queries, k).distances, self._exact.search(queries, k, None).distances)

    def explain(self) -> str:
        """Describe the engine and its last search."""
        return f"faiss:hnsw: approximate, graph over {self._size:,} distinct codes, ef_search {self._ef}"


def grouped_hnsw(codes: BinaryCodes, options: HnswOptions) -> Engine:
    """Build HNSW over the unique codes, check it against exact search, and refuse it where it misses neighbours.

    Raises:
        UsageError: recall@10 below 0.9 on a sample, unless ``force``.
    """
    groups = UniqueGroups.of(codes)
    engine = HnswEngine(groups.codes, options)
    recall = engine.recall(groups.codes)
    if recall < LEAST_RECALL and not options.force:
        raise UsageError(
            f"faiss:hnsw misses neighbours on these codes: recall@{CHECK_K} {recall:.2f} on {CHECK_QUERIES} sampled "
            f"queries, below {LEAST_RECALL} ({groups.describe()}); use scan, which is exact, raise ef_search, or pass "
            "force=True"
        )
    return GroupedEngine(groups, engine)
