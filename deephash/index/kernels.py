"""The compiled loops of the exact scan (Numba). Imported only when Numba is there; see ``scan.py``.

Codes lie in planes: uint64 [W, N], one 64-bit word column after another, so that a vector register holds the same word
of eight neighbouring codes. Candidates are packed as ``distance << 40 | row``: comparing two of them compares
(distance, row).

How a pass is kept cheap: for a chunk of codes only the least distance is computed, in a loop the compiler turns into
XOR, POPCNT and MIN on full vectors; single codes are looked at only in the few chunks whose least distance gets under
the current cut-off. The cut-off comes from a histogram of the distances accepted so far (they take K + 1 values), not
from a heap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.extending import intrinsic
from numba.np import arrayobj

CHUNK = 256  # codes a least distance is taken over; measured: 128..512 are within 5 %
BLOCK_WORDS = 2048  # 16 KB: a block stays in the first-level cache while all queries pass over it
AHEAD = 48  # gathered codes are fetched so many places ahead
ROW_BITS = np.uint64(40)  # up to 10**12 rows, and distances up to 2**24
ROW_MASK = np.uint64((1 << 40) - 1)
NOTHING = np.uint64(0xFFFFFFFFFFFFFFFF)
NO_MASK = np.empty(0, np.bool_)


def compiled(function: Callable[..., Any]) -> Any:
    """Compile with Numba at the first call: without the GIL, and kept on disk for the next process."""
    return numba.njit(nogil=True, cache=True)(function)


def _popcount(_: Any, word: Any) -> Any:
    """LLVM's ctpop: the number of one bits; vectorised where the CPU can."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: list[ir.Value]) -> ir.Value:
        return builder.call(builder.module.declare_intrinsic("llvm.ctpop", [args[0].type]), args)

    return numba.uint64(numba.uint64), generate


popcount: Any = intrinsic(_popcount)


