"""The symmetric distance of codes of several levels (BEBR): exact search by the cosine of what the codes stand for.

Shen et al., "Binary Embedding-based Retrieval at Tencent", KDD 2023 (arXiv 2302.08714), section on symmetric distance
calculation; the arithmetic is :mod:`deephash.codes.levels`. What an index keeps of an item is its bits and one over its
norm. Order: (score falling, id rising); equal codes have equal scores.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes, CodeLayout
from deephash.codes.levels import checked_levels, inverse_norms, level_numbers, symmetric_scores
from deephash.errors import UsageError
from deephash.index.available import has_numba
from deephash.index.exact import plain_exact
from deephash.index.threads import in_parts, usable_threads
from deephash.numbers import whole

Way = Literal["auto", "popcount", "look_up", "numpy"]
MOST_ROWS = 1 << 32  # a candidate of the kernels names a row in 32 bits
LOOKED_UP = (1, 2)  # levels whose products by nibble are even and small
MOST_LOOKED_UP = 7_000  # bits whose sums fit into 16 bits
LANES, GROUP = 32, 7  # of the kernel in nibble_sums.py, which is imported with Numba alone
TRIED = 1 << 14  # codes by which the two kernels are held against each other; fewer are scored by popcounts
SMALL = 1 << 14  # rows a thread takes at least
QUERIES = 64  # scored at a time: the candidates of each take 2 k places


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Answers in the order (-score, id).

    Attributes:
        ids: int64 [Q, m], m the smaller of k and the items that may be found.
        scores: float32, same shape: cosines of what the codes stand for.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


class SymmetricIndex:
    """Exact search by the symmetric distance, over codes in memory.

    Args:
        ids: int64 [N], ascending.
        codes: N codes of one or more levels.
        threads: None = every core this process may run on.
        way: ``popcount`` counts bits of planes, ``look_up`` adds 16-entry tables by nibble (1 or 2 levels, AVX2),
            ``numpy`` multiplies whole numbers; ``auto`` takes the first or the second, whichever is faster on this
            machine, tried once on some thousand codes.

    Raises:
        UsageError: ids that do not fit or do not ascend, or codes that the way cannot score.
    """

    def __init__(
        self, ids: NDArray[np.int64], codes: BinaryCodes, *, threads: int | None = None, way: Way = "auto"
    ) -> None:
        self.layout = checked_levels(codes.layout)
        self.ids = np.asarray(ids, np.int64)
        if self.ids.shape != (len(codes),) or (np.diff(self.ids) <= 0).any():
            raise UsageError(f"{len(codes):,} codes need as many ids, each larger than the one before")
        if len(codes) >= MOST_ROWS:
            raise UsageError(f"at most {MOST_ROWS:,} codes of several levels are searched in one index")
        self.codes, self._threads = codes, usable_threads(threads)
        self.way = _chosen(way, self.layout, len(codes))
        self._table: NDArray[Any] | None = None
        self._first_plane: Any = None

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def _inverse(self) -> NDArray[np.float64]:
        return inverse_norms(self.codes)

    def search(
        self,
        queries: BinaryCodes,
        k: int,
        *,
        allowed: NDArray[np.int64] | None = None,
        shortlist: int | None = None,
    ) -> Scored:
        """Return the ``k`` best items of each query.

        Args:
            queries: Q codes of the same layout.
            k: answers wanted.
            allowed: ids that may be found, ascending; None = all.
            shortlist: score only so many items, the nearest by the first level alone; None = all, which is exact.

        Raises:
            UsageError: codes of another layout, or numbers below 1.
        """
        self.layout.require_same(queries.layout)
        k = whole(k, "k, the number of answers,", least=1)
        if shortlist is not None:
            shortlist = whole(shortlist, "a shortlist", least=k)
        if allowed is not None:
            return self._among(allowed).search(queries, k, shortlist=shortlist)
        if shortlist is not None:
            return self._two_stage(queries, k, shortlist)
        parts = [self._all(queries[first : first + QUERIES], k) for first in range(0, len(queries), QUERIES)]
        if not parts:
            return Scored(np.empty((0, min(k, len(self))), np.int64), np.empty((0, min(k, len(self))), np.float32))
        return Scored(*(np.concatenate(column) for column in zip(*parts)))

    def scores_of(self, query: BinaryCodes, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the scores of ``ids``, which are all there, against one query, float32 [n]."""
        rows = np.searchsorted(self.ids, ids)
        found: NDArray[np.float32] = symmetric_scores(query, self.codes[rows])[0]
        return found

    def explain(self) -> str:
        """Say which way answers."""
        what = {"popcount": "popcounts of planes", "look_up": "16-entry tables by nibble", "numpy": "whole numbers"}
        return f"symmetric distance over {self.layout.num_levels} levels, exact: {what[self.way]}"

    # One way or another ----------------------------------------------------------------------------

    def _among(self, allowed: NDArray[np.int64]) -> SymmetricIndex:
        """Return an index of some items for one search: what is dear to compute is taken over, or left out."""
        rows = np.flatnonzero(np.isin(self.ids, allowed, assume_unique=True))
        way: Way = "numpy" if self.way == "numpy" else "popcount"  # tables of nibbles cost more than such a search
        part = SymmetricIndex(self.ids[rows], self.codes[rows], threads=self._threads, way=way)
        part._inverse = self._inverse[rows]
        return part

    def _two_stage(self, queries: BinaryCodes, k: int, shortlist: int) -> Scored:
        if self._first_plane is None:
            self._first_plane = plain_exact(first_level(self.codes), threads=self._threads)
        near = self._first_plane.search(first_level(queries), min(shortlist, len(self)), None).ids
        scores = (
            np.stack([symmetric_scores(queries[place], self.codes[rows])[0] for place, rows in enumerate(near)])
            if len(near)
            else np.empty(near.shape, np.float32)
        )
        order = np.lexsort((near, -scores), axis=-1)[:, :k]
        return Scored(self.ids[np.take_along_axis(near, order, 1)], np.take_along_axis(scores, order, 1))

    def _all(self, queries: BinaryCodes, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        k = min(k, len(self))
        if self.way == "numpy" or not k:
            scores = symmetric_scores(queries, self.codes)
            order = np.lexsort((np.broadcast_to(self.ids, scores.shape), -scores), axis=-1)[:, :k]
            return self.ids[order], np.take_along_axis(scores, order, 1)
        from deephash.index.symmetric_kernels import unpacked

        scan = self._popcounted(queries, k) if self.way == "popcount" else self._looked_up(queries, k)
        parts = in_parts(len(self), self._threads, scan, at_least=max(SMALL, k))
        best = parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts, axis=1), axis=1)[:, :k]
        rows, scores = unpacked(best)
        return self.ids[rows], scores

    def _popcounted(self, queries: BinaryCodes, k: int) -> Callable[[int, int], NDArray[np.uint64]]:
        from deephash.index.symmetric_kernels import best_scores

        if self._table is None:
            self._table = np.ascontiguousarray(as_level_words(self.codes).transpose(1, 2, 0))
        table, words, own = self._table, as_level_words(queries), inverse_norms(queries)
        bits, inverse = self.layout.num_bits, self._inverse  # computed before threads ask for it
        return lambda first, last: best_scores(table, inverse, words, own, first, last, k, bits)  # type: ignore[no-any-return]

    def _looked_up(self, queries: BinaryCodes, k: int) -> Callable[[int, int], NDArray[np.uint64]]:
        from deephash.index.symmetric_kernels import best_looked_up

        if self._table is None:
            self._table = in_blocks(as_nibbles(self.codes))
        table, (tables, nought), own = self._table, nibble_tables(queries), inverse_norms(queries)
        inverse = self._inverse

        def scan(first: int, last: int) -> NDArray[np.uint64]:
            low, high = (-(-edge // LANES) * LANES for edge in (first, last))  # whole blocks; the next part goes on
            return best_looked_up(table, inverse, tables, own, low, high, k, nought)  # type: ignore[no-any-return]

        return scan


def first_level(codes: BinaryCodes) -> BinaryCodes:
    """Return the first level alone, as codes of one level: the signs that carry most."""
    return BinaryCodes(codes.packed[:, : codes.layout.bytes_a_level], codes.num_bits)


def as_level_words(codes: BinaryCodes) -> NDArray[np.uint64]:
    """Return uint64 [N, L, W]: the levels of each code in 64-bit words, padded with zero bytes."""
    width = codes.layout.bytes_a_level
    padded = np.zeros((len(codes), codes.num_levels, -(-width // 8) * 8), np.uint8)
    padded[:, :, :width] = codes.packed.reshape(len(codes), codes.num_levels, width)
    return padded.view(np.uint64)


def as_nibbles(codes: BinaryCodes) -> NDArray[np.uint8]:
    """Return uint8 [N, B], two nibbles a byte: a nibble is 4 / L dimensions of L bits, the first level's bit highest.

    B is made a multiple of what the kernel adds at once, with zero bits.
    """
    levels = codes.num_levels
    bits = codes.bits().reshape(len(codes), levels, codes.num_bits).transpose(0, 2, 1).reshape(len(codes), -1)
    packed = np.packbits(bits, axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % GROUP)))


def in_blocks(nibbles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 [ceil(N / 32), B, 32]: the same byte of 32 codes side by side, zeros behind the last."""
    padded = np.pad(nibbles, ((0, -len(nibbles) % LANES), (0, 0)))
    return np.ascontiguousarray(padded.reshape(-1, LANES, nibbles.shape[1]).transpose(0, 2, 1))


def nibble_tables(queries: BinaryCodes) -> tuple[NDArray[np.uint8], int]:
    """Return half of what the product of each nibble exceeds its least by, uint8 [Q, 2 B, 16]; and the least product.

    Dimensions that only fill up are read as the lowest level -M, and the query is taken to be 1 there.
    """
    levels, wide = queries.num_levels, 4 // queries.num_levels
    highest = (1 << levels) - 1
    numbers = level_numbers(queries).astype(np.int32)
    spare = -numbers.shape[1] % (2 * GROUP * wide)
    filled = np.pad(numbers, ((0, 0), (0, spare)), constant_values=1).reshape(len(queries), -1, wide)
    shifts = levels * np.arange(wide)[::-1]
    parts = 2 * ((np.arange(16)[:, None] >> shifts) & highest) - highest  # [16, wide]
    least = wide * highest**2
    tables = (np.einsum("qnw,vw->qnv", filled, parts) + least) >> 1
    return np.asarray(tables, np.uint8), spare * highest - filled.shape[1] * least


def _chosen(way: Way, layout: CodeLayout, size: int) -> Way:
    if way not in ("auto", "popcount", "look_up", "numpy"):
        raise UsageError(f"way is auto, popcount, look_up or numpy, not {way!r}")
    if way == "numpy" or not has_numba():
        return "numpy"
    fits = layout.num_levels in LOOKED_UP and layout.num_bits <= MOST_LOOKED_UP
    if way == "look_up" and not fits:
        raise UsageError(f"{layout.describe()} do not fit into 16-entry tables and 16-bit sums; take popcount")
    if way == "popcount" or not fits:
        return "popcount"
    from deephash.index.nibble_sums import has_shuffle

    if not has_shuffle():
        if way == "look_up":
            raise UsageError("this processor has no AVX2, by which nibbles are looked up; take popcount")
        return "popcount"
    if way == "look_up":
        return "look_up"
    return "popcount" if size < TRIED else _faster(layout)


@cache
def _faster(layout: CodeLayout) -> Way:
    """Return the way that scores codes of a layout sooner on this machine; tried on codes drawn at random."""
    packed = np.random.default_rng(0).integers(0, 256, (TRIED, layout.width), np.uint8)
    bits = BinaryCodes(packed, 8 * layout.bytes_a_level, layout.num_levels).bits()[..., : layout.num_bits]
    codes = BinaryCodes.from_bits(bits)
    seconds: dict[Way, float] = {}
    for way in ("popcount", "look_up"):
        index = SymmetricIndex(np.arange(TRIED), codes, threads=1, way=way)
        index.search(codes[:4], 10)  # compiles
        begun = time.perf_counter()
        for _ in range(3):
            index.search(codes[:4], 10)
        seconds[way] = time.perf_counter() - begun
    return min(seconds, key=seconds.__getitem__)
