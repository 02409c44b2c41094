"""The counting loop in Numba; imported only for large jobs, `counts` falls back to NumPy without it.

Every pair (query, item) falls into one cell: its distance plus (D + 1) times its gain, D being the largest distance. A
block of items is first turned into cell numbers (this loop has no branches, the compiler makes vector instructions of
it) and then tallied into eight histograms in turn, so that two equal cells in a row do not wait for each other.
"""
# Numba reads the functions' source; annotations on the compiled ones would only be noise, so mypy skips them.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,import-untyped,untyped-decorator"

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

BLOCK = 1024  # items: codes, labels and cells of a block stay in the first-level cache
LANES = 8  # histograms filled in turn


@intrinsic
def popcount(_context, word):
    """Number of set bits of a uint64, as one machine instruction."""

    def generate(_context, builder: ir.IRBuilder, _signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@njit(nogil=True, cache=True)
def fill_distances(query, database, start, stop, distances):
    """Write the distances of items start..stop to one query; words of items lie in planes [words, N]."""
    plane, word = database[0][start:stop], query[0]
    for i in range(len(plane)):
        distances[i] = popcount(word ^ plane[i])
    for w in range(1, len(query)):
        plane, word = database[w][start:stop], query[w]
        for i in range(len(plane)):
            distances[i] += popcount(word ^ plane[i])


@njit(nogil=True, cache=True)
def add_gains(query_labels, database_labels, same_class, stride, start, stop, cells):
    """Add ``stride`` times the gain of items start..stop."""
    for w in range(len(query_labels)):
        plane, word = database_labels[w][start:stop], query_labels[w]
        if same_class:
            for i in range(len(plane)):
                cells[i] += stride * np.uint64(word == plane[i])
        else:
            for i in range(len(plane)):
                cells[i] += stride * popcount(word & plane[i])


@njit(nogil=True, cache=True)
def fill_relevance(query_labels, database_labels, same_class, start, stop, relevant):
    """Write 1 for the relevant items of start..stop and 0 for the others; return how many are relevant."""
    plane, word, count = database_labels[0][start:stop], query_labels[0], np.uint32(0)
    if same_class:
        for i in range(len(plane)):
            hit = np.uint32(word == plane[i])
            relevant[i] = hit
            count += hit
        return count
    for i in range(len(plane)):
        hit = np.uint32((word & plane[i]) != np.uint64(0))
        relevant[i] = hit
        count += hit
    for w in range(1, len(query_labels)):
        plane, word = database_labels[w][start:stop], query_labels[w]
        for i in range(len(plane)):
            more = np.uint32((word & plane[i]) != np.uint64(0)) & (np.uint32(1) - relevant[i])
            relevant[i] += more
            count += more
    return count


@njit(nogil=True, cache=True)
def tally(cells, count, lanes):
    """Add ``count`` cells to the histograms ``lanes`` [LANES, cells] in turn."""
    a, b, c, d, e, f, g, h = lanes[0], lanes[1], lanes[2], lanes[3], lanes[4], lanes[5], lanes[6], lanes[7]
    for j in range(count // LANES):
        first = LANES * j
        a[cells[first]] += 1
        b[cells[first + 1]] += 1
        c[cells[first + 2]] += 1
        d[cells[first + 3]] += 1
        e[cells[first + 4]] += 1
        f[cells[first + 5]] += 1
        g[cells[first + 6]] += 1
        h[cells[first + 7]] += 1
    for i in range(count - count % LANES, count):
        a[cells[i]] += 1


@njit(nogil=True, cache=True)
def count_cells(queries, database, query_labels, database_labels, same_class, stride, out):
    """Count the cells of all pairs into ``out`` int64 [Q, cells].

    Args:
        queries: uint64 [Q, W].
        database: uint64 [W, N].
        query_labels: uint64 [Q, L], class numbers (``same_class``, L = 1) or label masks; L = 0 for none.
        database_labels: uint64 [L, N].
        same_class: labels are class numbers.
        stride: uint64, D + 1.
        out: int64 [Q, (G + 1) * (D + 1)], overwritten.
    """
    num_items = database.shape[1]
    lanes = np.zeros((len(queries), LANES, out.shape[1]), np.int32)
    cells = np.empty(BLOCK, np.uint32)
    for start in range(0, num_items, BLOCK):
        stop = min(start + BLOCK, num_items)
        for q in range(len(queries)):
            fill_distances(queries[q], database, start, stop, cells)
            add_gains(query_labels[q], database_labels, same_class, stride, start, stop, cells)
            tally(cells, stop - start, lanes[q])
    for q in range(len(queries)):
        out[q] = 0
        for lane in range(LANES):
            for cell in range(out.shape[1]):
                out[q, cell] += lanes[q, lane, cell]


@njit(nogil=True, cache=True)
def ordered_precision_sums(
    queries, database, query_labels, database_labels, same_class, num_distances, depth, depth_counts_hits, out
):
    """Average precision with equal distances in database order, in one pass and without sorting.

    While items stream by in database order, a counter for each distance gives every relevant item its place among the
    items and among the relevant items of its distance. Once all are counted, the places before that distance are added.
    Blocks without relevant items need no order and are tallied in lanes, which is most of a class-sorted database; if
    the class lies outside those of the block, its labels are not even read.

    Args:
        queries: uint64 [Q, W].
        database: uint64 [W, N], N below 2^32.
        query_labels: uint64 [Q, L], as in ``count_cells``.
        database_labels: uint64 [L, N].
        same_class: labels are class numbers.
        num_distances: D + 1.
        depth: R.
        depth_counts_hits: stop at the R-th relevant item instead of at rank R.
        out: float64 [Q, 3], overwritten: sum of the precisions, relevant items in that sum, relevant items in all.
    """
    num_items = database.shape[1]
    distances, relevant = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
    lanes = np.zeros((LANES, num_distances), np.uint32)
    places, groups = np.empty(num_items + 1, np.uint64), np.empty(num_items + 1, np.uint32)
    counters = np.empty(num_distances, np.uint64)
    lowest, highest = class_ranges(database_labels[0], same_class)
    for q in range(len(queries)):
        counters[:] = 0
        found, label, tallied = 0, query_labels[q, 0], False
        for start in range(0, num_items, BLOCK):
            stop = min(start + BLOCK, num_items)
            fill_distances(queries[q], database, start, stop, distances)
            block = start // BLOCK
            if (label < lowest[block] or label > highest[block]) or fill_relevance(
                query_labels[q], database_labels, same_class, start, stop, relevant
            ) == 0:
                tally(distances, stop - start, lanes)
                tallied = True
            else:
                if tallied:
                    empty_lanes(lanes, counters)
                    tallied = False
                found = place_block(distances, relevant, stop - start, counters, places, groups, found)
        empty_lanes(lanes, counters)
        out[q, 0], out[q, 1] = sum_of_precisions(places, groups, found, counters, depth, depth_counts_hits)
        out[q, 2] = found


@njit(nogil=True, cache=True)
def stable_rows(queries, database, num_distances, out):
    """Rank items by (distance, row) with a counting sort: count the distances, then put each row into its place.

    Args:
        queries: uint64 [Q, W].
        database: uint64 [W, N].
        num_distances: D + 1.
        out: int64 [Q, R], overwritten: the nearest R rows of each query.
    """
    num_items, depth = database.shape[1], out.shape[1]
    distances, lanes = np.empty(BLOCK, np.uint32), np.zeros((LANES, num_distances), np.uint32)
    counters, places = np.empty(num_distances, np.uint64), np.empty(num_distances, np.int64)
    for q in range(len(queries)):
        for start in range(0, num_items, BLOCK):
            stop = min(start + BLOCK, num_items)
            fill_distances(queries[q], database, start, stop, distances)
            tally(distances, stop - start, lanes)
        counters[:] = 0
        empty_lanes(lanes, counters)
        passed, farthest = np.int64(0), 0
        for distance in range(num_distances):
            places[distance] = passed
            if passed < depth:
                farthest = distance
            passed += np.int64(counters[distance])
        for start in range(0, num_items, BLOCK):
            stop = min(start + BLOCK, num_items)
            fill_distances(queries[q], database, start, stop, distances)
            for i in range(stop - start):
                distance = distances[i]
                if distance <= farthest:
                    place = places[distance]
                    places[distance] = place + 1
                    if place < depth:
                        out[q, place] = start + i


@njit(nogil=True, cache=True)
def rows_within(queries, database, limits, own, starts, rows, at_limit):
    """Write the items within each query's own distance, in database order. Blocks without any are only looked over.

    Args:
        queries: uint64 [Q, W].
        database: uint64 [W, N].
        limits: int64 [Q], largest distance of each query.
        own: int64 [Q], item that is left out, -1 for none.
        starts: int64 [Q], where the items of each query begin in ``rows``; overwritten.
        rows: int64 [P], overwritten: items.
        at_limit: bool [P], overwritten: whether an item is at the very limit.
    """
    num_items = database.shape[1]
    distances = np.empty(BLOCK, np.uint32)
    for start in range(0, num_items, BLOCK):
        stop = min(start + BLOCK, num_items)
        for q in range(len(queries)):
            fill_distances(queries[q], database, start, stop, distances)
            limit, nearest = np.uint32(limits[q]), np.uint32(0xFFFFFFFF)
            for i in range(stop - start):
                nearest = min(nearest, distances[i])
            if nearest > limit:
                continue
            place = starts[q]
            for i in range(stop - start):
                if distances[i] <= limit and start + i != own[q]:
                    rows[place] = start + i
                    at_limit[place] = distances[i] == limit
                    place += 1
            starts[q] = place


@njit(nogil=True, cache=True)
def class_ranges(labels, same_class):
    """Return the lowest and the highest class number of each block; all numbers where labels are masks."""
    num_blocks = (len(labels) + BLOCK - 1) // BLOCK
    lowest, highest = np.zeros(num_blocks, np.uint64), np.full(num_blocks, ~np.uint64(0))
    if same_class:
        for block in range(num_blocks):
            part = labels[block * BLOCK : (block + 1) * BLOCK]
            lowest[block], highest[block] = part.min(), part.max()
    return lowest, highest


@njit(nogil=True, cache=True)
def empty_lanes(lanes, counters):
    """Move the tallies into the counters."""
    for lane in range(LANES):
        for distance in range(len(counters)):
            counters[distance] += np.uint64(lanes[lane, distance])
            lanes[lane, distance] = 0


@njit(nogil=True, cache=True)
def place_block(distances, relevant, count, counters, places, groups, found):
    """Count items in order; note each relevant one's place, low half among items, high half among relevant ones."""
    for i in range(count):
        distance, hit = distances[i], relevant[i]
        place = counters[distance] + (np.uint64(1) | (np.uint64(hit) << np.uint64(32)))
        counters[distance] = place
        places[found], groups[found] = place, distance
        found += np.int64(hit)  # without a branch: an irrelevant item is overwritten by the next
    return found


@njit(nogil=True, cache=True)
def sum_of_precisions(places, groups, found, counters, depth, depth_counts_hits):
    """Sum hits / rank over the relevant items within ``depth``; also return their number."""
    before, passed = np.empty_like(counters), np.uint64(0)
    for distance in range(len(counters)):
        before[distance] = passed
        passed += counters[distance]
    total, counted = 0.0, 0
    for i in range(found):
        place = places[i] + before[groups[i]]  # both halves at once; neither overflows 32 bits
        rank, hits = np.int64(place & np.uint64(0xFFFFFFFF)), np.int64(place >> np.uint64(32))
        if (hits if depth_counts_hits else rank) <= depth:
            total += hits / rank
            counted += 1
    return total, counted
