"""Search by product codes: Faiss ``IndexPQ`` or ``IndexIVFPQ`` proposes, and the answer keeps the rules of the house.

Queries are float, the score is an inner product (:mod:`deephash.index.product_codes`), the order is (score falling, id
rising) also where equal codes tie at the last place; ids are ours, fewer items make narrower answers, and no id is -1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deephash.codes import BinaryCodes, CodeLayout
from deephash.errors import UsageError
from deephash.index.available import faiss_module
from deephash.index.faiss_flat import faiss_threads
from deephash.index.ids import UnknownIds
from deephash.index.product_codes import ProductQuantizer, scores_by_tables
from deephash.index.symmetric import Scored
from deephash.numbers import real, whole

Ids = NDArray[np.int64]
EXTRA = 64  # items fetched beyond k, among which most ties end
ROUNDING = 2.0**-22  # of one addition or product in Faiss's float32, generously


class ProductIndex:
    """Nearest items by inner product of a float query with product codes, over codes in memory.

    Args:
        ids: int64 [N], ascending.
        codes: N product codes.
        quantizer: whose codes they are.
        cells: 0 scans all codes, which is exact; else items lie in so many cells (``IndexIVFPQ``, the same codebooks
            without residuals), of which the ``probes`` nearest are visited; more where they hold fewer than k items.
        probes: cells visited by a search; of a radius and of a filter all items are looked at.
        threads: None = as Faiss has it.

    Raises:
        UsageError: ids that do not ascend or fit, codes of other codebooks, or more cells than items.
    """

    def __init__(
        self,
        ids: Ids,
        codes: BinaryCodes,
        quantizer: ProductQuantizer,
        *,
        cells: int = 0,
        probes: int = 8,
        threads: int | None = None,
    ) -> None:
        self.quantizer = quantizer
        self.ids = np.asarray(ids, np.int64)
        if self.ids.shape != (len(codes),) or (np.diff(self.ids) <= 0).any():
            raise UsageError(f"{len(codes):,} codes need as many ids, each larger than the one before")
        self._packed = quantizer.require(codes).packed
        self.cells = whole(cells, "cells", most=len(codes))
        self.probes, self._threads = whole(probes, "probes, the cells visited,", least=1), threads
        self._faiss: dict[bool, Any] = {}  # with cells, or without

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def layout(self) -> CodeLayout:
        """What the codes look like: M bytes."""
        return CodeLayout(8 * self.quantizer.parts)

    def codes_of(self, ids: Ids) -> BinaryCodes:
        """Return the codes of ``ids``, in their order. Raises UnknownIds."""
        wanted = np.asarray(ids, np.int64)
        rows = np.searchsorted(self.ids, wanted)
        there = rows < len(self.ids)
        there[there] = self.ids[rows[there]] == wanted[there]
        if not there.all():
            raise UnknownIds(wanted[~there], len(wanted))
        return BinaryCodes(self._packed[rows], self.layout.num_bits)

    def add(self, ids: Ids, codes: BinaryCodes) -> None:
        """Add items; a known id is replaced."""
        fresh, places = np.unique(np.asarray(ids, np.int64), return_index=True)
        if len(fresh) != len(codes) or len(np.asarray(ids)) != len(codes):
            raise UsageError(f"one code for each different id: {len(codes)} codes for {len(np.asarray(ids))} ids")
        packed = self.quantizer.require(codes).packed[places]
        self.remove(fresh)
        rows = np.searchsorted(self.ids, fresh)
        self._set(np.insert(self.ids, rows, fresh), np.insert(self._packed, rows, packed, axis=0))

    def remove(self, ids: Ids) -> None:
        """Remove items; ids that are not there are passed over."""
        kept = ~np.isin(self.ids, np.asarray(ids, np.int64))
        self._set(self.ids[kept], self._packed[kept])

    def search(self, queries: ArrayLike, k: int, *, allowed: Ids | None = None) -> Scored:
        """Return the ``k`` best items of each query.

        Args:
            queries: float [Q, D], of the model that made the codes.
            k: answers wanted.
            allowed: ids that may be found; unknown ones are passed over. None = all.

        Raises:
            UsageError: queries of another length, with NaN, or zero, which have no direction.
        """
        k = whole(k, "k, the number of answers,", least=1)
        rows = self._queries(queries)
        if allowed is not None:
            return self._among(allowed).search(rows, k)
        k = min(k, len(self))
        found = [self._best(row, self.quantizer.tables(row[None])[0], k) for row in rows] if k else []
        ids = np.array([one for one, _ in found], np.int64).reshape(len(rows), k)
        return Scored(ids, np.array([scores for _, scores in found], np.float32).reshape(len(rows), k))

    def search_radius(self, queries: ArrayLike, least: float, *, allowed: Ids | None = None) -> list[Scored]:
        """Return, for each query, every item with a score of at least ``least``, the rim included."""
        least, rows = float(np.float32(real(least, "least, a score,"))), self._queries(queries)
        if allowed is not None:
            return self._among(allowed).search_radius(rows, least)
        if not len(self):
            return [Scored(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in rows]
        index, answers = self._index(cells=False), []
        for row in rows:
            tables = self.quantizer.tables(row[None])[0]
            with faiss_threads(self._threads):
                _, _, near = index.range_search(
                    row[None], float(np.nextafter(np.float32(least - self._margin(row)), np.float32(-np.inf)))
                )
            ids, scores = self._ordered(near, tables)
            within = scores >= least
            answers.append(Scored(ids[within], scores[within]))
        return answers

    def explain(self) -> str:
        """Say which engine answers."""
        kind = f"IndexIVFPQ, {self.cells} cells, {self.probes} visited" if self.cells else "IndexPQ, exact"
        return f"product codes of {self.quantizer.parts} bytes, asymmetric inner product: Faiss {kind}"

    # Inside ----------------------------------------------------------------------------------------

    def _set(self, ids: Ids, packed: NDArray[np.uint8]) -> None:
        self.ids, self._packed = ids, packed
        self.cells = min(self.cells, len(ids))
        self._faiss.clear()

    def _queries(self, queries: ArrayLike) -> NDArray[np.float32]:
        rows = np.ascontiguousarray(self.quantizer.checked(queries, "queries"))
        zero = np.flatnonzero(~rows.any(axis=1))
        if len(zero):
            raise UsageError(f"query {zero[0]} is zero and has no direction; every item would score alike")
        return rows

    def _among(self, allowed: Ids) -> ProductIndex:
        rows = np.flatnonzero(np.isin(self.ids, allowed))
        codes = BinaryCodes(self._packed[rows], self.layout.num_bits)
        return ProductIndex(self.ids[rows], codes, self.quantizer, threads=self._threads)

    def _best(self, query: NDArray[np.float32], tables: NDArray[np.float64], k: int) -> tuple[Ids, NDArray[np.float32]]:
        """Fetch until what was left out cannot be among the best k, ties included; then order by our own scores."""
        fetch, probes, margin = min(k + EXTRA, len(self)), min(self.probes, max(1, self.cells)), self._margin(query)
        while True:
            theirs, near = self._fetched(query, fetch, probes)
            ids, scores = self._ordered(near[near >= 0], tables)
            short = near[-1] < 0  # the cells visited hold no more
            if short and len(ids) < k and probes < self.cells:
                probes = min(4 * probes, self.cells)
            elif short or fetch == len(self) or theirs[-1] < scores[k - 1] - margin:
                return ids[:k], scores[:k]
            else:
                fetch = min(4 * fetch, len(self))

    def _fetched(
        self, query: NDArray[np.float32], fetch: int, probes: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        index, params = self._index(cells=self.cells > 0), None
        if self.cells:
            params = faiss_module().SearchParametersIVF(nprobe=probes)
        with faiss_threads(self._threads):
            theirs, near = index.search(query[None], fetch, params=params)
        return theirs[0], near[0]

    def _ordered(self, rows: NDArray[np.int64], tables: NDArray[np.float64]) -> tuple[Ids, NDArray[np.float32]]:
        scores, ids = scores_by_tables(tables, self._packed[rows]), self.ids[rows]
        order = np.lexsort((ids, -scores))
        return ids[order], scores[order]

    def _margin(self, query: NDArray[np.float32]) -> float:
        """Return more than Faiss's scores can be away from ours."""
        longest = np.linalg.norm(self.quantizer.centroids, axis=2).max(axis=1)
        reach = float(np.linalg.norm(query.reshape(self.quantizer.parts, -1), axis=1) @ longest)
        return (self.quantizer.dims + self.quantizer.parts) * ROUNDING * reach

    def _index(self, *, cells: bool) -> Any:
        if cells not in self._faiss:
            self._faiss[cells] = self._in_cells() if cells else self._flat()
        return self._faiss[cells]

    def _flat(self) -> Any:
        faiss, quantizer = faiss_module(), self.quantizer
        index = faiss.IndexPQ(quantizer.dims, quantizer.parts, 8, faiss.METRIC_INNER_PRODUCT)
        self._give_codebooks(index)
        faiss.copy_array_to_vector(self._packed.reshape(-1), index.codes)
        index.ntotal = len(self)
        return index

    def _in_cells(self) -> Any:
        faiss, quantizer = faiss_module(), self.quantizer
        vectors = quantizer.decode(BinaryCodes(self._packed, self.layout.num_bits))
        kmeans = faiss.Kmeans(quantizer.dims, self.cells, seed=0, spherical=True, min_points_per_centroid=1)
        with faiss_threads(self._threads):
            kmeans.train(vectors)
            self._coarse = faiss.IndexFlatIP(quantizer.dims)  # Faiss does not keep it alive
            self._coarse.add(kmeans.centroids)
            parts = quantizer.parts
            index = faiss.IndexIVFPQ(self._coarse, quantizer.dims, self.cells, parts, 8, faiss.METRIC_INNER_PRODUCT)
            index.by_residual = False
            self._give_codebooks(index)
            index.add(vectors)
        return index

    def _give_codebooks(self, index: Any) -> None:
        """Fill up to 256 centroids a part with the first, which no code names there."""
        table = self.quantizer.centroids
        spare = np.repeat(table[:, :1], 256 - table.shape[1], axis=1)
        faiss_module().copy_array_to_vector(np.concatenate([table, spare], axis=1).reshape(-1), index.pq.centroids)
        index.is_trained = True
