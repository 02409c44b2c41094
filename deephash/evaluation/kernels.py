"""The counting loop in Numba; imported only for large jobs, `counts` falls back to NumPy without it.

Every pair (query, item) falls into one cell: its distance plus (D + 1) times its gain, D being the largest distance. A
block of items is first turned into cell numbers (this loop has no branches, the compiler makes vector instructions of
it) and then tallied into four histograms in turn, so that two equal cells in a row do not wait for each other.
"""
# Numba reads the functions' source; annotations on the compiled ones would only be noise, so mypy skips them.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,call-arg,import-untyped,untyped-decorator"

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

BLOCK = 1024  # items: codes, labels and cells of a block stay in the first-level cache
LANES = 4  # histograms filled in turn


@intrinsic
def popcount(_context, word):
    """Number of set bits of a uint64, as one machine instruction."""

    def generate(_context, builder: ir.IRBuilder, _signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@njit(nogil=True, cache=True)
def fill_cells(query, database, query_labels, database_labels, same_class, stride, start, stop, cells):
    """Write the cells of items start..stop for one query; words of items lie in planes [words, N]."""
    plane, word = database[0][start:stop], query[0]
    for i in range(len(plane)):
        cells[i] = popcount(word ^ plane[i])
    for w in range(1, len(query)):
        plane, word = database[w][start:stop], query[w]
        for i in range(len(plane)):
            cells[i] += popcount(word ^ plane[i])
    for w in range(len(query_labels)):
        plane, word = database_labels[w][start:stop], query_labels[w]
        if same_class:
            for i in range(len(plane)):
                cells[i] += stride * np.uint64(word == plane[i])
        else:
            for i in range(len(plane)):
                cells[i] += stride * popcount(word & plane[i])


@njit(nogil=True, cache=True)
def tally(cells, count, first, second, third, fourth):
    """Add ``count`` cells to four histograms in turn."""
    for j in range(count // LANES):
        first[cells[LANES * j]] += 1
        second[cells[LANES * j + 1]] += 1
        third[cells[LANES * j + 2]] += 1
        fourth[cells[LANES * j + 3]] += 1
    for i in range(count - count % LANES, count):
        first[cells[i]] += 1


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
            fill_cells(queries[q], database, query_labels[q], database_labels, same_class, stride, start, stop, cells)
            tally(cells, stop - start, lanes[q, 0], lanes[q, 1], lanes[q, 2], lanes[q, 3])
    for q in range(len(queries)):
        for cell in range(out.shape[1]):
            out[q, cell] = np.int64(lanes[q, 0, cell]) + lanes[q, 1, cell] + lanes[q, 2, cell] + lanes[q, 3, cell]
