"""Distances between packed codes, computed block by block so that memory stays bounded."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from deephash.codes.binary import BinaryCodes
from deephash.codes.words import blocks_of_distances


def hamming_distance(queries: BinaryCodes, database: BinaryCodes) -> NDArray[np.int32]:
    """Return all distances, int32 [Q, N]; see :meth:`BinaryCodes.hamming`."""
    return queries.hamming(database)


def distance_blocks(
    queries: BinaryCodes, database: BinaryCodes, *, query_block: int = 64
) -> Iterator[tuple[slice, slice, NDArray[np.int32]]]:
    """Yield ``(query rows, database rows, distances of that block)`` until every pair was seen once."""
    queries.layout.require_same(database.layout)
    yield from blocks_of_distances(queries.packed, database.packed, query_block)
