"""Distances between rows of packed bits, word by word; arrays only."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 32 << 20  # XOR scratch of one block; fits a few blocks into cache-friendly chunks
Packed = NDArray[np.uint8]


def blocks_of_distances(
    left: Packed, right: Packed, query_block: int
) -> Iterator[tuple[slice, slice, NDArray[np.int32]]]:
    """Yield ``(rows of left, rows of right, differing bits of that block)`` until every pair was seen once."""
    one, other = _as_words(left), _as_words(right)
    per_item = max(1, min(query_block, len(one)) * one.shape[1] * one.itemsize)
    database_block = max(1, BLOCK_BYTES // per_item)
    for start in range(0, len(one), query_block):
        rows = slice(start, min(start + query_block, len(one)))
        for first in range(0, len(other), database_block):
            columns = slice(first, min(first + database_block, len(other)))
            yield rows, columns, _block(one[rows], other[columns])


def differing_bits(left: Packed, right: Packed, query_block: int = 64) -> NDArray[np.int32]:
    """Return how many bits differ between any two rows, int32 [len(left), len(right)]."""
    distances = np.empty((len(left), len(right)), dtype=np.int32)
    for rows, columns, block in blocks_of_distances(left, right, query_block):
        distances[rows, columns] = block
    return distances


def _block(left: NDArray, right: NDArray) -> NDArray[np.int32]:
    total = np.zeros((len(left), len(right)), dtype=np.int32)
    for word in range(left.shape[1]):  # word by word: no [Q, N, words] scratch
        total += np.bitwise_count(left[:, word, None] ^ right[None, :, word])
    return total


def _as_words(packed: Packed) -> NDArray:
    """View rows as the widest unsigned integers that divide them; pad rows longer than 8 bytes to whole words."""
    width = packed.shape[1]
    if width in (1, 2, 4):
        return np.ascontiguousarray(packed).view(f"u{width}")
    padded = np.zeros((len(packed), -(-width // 8) * 8), dtype=np.uint8)
    padded[:, :width] = packed
    return padded.view(np.uint64)
