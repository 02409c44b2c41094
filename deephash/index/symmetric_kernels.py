"""The compiled loops of the symmetric distance (Numba): codes of several levels scored by popcounts, or by look-up.

Codes lie in planes: uint64 [L, W, N], word w of level t of neighbouring codes side by side. With M = 2^L - 1 and H_st
the Hamming distance between level s of one code and level t of the other,

    product = K M^2 - 2 sum_st 2^(2(L-1)-s-t) H_st    (in units of 4^-(L-1)),    score = product / (norm norm)

Candidates are packed as ``key << 32 | row``; the key falls with the score, so comparing two compares (-score, row).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deephash.index.kernels import CHUNK, compiled, popcount
from deephash.index.nibble_sums import GROUP, LANES, TILE, add_group_of_four, add_group_of_one

ROW_BITS = np.uint64(32)
NOTHING = np.uint64(0xFFFFFFFFFFFFFFFF)
SIGN = np.uint32(0x80000000)


@compiled
def weighted_into(planes: Any, query: Any, first: int, last: int, out: Any) -> None:
    """Write sum_st 2^(2(L-1)-s-t) H_st of rows first..last against ``query`` [L, W] into ``out`` (uint64)."""
    levels, words = planes.shape[0], planes.shape[1]
    out[: last - first] = 0
    if levels == 2:
        for w in range(words):
            one, two = planes[0, w, first:last], planes[1, w, first:last]
            a, b = query[0, w], query[1, w]
            for j in range(one.size):
                mixed = popcount(one[j] ^ b) + popcount(two[j] ^ a)
                out[j] += (popcount(one[j] ^ a) << np.uint64(2)) + (mixed << np.uint64(1)) + popcount(two[j] ^ b)
        return
    for s in range(levels):
        for t in range(levels):
            shift = np.uint64(2 * (levels - 1) - s - t)
            for w in range(words):
                row, word = planes[s, w, first:last], query[t, w]
                for j in range(row.size):
                    out[j] += popcount(row[j] ^ word) << shift


@compiled
def _candidate(score: Any, row: int) -> Any:
    """Pack a score and a row so that better and earlier ones are smaller."""
    bits = np.float32(score).view(np.uint32)
    rising = bits ^ np.uint32(0xFFFFFFFF) if bits & SIGN else bits | SIGN
    return np.uint64(rising ^ np.uint32(0xFFFFFFFF)) << ROW_BITS | np.uint64(row)


@compiled
def score_of(candidate: Any) -> Any:
    """Return the score, float32, of a candidate."""
    rising = np.uint32(candidate >> ROW_BITS) ^ np.uint32(0xFFFFFFFF)
    bits = rising ^ SIGN if rising & SIGN else rising ^ np.uint32(0xFFFFFFFF)
    return np.uint32(bits).view(np.float32)


@compiled
def _offer(scores: Any, size: int, offset: int, k: int, kept: Any, count: int, worst: Any) -> Any:
    """Keep those of ``scores`` that are among the k best so far; return (how many, what the next must beat)."""
    for j in range(size):
        found = _candidate(scores[j], offset + j)
        if found >= worst:
            continue
        if count == kept.size:
            kept[:count].sort()
            count, worst = k, kept[k - 1]
            if found >= worst:
                continue
        kept[count] = found
        count += 1
    return count, worst


@compiled
def best_scores(
    planes: Any, inverse: Any, queries: Any, inverse_query: Any, first: int, last: int, k: int, num_bits: int
) -> Any:
    """Return the k best rows of first..last for each query [Q, L, W], ascending, as candidates uint64 [Q, k].

    ``inverse`` float64 [N] and ``inverse_query`` float64 [Q] are one over the norms. Missing places: NOTHING.
    """
    num, levels = queries.shape[0], planes.shape[0]
    highest = num_bits * ((1 << levels) - 1) ** 2
    kept, counts = np.full((num, 2 * k + CHUNK), NOTHING, np.uint64), np.zeros(num, np.int64)
    worst = np.full(num, NOTHING, np.uint64)
    weighted, scores = np.empty(CHUNK, np.uint64), np.empty(CHUNK, np.float32)
    limits = np.full(num, np.float32(-2.0), np.float32)
    for lo in range(first, last, CHUNK):
        size = min(last - lo, CHUNK)
        for i in range(num):
            weighted_into(planes, queries[i], lo, lo + size, weighted)
            if _scored_into(weighted, highest, -2, inverse[lo : lo + size], inverse_query[i], limits[i], scores):
                counts[i], worst[i] = _offer(scores, size, lo, k, kept[i], counts[i], worst[i])
                limits[i] = np.float32(-2.0) if worst[i] == NOTHING else score_of(worst[i])
    return _sorted(kept, counts, k)


@compiled
def _scored_into(counted: Any, nought: int, step: int, inverse: Any, own: float, limit: Any, scores: Any) -> int:
    """Write the scores of products ``nought + step counted``; return how many may be wanted, of at least ``limit``."""
    wanted = 0
    for j in range(inverse.size):
        scores[j] = np.float32(np.float64(nought + step * np.int64(counted[j])) * own * inverse[j])
        wanted += scores[j] >= limit
    return wanted


@compiled
def best_looked_up(
    blocks: Any, inverse: Any, tables: Any, inverse_query: Any, first: int, last: int, k: int, nought: int
) -> Any:
    """Do what :func:`best_scores` does by 16-entry tables; rows first..last begin and end with blocks of 32.

    ``blocks`` uint8 [N / 32, B, 32] holds two nibbles a byte, ``tables`` uint8 [Q, 2 B, 16] half of what each nibble's
    product exceeds its least by, ``nought`` what the product is where all tables give 0. ``inverse`` [N] ends with the
    last row: what only fills the last block up gets no score.
    """
    num, width = tables.shape[0], blocks.shape[1]
    stride = tables.shape[1] * 16
    kept, counts = np.full((num, 2 * k + CHUNK), NOTHING, np.uint64), np.zeros(num, np.int64)
    worst, limits = np.full(num, NOTHING, np.uint64), np.full(num, np.float32(-2.0), np.float32)
    sums, scores = np.empty((TILE, LANES), np.uint16), np.empty(LANES, np.float32)
    for block in range(first // LANES, last // LANES):
        lo = block * LANES
        rows = inverse[lo : lo + LANES]
        for tile in range(0, num, TILE):
            several = min(TILE, num - tile)
            sums[:] = 0
            for byte in range(0, width, GROUP):
                place, start = (block * width + byte) * LANES, tile * stride + byte * 32
                if several == TILE:
                    add_group_of_four(blocks, place, tables, start, stride, sums)
                else:
                    for q in range(several):
                        add_group_of_one(blocks, place, tables, start + q * stride, stride, sums[q : q + 1])
            for q in range(several):
                i = tile + q
                if _scored_into(sums[q], nought, 2, rows, inverse_query[i], limits[i], scores):
                    counts[i], worst[i] = _offer(scores, rows.size, lo, k, kept[i], counts[i], worst[i])
                    limits[i] = np.float32(-2.0) if worst[i] == NOTHING else score_of(worst[i])
    return _sorted(kept, counts, k)


@compiled
def _sorted(kept: Any, counts: Any, k: int) -> Any:
    best = np.empty((len(kept), k), np.uint64)
    for i in range(len(kept)):
        kept[i, counts[i] :] = NOTHING
        kept[i].sort()
        best[i] = kept[i, :k]
    return best


@compiled
def unpacked(best: Any) -> Any:
    """Return (rows int64, scores float32) of candidates."""
    rows, scores = np.empty(best.shape, np.int64), np.empty(best.shape, np.float32)
    for i in range(best.shape[0]):
        for j in range(best.shape[1]):
            rows[i, j] = np.int64(best[i, j] & np.uint64(0xFFFFFFFF))
            scores[i, j] = score_of(best[i, j])
    return rows, scores