def _prefetch(_: Any, array: Any, place: Any) -> Any:
    """LLVM's prefetch of ``array.flat[place]`` (contiguous) for reading: a hint, so that a later read need not wait."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: list[ir.Value]) -> ir.Value:
        view = arrayobj.make_array(signature.args[0])(context, builder, args[0])
        address = builder.bitcast(builder.gep(view.data, [args[1]]), ir.IntType(8).as_pointer())
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, flag, flag, flag])
        hint = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        builder.call(hint, [address, flag(0), flag(3), flag(1)])  # to read, keep it in every cache, data
        return context.get_dummy_value()

    return numba.void(array, place), generate


prefetch: Any = intrinsic(_prefetch)


@compiled
def distances_into(planes: Any, query: Any, first: int, last: int, out: Any) -> None:
    """Write the distances of rows first..last to ``query`` [W] into ``out`` (uint64)."""
    words = planes[0, first:last]
    word = query[0]
    for j in range(words.size):
        out[j] = popcount(words[j] ^ word)
    for w in range(1, planes.shape[0]):
        words = planes[w, first:last]
        word = query[w]
        for j in range(words.size):
            out[j] += popcount(words[j] ^ word)


@compiled
def _least_1(words: Any, word: Any) -> Any:
    least = NOTHING
    for j in range(words.size):
        distance = popcount(words[j] ^ word)
        least = distance if distance < least else least
    return least


@compiled
def _least_2(one: Any, two: Any, a: Any, b: Any) -> Any:
    least = NOTHING
    for j in range(one.size):
        distance = popcount(one[j] ^ a) + popcount(two[j] ^ b)
        least = distance if distance < least else least
    return least


@compiled
def _least_4(planes: Any, query: Any, first: int, last: int) -> Any:
    one, two, three, four = planes[0, first:last], planes[1, first:last], planes[2, first:last], planes[3, first:last]
    a, b, c, d = query[0], query[1], query[2], query[3]
    least = NOTHING
    for j in range(one.size):
        distance = popcount(one[j] ^ a) + popcount(two[j] ^ b) + popcount(three[j] ^ c) + popcount(four[j] ^ d)
        least = distance if distance < least else least
    return least


@compiled
def least_distance(planes: Any, query: Any, first: int, last: int, scratch: Any) -> Any:
    """Return the smallest distance in a chunk; 64, 128 and 256 bits go without writing any distance down."""
    width = planes.shape[0]
    if width == 1:
        return _least_1(planes[0, first:last], query[0])
    if width == 2:
        return _least_2(planes[0, first:last], planes[1, first:last], query[0], query[1])
    if width == 4:
        return _least_4(planes, query, first, last)
    distances_into(planes, query, first, last, scratch)
    least = NOTHING
    for j in range(last - first):
        least = scratch[j] if scratch[j] < least else least
    return least


@compiled
def _compact(kept: Any, count: int, k: int, cut: int, before: int) -> int:
    """Keep the candidates nearer than ``cut`` and the first ones at it, k in all; rows were met in order."""
    room = k - before
    n = 0
    for t in range(count):
        distance = np.int64(kept[t] >> ROW_BITS)
        if distance < cut or (distance == cut and room > 0):
            room -= distance == cut
            kept[n] = kept[t]
            n += 1
    return n


@compiled
def _take_chunk(scratch: Any, lo: int, size: int, k: int, mask: Any, kept: Any, histogram: Any, state: Any) -> None:
    """Offer rows lo..lo + size, distances in ``scratch``, to one query; ``state`` is (count, cut, inside)."""
    count, cut, inside = state[0], state[1], state[2]
    limit = cut - (inside >= k)
    for j in range(size):
        distance = np.int64(scratch[j])
        if distance > limit or (mask.size > 0 and not mask[lo + j]):
            continue
        if count == kept.size:
            count = _compact(kept, count, k, cut, inside - histogram[cut])
        kept[count] = scratch[j] << ROW_BITS | np.uint64(lo + j)
        count += 1
        histogram[distance] += 1
        inside += 1
        while inside - histogram[cut] >= k:
            inside -= histogram[cut]
            cut -= 1
        limit = cut - (inside >= k)
    state[0], state[1], state[2] = count, cut, inside


@compiled
def _empty_handed(num: int, k: int, longest: int) -> Any:
    """Return (kept, histogram, state) of ``num`` queries; state: candidates held, cut-off, how many at or below it."""
    state = np.zeros((num, 3), np.int64)
    state[:, 1] = longest
    return np.empty((num, 2 * k + CHUNK), np.uint64), np.zeros((num, longest + 1), np.int64), state


@compiled
def _take_block(
    planes: Any,
    query: Any,
    start: int,
    stop: int,
    offset: int,
    k: int,
    mask: Any,
    kept: Any,
    histogram: Any,
    state: Any,
    scratch: Any,
) -> None:
    """Offer the codes start..stop of ``planes`` to one query, under the names offset + start and so on."""
    for lo in range(start, stop, CHUNK):
        hi = min(stop, lo + CHUNK)
        limit = state[1] - (state[2] >= k)
        if limit < 0:
            break
        if least_distance(planes, query, lo, hi, scratch) <= np.uint64(limit):
            distances_into(planes, query, lo, hi, scratch)
            _take_chunk(scratch, offset + lo, hi - lo, k, mask, kept, histogram, state)


@compiled
def _best(kept: Any, histogram: Any, state: Any, k: int) -> Any:
    best = np.full((len(kept), k), NOTHING, np.uint64)
    for i in range(len(kept)):
        cut = state[i, 1]
        n = _compact(kept[i], state[i, 0], k, cut, state[i, 2] - histogram[i, cut])
        best[i, :n] = kept[i, :n]
    return best


@compiled
def top_k(planes: Any, queries: Any, first: int, last: int, k: int, longest: int, mask: Any) -> Any:
    """Return the k nearest rows of first..last for each query, unsorted, as candidates uint64 [Q, k].

    Rows are met in ascending order, so once k are held an item *at* the cut-off comes too late: strictly less is asked.
    ``mask`` (bool [N], or empty for all) is looked at only for rows that pass the cut-off. Missing places: NOTHING.
    """
    num = queries.shape[0]
    block = max(CHUNK, BLOCK_WORDS // planes.shape[0] // CHUNK * CHUNK)
    kept, histogram, state = _empty_handed(num, k, longest)
    scratch = np.empty(CHUNK, np.uint64)
    for start in range(first, last, block):
        stop = min(last, start + block)
        for i in range(num):
            _take_block(planes, queries[i], start, stop, 0, k, mask, kept[i], histogram[i], state[i], scratch)
    return _best(kept, histogram, state, k)


@compiled
def listed_top_k(planes: Any, listed: Any, queries: Any, first: int, last: int, k: int, longest: int) -> Any:
    """Do as :func:`top_k` among the rows ``listed[first:last]``, gathered by blocks; candidates hold places there."""
    num, width = queries.shape[0], planes.shape[0]
    block = max(CHUNK, BLOCK_WORDS // width // CHUNK * CHUNK)
    gathered = np.empty((width, block), np.uint64)
    kept, histogram, state = _empty_handed(num, k, longest)
    scratch = np.empty(CHUNK, np.uint64)
    for start in range(first, last, block):
        size = min(last - start, block)
        for w in range(width):
            for j in range(size):
                if start + j + AHEAD < last:
                    prefetch(planes, w * planes.shape[1] + listed[start + j + AHEAD])
                gathered[w, j] = planes[w, listed[start + j]]
        for i in range(num):
            _take_block(gathered, queries[i], 0, size, start, k, NO_MASK, kept[i], histogram[i], state[i], scratch)
    return _best(kept, histogram, state, k)


@compiled
def grown(array: Any, needed: int) -> Any:
    """Return ``array``, or a copy of at least twice its size where ``needed`` places do not fit."""
    if needed <= array.size:
        return array
    larger = np.empty(max(needed, 2 * array.size), array.dtype)
    larger[: array.size] = array
    return larger


@compiled
def within_radius(planes: Any, queries: Any, first: int, last: int, radius: int, mask: Any) -> Any:
    """Return (candidates, limits): all rows of first..last within ``radius``, query i's at limits[i]..limits[i + 1]."""
    scratch = np.empty(CHUNK, np.uint64)
    found = np.empty(1024, np.uint64)
    limits = np.zeros(queries.shape[0] + 1, np.int64)
    n = 0
    for i in range(queries.shape[0]):
        query = queries[i]
        for lo in range(first, last, CHUNK):
            hi = min(last, lo + CHUNK)
            if least_distance(planes, query, lo, hi, scratch) > np.uint64(radius):
                continue
            distances_into(planes, query, lo, hi, scratch)
            found = grown(found, n + CHUNK)
            for j in range(hi - lo):
                if scratch[j] <= np.uint64(radius) and (mask.size == 0 or mask[lo + j]):
                    found[n] = scratch[j] << ROW_BITS | np.uint64(lo + j)
                    n += 1
        found[limits[i] : n].sort()
        limits[i + 1] = n
    return found[:n], limits


