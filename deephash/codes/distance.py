"""Distances between packed codes, computed block by block so that memory stays bounded."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from deephash.codes.binary import BinaryCodes
from deephash.errors import UsageError

BLOCK_BYTES = 32 << 20  # XOR scratch of one block; fits a few blocks into cache-friendly chunks


def hamming_distance(queries: BinaryCodes, database: BinaryCodes) -> NDArray[np.int32]:
    """Return all distances, shape [Q, N], dtype int32.

    For codes of several levels (BEBR) this is the Hamming distance summed over levels; the levels' weights belong to
    the symmetric distance of that method, not to this function.

    Raises:
        UsageError: the two sides differ in length.
    """
    distances = np.empty((len(queries), len(database)), dtype=np.int32)
    for rows, columns, block in distance_blocks(queries, database):
        distances[rows, columns] = block
    return distances


def distance_blocks(
    queries: BinaryCodes, database: BinaryCodes, *, query_block: int = 64
) -> Iterator[tuple[slice, slice, NDArray[np.int32]]]:
    """Yield ``(query rows, database rows, distances of that block)`` until every pair was seen once."""
    _require_comparable(queries, database)
    left, right = _as_words(queries.packed), _as_words(database.packed)
    per_item = max(1, min(query_block, len(queries)) * left.shape[1] * left.itemsize)
    database_block = max(1, BLOCK_BYTES // per_item)
    for start in range(0, len(queries), query_block):
        rows = slice(start, min(start + query_block, len(queries)))
        for first in range(0, len(database), database_block):
            columns = slice(first, min(first + database_block, len(database)))
            yield rows, columns, _block(left[rows], right[columns])


def _block(left: NDArray, right: NDArray) -> NDArray[np.int32]:
    total = np.zeros((len(left), len(right)), dtype=np.int32)
    for word in range(left.shape[1]):  # word by word: no [Q, N, words] scratch
        total += np.bitwise_count(left[:, word, None] ^ right[None, :, word])
    return total


def _as_words(packed: NDArray[np.uint8]) -> NDArray:
    """View rows as the widest unsigned integers that divide them; pad rows longer than 8 bytes to whole words."""
    width = packed.shape[1]
    if width in (1, 2, 4):
        return np.ascontiguousarray(packed).view(f"u{width}")
    padded = np.zeros((len(packed), -(-width // 8) * 8), dtype=np.uint8)
    padded[:, :width] = packed
    return padded.view(np.uint64)


def _require_comparable(queries: BinaryCodes, database: BinaryCodes) -> None:
    if (queries.num_bits, queries.num_levels) != (database.num_bits, database.num_levels):
        raise UsageError(
            f"codes of different lengths cannot be compared: {queries.describe()} against {database.describe()}; "
            "encode both sides with the same model"
        )
