"""KnownUris: which uris a collection surely lacks, so that a writer of many commits need not read all of them again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deephash.collection.schema import text_array

Hashes = NDArray[np.int64]


class KnownUris:
    """Hashes of all uris of one version of the rows: 8 bytes each, ascending, in runs that are joined as they grow.

    A uri whose hash is not here is not in the collection; one whose hash is here may be, and has to be looked up.
    """

    def __init__(self) -> None:
        self._runs: list[Hashes] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, hashes: Hashes) -> None:
        """Take in what :func:`hashes_of` returned; what is known already does no harm."""
        run = np.sort(hashes)
        while self._runs and len(self._runs[-1]) <= 2 * len(run):  # so that n uris cost n log n, however they come
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")  # merges two ascending runs
        self._runs.append(run)

    def possible(self, hashes: Hashes) -> list[int]:
        """Return the places of those ``hashes`` whose uris may be known, ascending."""
        order = np.argsort(hashes)
        wanted = hashes[order]
        found = np.zeros(len(wanted), bool)
        for run in self._runs:
            places = np.searchsorted(run, wanted)
            inside = places < len(run)
            found[order[inside]] |= run[places[inside]] == wanted[inside]
        return np.flatnonzero(found).tolist()


def hashes_of(uris: Sequence[str]) -> Hashes:
    """Return Python's hashes of texts, int64 [n]; what only becomes text in the table is hashed as that text."""
    if set(map(type, uris)) - {str}:
        uris = text_array("uris", uris).to_pylist()
    return np.fromiter(map(hash, uris), np.int64, len(uris))