@compiled
def ascends(ids: Any) -> bool:
    """Say whether each id is larger than the one before; read once, with no branch in the loop."""
    wrong: Any = 0
    later, earlier = ids[1:], ids[:-1]
    for i in range(later.size):
        wrong |= np.int64(later[i] <= earlier[i])
    return bool(wrong == 0)


@compiled
def look_up(wanted: Any, ids: Any, rows: Any) -> int:
    """Write the rows of ``ids`` that are wanted, both ascending and ``wanted`` within their range; return how many.

    Ids grow by at least one a row, so the next one lies no further on than its difference says: with few gaps it is met
    at once, else by binary search up to there.
    """
    count, low = 0, 0
    for each in wanted:
        if each < ids[low]:
            continue
        high = min(ids.size - 1, low + each - ids[low])
        if ids[high] != each:
            while low < high:
                middle = (low + high) >> 1
                if ids[middle] < each:
                    low = middle + 1
                else:
                    high = middle
        low = high
        if ids[high] == each:
            rows[count] = high
            count += 1
    return count


@compiled
def count_distances(words: Any, query: Any, rows: Any, first: int, last: int, longest: int) -> Any:
    """Return how many rows of ``words`` [N, W] lie at each distance from ``query`` [W], int64 [longest + 1].

    ``rows`` lists the rows whose places first..last are counted; empty, rows first..last are. Four tables take turns,
    because neighbouring rows often have the same distance, and an addition would wait for the one before.
    """
    tables = np.zeros((4, longest + 1), np.int64)
    listed = rows.size > 0
    for place in range(first, last):
        row = rows[place] if listed else place
        distance = popcount(words[row, 0] ^ query[0])
        for w in range(1, words.shape[1]):
            distance += popcount(words[row, w] ^ query[w])
        tables[place & 3, distance] += 1
    return tables.sum(axis=0)
