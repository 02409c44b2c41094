"""How many codes lie at each distance from a query: one pass over them, and nothing kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes, distance_blocks
from deephash.index.available import is_loaded
from deephash.index.threads import in_parts, usable_threads

ROWS_A_THREAD = 1 << 16
NO_ROWS = np.empty(0, np.int64)


def distance_histogram(
    codes: BinaryCodes, query: BinaryCodes, rows: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Return the number of codes at each distance, int64 [K L + 1].

    Args:
        codes: N codes.
        query: one code.
        rows: only these rows of ``codes``; None for all.
    """
    words, asked = _as_words(codes), _as_words(query)
    if words is None or asked is None or not is_loaded():
        return _plainly(codes if rows is None else codes[rows], query)
    from deephash.index.kernels import count_distances

    longest = codes.layout.max_distance
    listed = NO_ROWS if rows is None else rows
    parts = in_parts(
        len(codes) if rows is None else len(rows),
        usable_threads(None),
        lambda first, last: count_distances(words, asked[0], listed, first, last, longest),
        at_least=ROWS_A_THREAD,
    )
    return np.asarray(np.sum(parts, axis=0), dtype=np.int64)


def _plainly(codes: BinaryCodes, query: BinaryCodes) -> NDArray[np.int64]:
    counts = np.zeros(codes.layout.max_distance + 1, dtype=np.int64)
    for _, _, block in distance_blocks(query, codes):
        counts += np.bincount(block[0], minlength=len(counts))
    return counts


def _as_words(codes: BinaryCodes) -> NDArray[np.uint64] | None:
    """Return rows of whole 64-bit words, without a copy; None where codes are no such rows."""
    return codes.packed.view(np.uint64) if codes.packed.shape[1] % 8 == 0 else None
